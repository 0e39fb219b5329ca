import { cp, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import type { Ended } from './docker.ts';
import { docker, run } from './docker.ts';

const root = resolve(import.meta.dirname, '../../..');

/** Who owns the stack's folder: neither root nor the user that images run as. */
export const owner = 4321;

/** A project of docker-compose.yml in a folder of its own, as a clean checkout would have it. */
export interface Stack {
  readonly project: string;
  readonly folder: string;
  readonly ports: { readonly nats: number; readonly prometheus: number; readonly coordinator: number };
  /** Variables of the stack's `.env`, such as the image. */
  readonly env: Record<string, string>;
  compose(...args: readonly string[]): Promise<string>;
  /** `docker compose run --rm cli ...`: its exit code, and what it printed. */
  cli(...args: readonly string[]): Promise<Ended>;
  /** Names of the containers of a service that run. */
  containers(service: string): Promise<string[]>;
  /** Starts everything that images are to be had for, and waits until it is healthy. */
  up(...args: readonly string[]): Promise<void>;
  remove(): Promise<void>;
}

export async function createStack(name: string): Promise<Stack> {
  const folder = await mkdtemp(join(tmpdir(), 'crossfold-e2e-'));
  const project = `crossfold-${name}-${process.pid}`;
  for (const part of ['docker-compose.yml', 'examples', 'dashboards'])
    await cp(join(root, part), join(folder, part), { recursive: true });
  await run('chown', ['-R', `${owner}:${owner}`, folder]);
  await run('chmod', ['755', folder]);
  const ports = { nats: await freePort(), prometheus: await freePort(), coordinator: await freePort() };
  const env: Record<string, string> = {
    CROSSFOLD_NATS_PORT: String(ports.nats),
    CROSSFOLD_PROMETHEUS_PORT: String(ports.prometheus),
    CROSSFOLD_COORDINATOR_PORT: String(ports.coordinator),
    CROSSFOLD_GRAFANA_PORT: String(await freePort()),
  };
  const compose = async (...args: readonly string[]): Promise<string> => {
    const ended = await run('docker', ['compose', '-p', project, ...args], {
      cwd: folder,
      env: { ...process.env, ...env },
      timeoutMs: 600_000,
    });
    if (ended.code !== 0) throw new Error(`docker compose ${args.join(' ')} ended with ${ended.code}: ${ended.stderr}`);
    return ended.stdout.trim();
  };
  const stack: Stack = {
    project,
    folder,
    ports,
    env,
    compose,
    cli: (...args) =>
      run('docker', ['compose', '-p', project, 'run', '--rm', '-T', 'cli', ...args], {
        cwd: folder,
        env: { ...process.env, ...env },
        timeoutMs: 600_000,
      }),
    async containers(service) {
      const ids = await compose('ps', '--quiet', service);
      return ids.split('\n').filter((id) => id !== '');
    },
    async up(...args) {
      // There is not everywhere an image of Grafana; nothing depends on it, which this shows.
      const services = (await compose('config', '--services')).split('\n').filter((service) => service !== 'grafana');
      await compose('up', '-d', '--wait', '--wait-timeout', '240', ...args, ...services);
    },
    async remove() {
      await run('docker', ['compose', '-p', project, '--profile', '*', 'down', '-v', '-t', '5', '--remove-orphans'], {
        cwd: folder,
        env: { ...process.env, ...env },
      });
      await rm(folder, { recursive: true, force: true });
    },
  };
  await writeFile(join(folder, '.env'), '');
  return stack;
}

/** The process id, on this machine, of a container's main process. */
export async function pidOf(container: string): Promise<number> {
  return Number(await docker('inspect', '--format', '{{.State.Pid}}', container));
}

function freePort(): Promise<number> {
  return new Promise((done, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      server.close(() => done(typeof address === 'object' && address !== null ? address.port : 0));
    });
  });
}
