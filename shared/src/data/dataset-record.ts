import { z } from 'zod';
import { DatasetName } from '../config/dataset.ts';
import { BlobRef } from '../jobs/records.ts';
import { ImageShape } from './manifest.ts';

/** Files named in a record: it must stay small, however many cannot be used. */
export const maxSkippedNamed = 100;

/** A data set that was imported under a name: what is known of it without fetching anything. */
export const DatasetRecord = z
  .strictObject({
    schema: z.literal(1),
    name: DatasetName,
    /** Its manifest, whose digest is the data set's. */
    manifest: BlobRef,
    samples: z.int().min(1),
    testSamples: z.int().min(0),
    classes: z.int().min(1),
    image: ImageShape,
    shards: z.int().min(1),
    /** Of its shards. */
    bytes: z.int().min(1),
    /** Files that cannot be used and were left out; of many, the first. */
    skipped: z
      .array(z.strictObject({ path: z.string().max(4096), reason: z.string().max(400) }).readonly())
      .max(maxSkippedNamed)
      .readonly(),
    /** Where it came from, as the user gave it. */
    source: z.string().max(4096),
    importedAt: z.number(),
  })
  .readonly();
export type DatasetRecord = z.infer<typeof DatasetRecord>;

/** What whoever takes blobs away leaves beside them, for those who count on blobs that are there already. */
export const RemovalNote = z
  .strictObject({
    schema: z.literal(1),
    /** `now`: the removal that is under way; `last`: the one that was over last. */
    name: z.enum(['now', 'last']),
    /** Another one for each removal. */
    id: z.string().max(100),
    /** The data set. */
    of: z.string().max(100),
    /** When the remover was last seen at work, epoch milliseconds. */
    seenAt: z.number(),
  })
  .readonly();
export type RemovalNote = z.infer<typeof RemovalNote>;
