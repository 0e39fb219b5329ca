import type { z } from 'zod';
import type { BlobStore } from '../data/blob-store.ts';
import { DamagedDataError } from '../errors.ts';
import type { BlobRef } from '../jobs/records.ts';

/** The largest JSON document that is read: folds and results of large experiments are some tens of megabytes. */
export const maxJsonBytes = 256 * 1024 * 1024;

/** Stores a document; the same value, with its keys in the same order, gives the same digest. */
export async function putJson(store: BlobStore, value: unknown): Promise<BlobRef> {
  const bytes = new TextEncoder().encode(JSON.stringify(value));
  return { digest: await store.put(bytes), bytes: bytes.length };
}

/** @throws DamagedDataError where the blob is missing, damaged, or not what the schema says. */
export async function getJson<T>(
  store: BlobStore,
  { digest }: { readonly digest: string },
  schema: z.ZodType<T>,
): Promise<T> {
  const bytes = await store.get(digest, maxJsonBytes);
  const result = schema.safeParse(JSON.parse(new TextDecoder().decode(bytes)));
  if (!result.success)
    throw new DamagedDataError(`document ${digest.slice(0, 12)} is not as it should be: ${result.error.message}`);
  return result.data;
}
