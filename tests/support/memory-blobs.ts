import type { BrokerBlobs } from '@crossfold/shared/broker/blobs';
import { sha256 } from '@crossfold/shared/data/digest';
import { DamagedDataError } from '@crossfold/shared/errors';

export interface MemoryBlobs extends BrokerBlobs {
  /** What is stored; tests may damage it. */
  readonly blobs: Map<string, Uint8Array>;
  /** Digests that were asked for, in order. */
  readonly fetched: string[];
  /** Digests of what was stored and had not been there, in order. */
  readonly stored: string[];
}

/** A blob store in memory. It hands out what it holds without checking it, so that tests see who does. */
export function memoryBlobs(): MemoryBlobs {
  const blobs = new Map<string, Uint8Array>();
  const fetched: string[] = [];
  const stored: string[] = [];
  return {
    blobs,
    fetched,
    stored,
    async put(bytes) {
      const digest = sha256(bytes);
      if (blobs.has(digest)) return digest;
      blobs.set(digest, Uint8Array.from(bytes));
      stored.push(digest);
      return digest;
    },
    has: async (digest) => blobs.has(digest),
    keep: async (digest) => blobs.has(digest),
    async get(digest, maxBytes) {
      fetched.push(digest);
      const bytes = blobs.get(digest);
      if (bytes === undefined) throw new DamagedDataError(`blob ${digest} is not in the store`);
      if (bytes.length > maxBytes) throw new DamagedDataError(`blob ${digest} is too large`);
      return bytes;
    },
    list: async () => [...blobs].map(([digest, { length }]) => ({ digest, bytes: length, storedAt: 0 })),
    tidy: async () => 0,
    async remove(digest) {
      blobs.delete(digest);
      return true;
    },
  };
}
