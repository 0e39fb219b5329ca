import { canonicalJson, sha256 } from '@crossfold/shared/data/digest';
import type { Manifest, Shard } from '@crossfold/shared/data/manifest';
import { sampleBytesOf } from '@crossfold/shared/data/manifest';
import type { DatasetStore } from './dataset-store.ts';
import { LoadingStore } from './dataset-store.ts';
import { decodeShard } from './decode-shard.ts';
import type { ShardCache } from './shard-cache.ts';

export interface OpenOptions {
  /** Samples that are needed; all where not given. */
  readonly indices?: Uint32Array;
  readonly signal?: AbortSignal;
}

/**
 * Data sets in a worker's memory. A job after the first on the same data finds it there; what has not been used for
 * longest goes when a new one would take the total above the bound.
 */
export class DatasetCache {
  readonly #shards: ShardCache;
  readonly #maxBytes: number;
  /** The one used last comes last. */
  readonly #stores = new Map<string, LoadingStore>();

  constructor(shards: ShardCache, maxBytes: number) {
    this.#shards = shards;
    this.#maxBytes = maxBytes;
  }

  /** The training samples, those that are needed loaded; places in the store are indices in the data set. */
  train(manifest: Manifest, options: OpenOptions = {}): Promise<DatasetStore> {
    return this.#open(manifest, 'train', options);
  }

  /** The held-out test samples. */
  test(manifest: Manifest, options: OpenOptions = {}): Promise<DatasetStore> {
    return this.#open(manifest, 'test', options);
  }

  async #open(manifest: Manifest, part: 'train' | 'test', options: OpenOptions): Promise<DatasetStore> {
    const samples = manifest[part];
    if (samples === null) throw new Error(`data set ${manifest.name} has no ${part} samples`);
    const { imageShape, decoding = null } = manifest;
    const key = sha256(canonicalJson([imageShape, decoding, samples.labels, samples.shards]));
    let loading = this.#stores.get(key);
    if (loading === undefined) {
      const sampleBytes = sampleBytesOf(manifest.imageShape);
      this.#makeRoom(samples.count * sampleBytes);
      loading = new LoadingStore(samples, sampleBytes);
    }
    this.#stores.delete(key);
    this.#stores.set(key, loading);
    const { indices = loading.store.all, signal = new AbortController().signal } = options;
    const pixels = async (shard: Shard): Promise<Uint8Array> => {
      const bytes = await this.#shards.get(shard, manifest.name);
      return samples.fileBytes === undefined ? bytes : decodeShard(bytes, shard, manifest, samples);
    };
    await loading.load(indices, pixels, signal);
    return loading.store;
  }

  #makeRoom(bytes: number): void {
    let total = bytes;
    for (const { store } of this.#stores.values()) total += store.pixels.byteLength;
    for (const [key, { store }] of this.#stores) {
      if (total <= this.#maxBytes) return;
      this.#stores.delete(key);
      total -= store.pixels.byteLength;
    }
  }
}
