import type { z } from 'zod';
import { Experiment } from '../config/experiment.ts';
import type { BlobStore } from '../data/blob-store.ts';
import { decodeJson } from '../decode.ts';
import { DamagedDataError } from '../errors.ts';
import type { BlobRef } from '../jobs/records.ts';

/** The largest JSON document that is read: folds and results of large experiments are some tens of megabytes. */
export const maxJsonBytes = 256 * 1024 * 1024;

/** The longest experiment that is read: files of experiments are some kilobytes, and others are not to wait for one. */
const maxExperimentBytes = 1024 * 1024;

/** Stores a document; the same value, with its keys in the same order, gives the same digest. */
export async function putJson(store: BlobStore, value: unknown): Promise<BlobRef> {
  const bytes = new TextEncoder().encode(JSON.stringify(value));
  return { digest: await store.put(bytes), bytes: bytes.length };
}

/** @throws DamagedDataError where the blob is missing, damaged, or not what the schema says. */
export async function getJson<T>(
  store: BlobStore,
  { digest, bytes = maxJsonBytes }: { readonly digest: string; readonly bytes?: number },
  schema: z.ZodType<T>,
): Promise<T> {
  // Whoever refers to it may say how long it is.
  const decoded = decodeJson(schema, await store.get(digest, Math.min(bytes, maxJsonBytes)), maxJsonBytes);
  if ('value' in decoded) return decoded.value;
  throw new DamagedDataError(`document ${digest.slice(0, 12)} is not as it should be: ${decoded.why}`);
}

/**
 * What was submitted, as it was resolved.
 *
 * @throws DamagedDataError as `getJson` does, and where it is longer than any experiment is
 */
export const getExperiment = (store: BlobStore, { digest, bytes }: BlobRef): Promise<Experiment> =>
  getJson(store, { digest, bytes: Math.min(bytes, maxExperimentBytes) }, Experiment);
