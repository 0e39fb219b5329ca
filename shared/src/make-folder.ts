import { mkdir, stat } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';

/**
 * Makes a folder and those above it that are missing. Node's own recursive `mkdir` never comes back where a file system
 * refuses new folders with ENOENT, as /proc does.
 *
 * @throws NodeJS.ErrnoException where it cannot be made
 */
export async function makeFolder(folder: string): Promise<void> {
  const missing: string[] = [];
  for (let at = resolve(folder); !(await isThere(at)); at = dirname(at)) missing.push(at);
  for (const one of missing.toReversed())
    await mkdir(one).catch((error: NodeJS.ErrnoException) => {
      // Somebody else has just made it.
      if (error.code !== 'EEXIST') throw error;
    });
}

const isThere = (path: string): Promise<boolean> =>
  stat(path).then(
    (found) => {
      if (found.isDirectory()) return true;
      throw Object.assign(new Error(`ENOTDIR: ${path} is no folder`), { code: 'ENOTDIR' });
    },
    (error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return false;
      throw error;
    },
  );
