import { statfs } from 'node:fs/promises';

/** Below this much free space a disk counts as full: the broker's next write may already have failed. */
export const fullBelowBytes = 8 * 2 ** 20;
/** With this much free space a disk that was full has room again. */
export const roomFromBytes = 2 * fullBelowBytes;
const lookEveryMs = 2000;

/**
 * What is to be done about a disk as its free space goes up and down: `say` once it is full, `restart` once there is room
 * again, since a nats-server that a write has failed in for want of space (measured with 2.15.1) refuses all others until
 * it is restarted. Nothing in between.
 */
export function roomKeeper(): (freeBytes: number) => 'say' | 'restart' | undefined {
  let full = false;
  return (freeBytes) => {
    if (full ? freeBytes < roomFromBytes : freeBytes >= fullBelowBytes) return undefined;
    full = !full;
    return full ? 'say' : 'restart';
  };
}

/**
 * Looks at the free space of a folder's disk every two seconds until the function that it returns is called. A look that
 * fails tells nothing.
 */
export function watchRoom(folder: string, on: { readonly full: () => void; readonly room: () => void }): () => void {
  const decide = roomKeeper();
  let looking = false;
  let stopped = false;
  const look = async (): Promise<void> => {
    if (looking) return;
    looking = true;
    try {
      const { bavail, bsize } = await statfs(folder);
      const what = stopped ? undefined : decide(bavail * bsize);
      if (what === 'say') on.full();
      if (what === 'restart') on.room();
    } catch {
      // The folder may be on its way out; the next look tells.
    } finally {
      looking = false;
    }
  };
  const timer = setInterval(() => void look(), lookEveryMs);
  timer.unref();
  return () => {
    stopped = true;
    clearInterval(timer);
  };
}
