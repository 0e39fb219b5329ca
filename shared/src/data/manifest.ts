import { z } from 'zod';
import { ImageSpec } from '../config/dataset.ts';
import { BlobRef, Digest } from '../jobs/records.ts';
import type { BlobStore } from './blob-store.ts';
import { canonicalJson, sampleDigestBytes } from './digest.ts';

/** Height and width in pixels; pixels lie row by row, the channels of one side by side. */
export const ImageShape = z
  .strictObject({
    height: z.int().min(1).max(16_384),
    width: z.int().min(1).max(16_384),
    channels: z.int().min(1).max(4),
  })
  .readonly();
export type ImageShape = z.infer<typeof ImageShape>;

export const sampleBytesOf = ({ height, width, channels }: ImageShape): number => height * width * channels;

/**
 * A run of samples, `first` to `first + count - 1` in the data set's order, as a blob of nothing but their pixels, or of
 * nothing but their files.
 */
export const Shard = z
  .strictObject({ digest: Digest, bytes: z.int().min(1), first: z.int().min(0), count: z.int().min(1) })
  .readonly();
export type Shard = z.infer<typeof Shard>;

/** The samples of one part of a data set, in its own order. */
export const Samples = z
  .strictObject({
    count: z.int().min(1),
    /** Base64 of each sample's class: a byte each, or two (little-endian) where there are more than 256 classes. */
    labels: z.string(),
    /** Base64 of each sample's digest (see `sampleDigests`). */
    sampleDigests: z.string(),
    /** In order; of pixels, all but the last hold equally many. */
    shards: z.array(Shard).readonly(),
    /** Where shards hold files: base64 of each file's length, four bytes each (little-endian). */
    fileBytes: z.string().exactOptional(),
    /** Where samples come from files: the list of their names, a `SampleNames`. */
    names: BlobRef.exactOptional(),
    /** Where a table came with the data set: its columns, a `SampleColumns`. */
    columns: BlobRef.exactOptional(),
  })
  .readonly();
export type Samples = z.infer<typeof Samples>;

/** The files that samples come from, relative to the data set's folder, with `/` between folders. */
export const SampleNames = z.array(z.string().max(4096)).readonly();
export type SampleNames = z.infer<typeof SampleNames>;

/** How files became pixels, where they did; see `ImageSpec`. */
export const Decoding = ImageSpec.unwrap().pick({ fit: true, kernel: true, maxPixels: true }).readonly();
export type Decoding = z.infer<typeof Decoding>;

/**
 * What a data set consists of. Written as canonical JSON and named by its digest: equal data, equal digest, wherever
 * and by whomever it was cut.
 */
export const Manifest = z
  .strictObject({
    schema: z.literal(1),
    name: z.string().min(1).max(200),
    imageShape: ImageShape,
    dtype: z.literal('uint8'),
    /** Name of each class. */
    classes: z.array(z.string().max(200)).min(1).max(65_536).readonly(),
    train: Samples,
    /** The held-out test set, where the data set has one; no fold ever holds any of it. */
    test: Samples.nullable(),
    /** Where the data set has a validation part of its own: the index in `train` from which on samples belong to it. */
    validationFrom: z.int().min(1).exactOptional(),
    /** Of a data set of pictures. */
    decoding: Decoding.exactOptional(),
    /** Files that could not be used and were left out. */
    skipped: z.int().min(1).exactOptional(),
  })
  .readonly()
  .superRefine((manifest, context) => {
    for (const part of ['train', 'test'] as const) {
      const samples = manifest[part];
      if (samples === null) continue;
      const message = inconsistency(samples, sampleBytesOf(manifest.imageShape), manifest.classes.length);
      if (message !== undefined) context.addIssue({ code: 'custom', path: [part], message });
      if (samples.fileBytes !== undefined && manifest.decoding === undefined)
        context.addIssue({ code: 'custom', path: ['decoding'], message: 'shards of files need it' });
    }
    const { validationFrom, train } = manifest;
    if (validationFrom !== undefined && validationFrom >= train.count)
      context.addIssue({
        code: 'custom',
        path: ['validationFrom'],
        message: `there are only ${train.count} samples, and validation would begin at ${validationFrom}`,
      });
  });
export type Manifest = z.infer<typeof Manifest>;

function inconsistency(samples: Samples, sampleBytes: number, classes: number): string | undefined {
  let next = 0;
  const files = samples.fileBytes === undefined ? undefined : readFileBytes(samples);
  if (files !== undefined && files.length !== samples.count) return `there are ${files.length} lengths of files`;
  const perShard = samples.shards[0]?.count ?? 0;
  for (const shard of samples.shards) {
    if (shard.first !== next || (files === undefined && shard.first % perShard !== 0))
      return `a shard begins at ${shard.first} after ${next} samples in shards of ${perShard}`;
    const bytes = files?.subarray(next, next + shard.count).reduce((sum, n) => sum + n, 0) ?? shard.count * sampleBytes;
    if (shard.bytes !== bytes) return `the shard at ${next} has ${shard.bytes} bytes`;
    next += shard.count;
  }
  if (next !== samples.count) return `the shards hold ${next} samples, not ${samples.count}`;
  const digests = base64Length(samples.sampleDigests);
  if (digests !== samples.count * sampleDigestBytes) return `there are ${digests} bytes of sample digests`;
  const perLabel = base64Length(samples.labels) / samples.count;
  if (perLabel !== 1 && perLabel !== 2) return `there are ${perLabel} bytes a label`;
  const outside = readLabels(samples).find((label) => label >= classes);
  return outside === undefined ? undefined : `a label is ${outside}, and there are ${classes} classes`;
}

/** What really comes of it: the length of a text says that only where all of it is base64. */
const base64Length = (text: string): number => Buffer.from(text, 'base64').length;

/** The class of each sample, as base64 for a manifest. */
export function encodeLabels(labels: ArrayLike<number>, classes: number): string {
  const width = classes <= 256 ? 1 : 2;
  const bytes = Buffer.alloc(labels.length * width);
  for (let i = 0; i < labels.length; i++) bytes.writeUIntLE(labels[i] ?? 0, i * width, width);
  return bytes.toString('base64');
}

/** The class of each sample, in the data set's order. */
export function readLabels(samples: Samples): Int32Array {
  const bytes = Buffer.from(samples.labels, 'base64');
  const width = bytes.length / samples.count;
  return Int32Array.from({ length: samples.count }, (_, i) => bytes.readUIntLE(i * width, width));
}

/** The length of each file, as base64 for a manifest. */
export function encodeFileBytes(lengths: readonly number[]): string {
  const bytes = Buffer.alloc(lengths.length * 4);
  lengths.forEach((length, i) => {
    bytes.writeUInt32LE(length, i * 4);
  });
  return bytes.toString('base64');
}

/** The length of each file where shards hold files; empty where they hold pixels. */
export function readFileBytes({ fileBytes = '' }: Pick<Samples, 'fileBytes'>): Float64Array {
  const bytes = Buffer.from(fileBytes, 'base64');
  return Float64Array.from({ length: Math.floor(bytes.length / 4) }, (_, i) => bytes.readUInt32LE(i * 4));
}

/** Stores a manifest, whose digest is then the data set's. */
export async function putManifest(store: BlobStore, manifest: Manifest): Promise<BlobRef> {
  const bytes = new TextEncoder().encode(canonicalJson(manifest));
  return { digest: await store.put(bytes), bytes: bytes.length };
}

/** Images that a data set holds more than once. */
export interface Duplicates {
  /** Indices of training samples, one group for each image that occurs more than once. */
  readonly train: readonly (readonly number[])[];
  /** Indices of test samples whose image is also a training sample's. */
  readonly testInTrain: readonly number[];
}

/** Finds identical images, whatever their labels: where a split parts them, a score counts what was trained on. */
export function findDuplicates(manifest: Manifest): Duplicates {
  const places = new Map<string, number[]>();
  digestsOf(manifest.train).forEach((digest, index) => {
    const same = places.get(digest);
    if (same === undefined) places.set(digest, [index]);
    else same.push(index);
  });
  const test = manifest.test === null ? [] : digestsOf(manifest.test);
  return {
    train: [...places.values()].filter((same) => same.length > 1),
    testInTrain: test.flatMap((digest, index) => (places.has(digest) ? [index] : [])),
  };
}

function digestsOf(samples: Samples): string[] {
  const bytes = Buffer.from(samples.sampleDigests, 'base64');
  return Array.from({ length: samples.count }, (_, i) =>
    bytes.toString('latin1', i * sampleDigestBytes, (i + 1) * sampleDigestBytes),
  );
}
