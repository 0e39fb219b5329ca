import type { Broker } from '@crossfold/shared/broker/broker';
import { uploadGoodForMs } from '@crossfold/shared/broker/uploads';
import type { BlobStore, StoredBlob } from '@crossfold/shared/data/blob-store';
import type { KnownDocuments } from './references.ts';
import { referenced, unreferenced } from './references.ts';

export interface Swept {
  readonly blobs: number;
  readonly bytes: number;
  /** Data sets were left alone, as one is being uploaded. */
  readonly uploading: boolean;
}

/**
 * Removes artifacts and pieces of data sets that no record refers to any more: what is stored is listed first, then the
 * records are read, so that what they refer to by then stays. What somebody stores, or finds stored, meanwhile is not
 * removed: its entry has changed.
 *
 * @throws DamagedDataError where a record cannot be read; UnreachableError
 */
export async function sweepBlobs(
  broker: Broker,
  known: KnownDocuments,
  { now, youngMs, leads }: { readonly now: () => number; readonly youngMs: number; readonly leads: () => boolean },
): Promise<Swept> {
  const artifacts = await broker.artifacts.list();
  const data = await broker.data.list();
  const uploading = await isUploading(broker, now());
  const needed = await referenced(broker, known);
  const swept = { blobs: 0, bytes: 0, uploading };
  const remove = async (store: BlobStore, stored: readonly StoredBlob[]): Promise<void> => {
    for (const { digest, bytes, revision } of unreferenced(stored, needed, now(), youngMs)) {
      if (!leads()) return;
      if (!(await store.remove(digest, revision))) continue;
      swept.blobs++;
      swept.bytes += bytes;
    }
  };
  await remove(broker.artifacts, artifacts);
  if (!uploading) await remove(broker.data, data);
  return swept;
}

/** Whether a data set is being uploaded; what is left of uploads that were cut off goes. */
async function isUploading({ uploads }: Broker, now: number): Promise<boolean> {
  let uploading = false;
  for (const { name, heardAt } of await uploads.list()) {
    if (now - heardAt < uploadGoodForMs) uploading = true;
    else await uploads.remove(name);
  }
  return uploading;
}
