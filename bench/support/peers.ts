import { execFile, spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

/** What is measured beside us, and the versions of it. They are installed apart from the product, with pip. */
const packages = {
  keras: ['tensorflow-cpu==2.21.0', 'keras==3.15.1', 'scikit-learn==1.9.1'],
  torch: ['torch==2.8.0', 'numpy==2.4.6'],
} as const;
export type Peer = keyof typeof packages;
export const peerNames = Object.keys(packages) as Peer[];

export interface InstalledPeer {
  readonly name: Peer;
  /** e.g. `keras 3.15.1 on tensorflow-cpu 2.21.0`. */
  readonly versions: string;
  readonly python: string;
}

/** Installs a peer into the benchmarks' own cache, once. */
export async function installPeer(name: Peer): Promise<InstalledPeer> {
  const home =
    process.env.CROSSFOLD_CACHE || join(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'crossfold');
  const wanted = packages[name];
  const folder = join(home, 'bench', wanted.join('_').replaceAll('==', '-'));
  const python = join(folder, 'bin', 'python');
  const stamp = join(folder, 'installed');
  if (!existsSync(stamp)) {
    console.error(`installing ${wanted.join(', ')} into ${folder} ...`);
    await rm(folder, { recursive: true, force: true });
    await mkdir(folder, { recursive: true });
    run('python3', ['-m', 'venv', folder]);
    run(python, ['-m', 'pip', 'install', '--quiet', ...wanted]);
    await writeFile(stamp, '');
  }
  return { name, versions: wanted.join(', ').replaceAll('==', ' '), python };
}

/** A peer's script in bench/peers; what it prints, as JSON. */
export async function runPeer(
  peer: InstalledPeer,
  script: string,
  given: readonly string[],
  prefix: readonly string[] = [],
): Promise<unknown> {
  const file = join(root, 'bench', 'peers', script);
  const [command = peer.python, ...args] = [...prefix, peer.python, file, ...given];
  const { stdout } = await promisify(execFile)(command, args, { maxBuffer: 1 << 20 });
  return JSON.parse(stdout.trim().split('\n').at(-1) ?? '');
}

/** The checkout: benchmarks run from node_modules/.crossfold/bench/support. */
export const root = join(import.meta.dirname, '..', '..', '..', '..');

function run(command: string, args: readonly string[]): void {
  const { status } = spawnSync(command, args, { stdio: ['ignore', 'inherit', 'inherit'] });
  if (status !== 0) throw new Error(`${command} ${args.join(' ')} failed`);
}
