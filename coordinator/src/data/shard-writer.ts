import type { ImageSpec } from '@crossfold/shared/config/dataset';
import type { BlobStore } from '@crossfold/shared/data/blob-store';
import type { Shard } from '@crossfold/shared/data/manifest';
import { sampleBytesOf } from '@crossfold/shared/data/manifest';
import { packIsFull } from './packs.ts';

const shardBytes = 4 * 1024 * 1024;

/**
 * Samples in a shard of pixels: the largest power of two whose pixels fit into 4 MiB, and at least one. It depends on
 * the images' size alone, so that data sets which begin alike share shards.
 */
export const samplesPerShard = (sampleBytes: number): number =>
  2 ** Math.max(0, Math.floor(Math.log2(shardBytes / sampleBytes)));

/** Stores samples, which come one by one, in shards: of so many pixels, or of files as `packsOf` packs them. */
export class ShardWriter {
  readonly #blobs: BlobStore;
  readonly #isFull: (count: number, bytes: number, next: number) => boolean;
  readonly #shards: Promise<Shard>[] = [];
  #samples: Uint8Array[] = [];
  #bytes = 0;
  #first = 0;

  constructor(image: ImageSpec, blobs: BlobStore) {
    const perShard = samplesPerShard(sampleBytesOf(image));
    this.#blobs = blobs;
    this.#isFull = image.store === 'files' ? packIsFull : (count) => count === perShard;
  }

  /** Takes a sample, which must not be changed any more. Waits while more than one shard is on its way. */
  async add(sample: Uint8Array): Promise<void> {
    if (this.#isFull(this.#samples.length, this.#bytes, sample.length)) await this.#store();
    this.#samples.push(sample);
    this.#bytes += sample.length;
  }

  /** The shards, all stored. */
  async finish(): Promise<Shard[]> {
    if (this.#samples.length > 0) await this.#store();
    return Promise.all(this.#shards);
  }

  async #store(): Promise<void> {
    const [count, first, bytes] = [this.#samples.length, this.#first, Buffer.concat(this.#samples, this.#bytes)];
    this.#first += count;
    this.#samples = [];
    this.#bytes = 0;
    await this.#shards.at(-1);
    const stored = this.#blobs.put(bytes).then((digest): Shard => ({ digest, bytes: bytes.length, first, count }));
    // Waited for by the next shard, or at the end.
    stored.catch(() => undefined);
    this.#shards.push(stored);
  }
}
