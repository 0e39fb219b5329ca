import { mkdir, readdir, rename, rm, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { ConfigError } from '@crossfold/shared/errors';

/**
 * Writes a folder of files that appears whole or not at all.
 *
 * @throws ConfigError where there is something at its place other than an empty folder
 */
export async function writeFolder(folder: string, files: Readonly<Record<string, Uint8Array | string>>): Promise<void> {
  const present = await readdir(folder).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return [];
    throw new ConfigError(`${folder} cannot be written: ${error.code === 'ENOTDIR' ? 'it is a file' : error.message}`);
  });
  if (present.length > 0) throw new ConfigError(`${folder} is not empty; name another folder, or remove it`);
  const aside = join(dirname(folder), `.${basename(folder)}.${process.pid}`);
  try {
    await mkdir(aside, { recursive: true });
    for (const [name, content] of Object.entries(files)) await writeFile(join(aside, name), content);
    await rm(folder, { recursive: true, force: true });
    await rename(aside, folder);
  } finally {
    await rm(aside, { recursive: true, force: true });
  }
}
