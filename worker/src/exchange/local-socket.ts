import { once } from 'node:events';
import { mkdtemp, readdir, rm, stat } from 'node:fs/promises';
import type { Server } from 'node:net';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/**
 * A socket in the file system, for peers on the same machine: it moves bytes about twice as fast as TCP over the
 * loopback interface. Its name is random, so that on another machine there is none by that name.
 */
const prefix = 'crossfold-peers-';
/** Systems take no longer names. */
const longestPath = 100;
/** What is younger may belong to a process that is just about to listen. */
const youngMs = 60_000;

/** Has a server listen in a folder of its own; undefined where the system has no such sockets. */
export async function listenLocally(server: Server): Promise<string | undefined> {
  if (process.platform === 'win32') return undefined;
  await removeAbandoned();
  let folder: string | undefined;
  try {
    folder = await mkdtemp(join(tmpdir(), prefix));
    const path = join(folder, 'socket');
    if (Buffer.byteLength(path) > longestPath) throw new RangeError('the path is too long');
    server.listen(path);
    await once(server, 'listening');
    return path;
  } catch {
    // Peers reach this process over TCP all the same.
    if (folder !== undefined) await rm(folder, { recursive: true, force: true });
    return undefined;
  }
}

export const removeLocal = (path: string): Promise<void> => rm(join(path, '..'), { recursive: true, force: true });

/** Removes what processes of this user have left that were killed. */
async function removeAbandoned(): Promise<void> {
  const names = await readdir(tmpdir()).catch((): string[] => []);
  const abandoned = names
    .filter((name) => name.startsWith(prefix))
    .map(async (name) => {
      const folder = join(tmpdir(), name);
      const { uid, mtimeMs } = await stat(folder);
      if (uid !== process.getuid?.() || Date.now() - mtimeMs < youngMs) return;
      if (!(await answers(join(folder, 'socket')))) await rm(folder, { recursive: true, force: true });
    });
  await Promise.allSettled(abandoned);
}

function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path);
    const end = (answered: boolean): void => {
      socket.destroy();
      resolve(answered);
    };
    socket.once('connect', () => end(true));
    socket.once('error', () => end(false));
  });
}
