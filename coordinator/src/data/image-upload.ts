import type { FileHandle } from 'node:fs/promises';
import { open } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { putJson } from '@crossfold/shared/broker/json-blobs';
import type { DatasetSpec } from '@crossfold/shared/config/dataset';
import type { BlobStore } from '@crossfold/shared/data/blob-store';
import { ConfigError } from '@crossfold/shared/errors';
import type { BlobRef } from '@crossfold/shared/jobs/records';
import type { OnProgress } from './count-progress.ts';
import { countProgress } from './count-progress.ts';
import { checkLimit } from './idx-source.ts';
import type { FolderFile, ImageFolder } from './image-folder.ts';
import { scanImageFolder } from './image-folder.ts';
import { packsOf, startsOf } from './packs.ts';
import type { SourceBundle } from './source.ts';

const concurrentPacks = 2;
const concurrentFiles = 8;

/**
 * Uploads the pictures of a folder as they are, many in a blob: some thousand small blobs would take many times as long.
 *
 * @throws ConfigError where the folder is not laid out as it should be or a file cannot be read
 */
export async function uploadImages(
  folder: string,
  given: string,
  spec: DatasetSpec,
  blobs: BlobStore,
  onProgress: OnProgress,
): Promise<Extract<SourceBundle, { kind: 'images' }>> {
  const listing = selectImages(await scanImageFolder(folder, given), spec);
  const all = [...listing.train, ...(listing.test ?? [])];
  const megabytes = Math.round(all.reduce((sum, { bytes }) => sum + bytes, 0) / 1e6);
  const left = listing.ignored === 0 ? '' : `; ${listing.ignored} other files are left alone`;
  onProgress(
    `reading ${all.length} pictures of ${listing.classes.length} classes, ${megabytes} MB, from ${given}${partsText(listing)}${left}`,
  );
  const progress = countProgress('uploaded', all.length, 'pictures', onProgress);
  const train = await uploadPart(folder, listing.train, blobs, progress);
  const test = listing.test === null ? null : await uploadPart(folder, listing.test, blobs, progress);
  return {
    kind: 'images',
    name: basename(folder),
    classes: [...listing.classes],
    ...(listing.validationFrom === undefined ? {} : { validationFrom: listing.validationFrom }),
    train,
    test,
  };
}

/** Where a folder has parts: which they are, and how large, so that whoever misread a name sees it. */
function partsText({ train, validationFrom, test }: ImageFolder): string {
  if (validationFrom === undefined && test === null) return '';
  const parts = [train.slice(0, validationFrom), train.slice(validationFrom ?? train.length), test ?? []];
  const named = parts.flatMap((files) =>
    files[0] === undefined ? [] : [`${files[0].path.split('/')[0]}/ ${files.length}`],
  );
  return ` (${named.join(', ')})`;
}

/** The files that an experiment asks for. */
export function selectImages(listing: ImageFolder, { limit, perClass }: DatasetSpec): ImageFolder {
  if (limit !== undefined) {
    checkLimit(limit, listing.train.length);
    const train = listing.train.slice(0, limit);
    const missing = listing.classes.find((_, label) => !train.some((file) => file.label === label));
    if (missing !== undefined)
      throw new ConfigError({
        field: 'dataset.limit',
        value: String(limit),
        allowed: `must reach into every class: samples are sorted by class, and the first ${limit} hold none of class ${JSON.stringify(missing)}; dataset.perClass takes the first of each class`,
      });
    const { validationFrom } = listing;
    return { ...listing, train, validationFrom: (validationFrom ?? limit) < limit ? validationFrom : undefined };
  }
  if (perClass === undefined) return listing;
  const from = listing.validationFrom ?? listing.train.length;
  const firsts = (files: readonly FolderFile[]): FolderFile[] =>
    listing.classes.flatMap((_, label) => files.filter((file) => file.label === label).slice(0, perClass));
  const train = firsts(listing.train.slice(0, from));
  return {
    ...listing,
    train: [...train, ...firsts(listing.train.slice(from))],
    validationFrom: listing.validationFrom === undefined ? undefined : train.length,
  };
}

type ImagePart = Extract<SourceBundle, { kind: 'images' }>['train'];

async function uploadPart(
  folder: string,
  files: readonly FolderFile[],
  blobs: BlobStore,
  progress: (files: number) => void,
): Promise<ImagePart> {
  const readable = files.filter(({ problem }) => problem === undefined);
  const counts = packsOf(readable.map(({ bytes }) => bytes));
  const packs: BlobRef[] = [];
  const firsts = startsOf(counts);
  const waiting = counts.keys();
  const lane = async (): Promise<void> => {
    for (const pack of waiting) {
      const from = firsts[pack] ?? 0;
      const bytes = await readPack(folder, readable.slice(from, from + (counts[pack] ?? 0)));
      packs[pack] = { digest: await blobs.put(bytes), bytes: bytes.length };
      progress(counts[pack] ?? 0);
    }
  };
  await Promise.all(Array.from({ length: concurrentPacks }, lane));
  return { files: await putJson(blobs, files), count: files.length, packs };
}

/** The files of a pack, one after another. */
async function readPack(folder: string, files: readonly FolderFile[]): Promise<Uint8Array> {
  const pack = Buffer.allocUnsafe(files.reduce((sum, { bytes }) => sum + bytes, 0));
  const offsets = startsOf(files.map(({ bytes }) => bytes));
  const waiting = files.entries();
  const lane = async (): Promise<void> => {
    for (const [i, file] of waiting) await readInto(folder, file, pack, offsets[i] ?? 0);
  };
  await Promise.all(Array.from({ length: concurrentFiles }, lane));
  return pack;
}

async function readInto(folder: string, { path, bytes }: FolderFile, pack: Buffer, offset: number): Promise<void> {
  const unreadable = (reason: string): ConfigError => new ConfigError(`dataset: ${join(folder, path)} ${reason}`);
  let file: FileHandle | undefined;
  try {
    file = await open(join(folder, path));
    let done = 0;
    while (done < bytes) {
      const { bytesRead } = await file.read(pack, offset + done, bytes - done);
      if (bytesRead === 0) throw unreadable('became shorter while it was read');
      done += bytesRead;
    }
  } catch (error) {
    if (error instanceof ConfigError) throw error;
    throw unreadable(`cannot be read: ${error instanceof Error ? error.message : String(error)}`);
  } finally {
    await file?.close();
  }
}
