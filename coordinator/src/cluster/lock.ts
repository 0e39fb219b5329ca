import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { ConfigError } from '@crossfold/shared/errors';
import { pause } from '@crossfold/shared/wait';
import { z } from 'zod';

const Holder = z.strictObject({
  /** The process whose cluster it is. */
  owner: z.int().min(1),
  /** The broker that writes to the folder; it may outlive its owner for a moment. */
  broker: z.int().min(1).nullable(),
});
type Holder = z.infer<typeof Holder>;

/** How long a broker whose owner is gone may take to go as well. */
const leavingMs = 10_000;

/** Keeps a second cluster off a folder: two brokers on one store would destroy it. */
export interface FolderLock {
  /** Notes the broker's process, which holds the folder as well. */
  heldBy(broker: number): Promise<void>;
  release(): Promise<void>;
}

/**
 * Takes the lock of a cluster's folder. A lock whose processes are gone is taken over.
 * @throws ConfigError where a cluster runs on the folder
 */
export async function lockFolder(file: string, signal: AbortSignal): Promise<FolderLock> {
  await mkdir(dirname(file), { recursive: true });
  const write = (holder: Holder, flag: 'w' | 'wx'): Promise<void> => writeFile(file, JSON.stringify(holder), { flag });
  const mine: Holder = { owner: process.pid, broker: null };
  try {
    await write(mine, 'wx');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    await goneOrThrow(file, signal);
    await write(mine, 'w');
  }
  return {
    heldBy: (broker) => write({ ...mine, broker }, 'w'),
    release: () => rm(file, { force: true }),
  };
}

async function goneOrThrow(file: string, signal: AbortSignal): Promise<void> {
  for (const until = performance.now() + leavingMs; ; ) {
    const holder = Holder.safeParse(await readJson(file));
    if (!holder.success) return;
    const { owner, broker } = holder.data;
    if (isAlive(owner))
      throw new ConfigError(
        `a cluster runs in ${dirname(file)} already (process ${owner}); end it first, or remove ${file} if that is none of ours`,
      );
    if (broker === null || !isAlive(broker)) return;
    if (performance.now() > until || signal.aborted)
      throw new ConfigError(
        `the broker of an earlier run (process ${broker}) still uses ${dirname(file)}; end it first`,
      );
    await pause(50, signal);
  }
}

async function readJson(file: string): Promise<unknown> {
  try {
    return JSON.parse(await readFile(file, 'utf8'));
  } catch {
    return undefined;
  }
}

/** Whether there is a process with this id. */
export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}
