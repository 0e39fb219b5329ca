import type { ImageShape } from '@crossfold/shared/data/manifest';
import { listOf } from '@crossfold/shared/decode';
import { BlobRef } from '@crossfold/shared/jobs/records';
import { z } from 'zod';

/** A source file, unpacked, as blobs: its bytes from the first on, as far as they are needed. */
export const SourceFile = z
  .strictObject({
    /** Its name, for messages. */
    path: z.string().min(1).max(1024),
    /** Its whole length; the parts may end before. */
    bytes: z.int().min(1),
    parts: listOf(BlobRef, 1_000_000).readonly(),
  })
  .readonly();
export type SourceFile = z.infer<typeof SourceFile>;

/** A picture file of an upload. */
export const ImageFile = z
  .strictObject({
    path: z.string().min(1).max(4096),
    label: z.int().min(0).max(65_535),
    bytes: z.int().min(0),
    /** Why it cannot be used; it is in no pack then. */
    problem: z.string().max(400).exactOptional(),
  })
  .readonly();
export type ImageFile = z.infer<typeof ImageFile>;

const ImagePart = z
  .strictObject({
    /** Blob of the list of files, `ImageFile`s in the data set's order. */
    files: BlobRef,
    count: z.int().min(1),
    /** The bytes of the files, cut as `packsOf` says. */
    packs: listOf(BlobRef, 1_000_000).readonly(),
  })
  .readonly();

/** Blob of what a table says of the training samples, a `SampleColumns`, where there is a table. */
const Columns = BlobRef.exactOptional();

const IdxPair = z.strictObject({ images: SourceFile, labels: SourceFile }).readonly();

/**
 * The files of a data set, uploaded by a client for the coordinator to cut: a blob, named by its digest. Further kinds
 * of data sets join by their own `kind`.
 */
export const SourceBundle = z.discriminatedUnion('kind', [
  z
    .strictObject({
      kind: z.literal('idx'),
      name: z.string().min(1).max(200),
      train: IdxPair,
      test: IdxPair.nullable(),
      columns: Columns,
    })
    .readonly(),
  z
    .strictObject({
      kind: z.literal('imported'),
      name: z.string().min(1).max(200),
      /** It was cut when it was imported. */
      manifest: BlobRef,
      /** Of its shards. */
      bytes: z.int().min(1),
    })
    .readonly(),
  z
    .strictObject({
      kind: z.literal('images'),
      name: z.string().min(1).max(200),
      classes: z.array(z.string().min(1).max(200)).min(2).max(65_536).readonly(),
      train: ImagePart,
      test: ImagePart.nullable(),
      columns: Columns,
      /** The first file of `train` that belongs to the folder's own validation part, where it has one. */
      validationFrom: z.int().min(1).exactOptional(),
    })
    .readonly(),
]);
export type SourceBundle = z.infer<typeof SourceBundle>;

/** A data set that can be cut, whatever its files look like. */
export interface DatasetSource {
  readonly name: string;
  /** Name of each class. */
  readonly classes: readonly string[];
  readonly imageShape: ImageShape;
  readonly train: SampleSource;
  /** The held-out test set, where there is one. */
  readonly test: SampleSource | null;
}

export interface SampleSource {
  /** Class of each sample; as many as there are samples. */
  readonly labels: Uint8Array | Uint16Array;
  /** Pixels of the samples `first` to `first + count - 1`: uint8, [count, height, width, channels]. */
  read(first: number, count: number): Promise<Uint8Array>;
}
