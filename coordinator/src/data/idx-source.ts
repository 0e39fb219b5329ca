import type { BlobStore } from '@crossfold/shared/data/blob-store';
import type { ImageShape } from '@crossfold/shared/data/manifest';
import { ImageShape as ImageShapeSchema } from '@crossfold/shared/data/manifest';
import { ConfigError } from '@crossfold/shared/errors';
import type { IdxHeader } from './idx.ts';
import { checkIdxLength, maxIdxHeaderBytes, readIdxHeader } from './idx.ts';
import { PartReader } from './part-reader.ts';
import type { DatasetSource, SampleSource, SourceBundle, SourceFile } from './source.ts';

/** Numbers of dimensions: labels; images of one channel, or with their channels last. */
export const labelRanks = [1];
export const imageRanks = [3, 4];

/** Bytes of an IDX file of labels before the first of them. */
export const labelsHeaderBytes = 8;

interface Pair {
  readonly imageShape: ImageShape;
  readonly labels: Uint8Array;
  readonly samples: SampleSource;
}

/**
 * Opens uploaded IDX files. Classes are the labels, from 0 to the largest there is.
 *
 * @param limit how many training samples there are to be; undefined: all
 * @throws ConfigError where the files are no IDX files or do not fit one another
 */
export async function openIdxSource(
  bundle: Extract<SourceBundle, { kind: 'idx' }>,
  limit: number | undefined,
  blobs: BlobStore,
): Promise<DatasetSource> {
  const train = await openPair(bundle.train, blobs, limit);
  const test = bundle.test === null ? null : await openPair(bundle.test, blobs, undefined);
  if (test !== null && shapeText(test.imageShape) !== shapeText(train.imageShape))
    throw new ConfigError(
      `dataset: ${bundle.test?.images.path} has images of ${shapeText(test.imageShape)}, where ${bundle.train.images.path} has ${shapeText(train.imageShape)}`,
    );
  const largest = [train, test]
    .flatMap((pair) => (pair === null ? [] : [...pair.labels]))
    .reduce((a, b) => Math.max(a, b), 0);
  return {
    name: bundle.name,
    classes: Array.from({ length: largest + 1 }, (_, label) => String(label)),
    imageShape: train.imageShape,
    train: train.samples,
    test: test === null ? null : test.samples,
  };
}

async function openPair(
  files: { readonly images: SourceFile; readonly labels: SourceFile },
  blobs: BlobStore,
  limit: number | undefined,
): Promise<Pair> {
  const images = await openFile(files.images, blobs, imageRanks);
  const labels = await openFile(files.labels, blobs, labelRanks);
  const [count = 0, height = 0, width = 0, channels = 1] = images.dimensions;
  checkCounts(count, labels.dimensions[0] ?? 0, files.images.path, files.labels.path);
  const shape = ImageShapeSchema.safeParse({ height, width, channels });
  if (!shape.success)
    throw new ConfigError(
      `dataset: ${files.images.path} has images of ${shapeText({ height, width, channels })}, which is more than can be handled`,
    );
  if (limit !== undefined) checkLimit(limit, count);
  const all = (await labels.reader.read(labels.offset, count)).slice();
  const sampleBytes = height * width * channels;
  return {
    imageShape: shape.data,
    labels: all,
    samples: {
      labels: all.subarray(0, limit ?? count),
      read: (first, samples) => images.reader.read(images.offset + first * sampleBytes, samples * sampleBytes),
    },
  };
}

async function openFile(
  file: SourceFile,
  blobs: BlobStore,
  ranks: readonly number[],
): Promise<IdxHeader & { readonly reader: PartReader }> {
  const reader = new PartReader(file, blobs);
  const start = await reader.read(0, Math.min(maxIdxHeaderBytes, reader.length));
  const header = readIdxHeader(start, file.path, ranks);
  checkIdxLength(header, file.bytes, file.path);
  return { ...header, reader };
}

/** @throws ConfigError where there are not as many images as labels. */
export function checkCounts(images: number, labels: number, imagesFile: string, labelsFile: string): void {
  if (images !== labels)
    throw new ConfigError(`dataset: ${imagesFile} has ${images} images, and ${labelsFile} has ${labels} labels`);
}

/** @throws ConfigError where more samples are asked for than there are. */
export function checkLimit(limit: number, samples: number): void {
  if (limit > samples)
    throw new ConfigError({
      field: 'dataset.limit',
      value: String(limit),
      allowed: `must be at most the number of training samples, which is ${samples}`,
    });
}

const shapeText = ({ height, width, channels }: ImageShape): string => `${height} x ${width} x ${channels}`;
