import { readdir, stat } from 'node:fs/promises';
import { basename, dirname, join, relative, resolve, sep } from 'node:path';
import { ConfigError } from '@crossfold/shared/errors';
import { hasImageEnding } from '@crossfold/worker/data/decode-image';
import { isUnreadPicture } from '../data/image-folder.ts';

/** A picture that is asked about. */
export interface PictureFile {
  readonly path: string;
  /** Names of the folders that were asked about and it lies in, the nearest first; none where it was named itself. */
  readonly folders: readonly string[];
}

/**
 * The pictures that are meant: files as they are, and of folders all pictures at any depth, by their paths, those of
 * formats that are not read included, so that none is passed over in silence. Hidden files and links to folders are left alone.
 *
 * @throws ConfigError where a folder holds none
 */
export async function pictureFiles(paths: readonly string[]): Promise<PictureFile[]> {
  const files: PictureFile[] = [];
  for (const path of paths) {
    const isFolder = await stat(path).then(
      (s) => s.isDirectory(),
      () => false,
    );
    if (!isFolder) {
      files.push({ path, folders: [] });
      continue;
    }
    const inside = await below(path);
    if (inside.length === 0) throw new ConfigError(`${path} holds no pictures (JPEG, PNG or WebP)`);
    const own = basename(resolve(path));
    for (const file of inside) {
      const between = relative(path, dirname(file))
        .split(sep)
        .filter((name) => name !== '');
      files.push({ path: file, folders: [own, ...between].reverse() });
    }
  }
  return files;
}

async function below(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { withFileTypes: true }).catch((error: NodeJS.ErrnoException) => {
    throw new ConfigError(`${folder} cannot be read (${error.code})`);
  });
  const files: string[] = [];
  for (const entry of entries.sort((a, b) => (a.name < b.name ? -1 : 1))) {
    if (entry.name.startsWith('.') || entry.name === '__MACOSX') continue;
    const path = join(folder, entry.name);
    if (entry.isDirectory()) for (const file of await below(path)) files.push(file);
    else if (hasImageEnding(entry.name) || isUnreadPicture(entry.name)) files.push(path);
  }
  return files;
}
