import { createHash } from 'node:crypto';
import type { ObjectStore } from 'nats';
import type { BlobStore } from '../data/blob-store.ts';
import { DamagedDataError } from '../errors.ts';
import { within } from '../wait.ts';

/** Bounds on one transfer: a start of its own and then what a slow link needs for the bytes. */
const transferTimeoutMs = (bytes: number): number => 10_000 + bytes / 500;

/**
 * Content-addressed blobs in a NATS object store, named by their SHA-256. A blob is written once and never changed, so
 * whoever holds a digest can fetch it at any time and check what arrives.
 */
export function blobStore(store: ObjectStore): BlobStore {
  const size = async (digest: string): Promise<number | undefined> => {
    const info = await store.info(digest);
    return info === null || info.deleted ? undefined : info.size;
  };
  return {
    async put(bytes) {
      const digest = sha256(bytes);
      if ((await size(digest)) === bytes.length) return digest;
      await within(
        store.putBlob({ name: digest }, bytes, { timeout: transferTimeoutMs(bytes.length) }),
        transferTimeoutMs(bytes.length),
        `blob ${digest.slice(0, 12)} to be stored`,
      );
      return digest;
    },
    async has(digest) {
      return (await size(digest)) !== undefined;
    },
    async get(digest, maxBytes) {
      const bytes = await size(digest);
      if (bytes === undefined) throw new DamagedDataError(`blob ${digest} is not in the store`);
      if (bytes > maxBytes)
        throw new DamagedDataError(`blob ${digest} has ${bytes} bytes where at most ${maxBytes} were expected`);
      const what = `blob ${digest.slice(0, 12)} (${bytes} bytes) to arrive`;
      const received = await within(store.getBlob(digest), transferTimeoutMs(bytes), what);
      if (received === null) throw new DamagedDataError(`blob ${digest} is not in the store`);
      if (sha256(received) !== digest) throw new DamagedDataError(`blob ${digest} arrived damaged`);
      return received;
    },
    async remove(digest) {
      if (await this.has(digest)) await store.delete(digest);
    },
  };
}

export const sha256 = (bytes: Uint8Array | string): string => createHash('sha256').update(bytes).digest('hex');
