import type { Samples, Shard } from '@crossfold/shared/data/manifest';
import { readLabels } from '@crossfold/shared/data/manifest';

/** The samples of one part of a data set, in memory that threads share; a sample's place is its index. */
export interface DatasetStore {
  /** uint8, one sample after another; those of shards that no job has needed yet are zeros, and take up no memory. */
  readonly pixels: SharedArrayBuffer;
  readonly sampleBytes: number;
  /** Class of each sample, in shared memory as well. */
  readonly labels: Int32Array;
  /** The place of every sample. */
  readonly all: Uint32Array;
}

/** A store that fills itself shard by shard. */
export class LoadingStore {
  readonly store: DatasetStore;
  readonly #samples: Samples;
  /** Number of the shard that each sample is in. */
  readonly #shardOf: Uint32Array;
  readonly #loads = new Map<number, Promise<void>>();

  constructor(samples: Samples, sampleBytes: number) {
    const labels = new Int32Array(new SharedArrayBuffer(4 * samples.count));
    labels.set(readLabels(samples));
    this.#samples = samples;
    this.#shardOf = new Uint32Array(samples.count);
    samples.shards.forEach(({ first, count }, number) => {
      this.#shardOf.fill(number, first, first + count);
    });
    this.store = {
      pixels: new SharedArrayBuffer(samples.count * sampleBytes),
      sampleBytes,
      labels,
      all: Uint32Array.from({ length: samples.count }, (_, i) => i),
    };
  }

  /**
   * Loads the shards that hold the given samples, each once, a few at a time.
   * @param fetch gives a shard's pixels
   */
  async load(indices: Uint32Array, fetch: (shard: Shard) => Promise<Uint8Array>, signal: AbortSignal): Promise<void> {
    const needed = new Set<number>();
    for (const index of indices) needed.add(this.#shardOf[index] ?? -1);
    const waiting = needed.values();
    const lane = async (): Promise<void> => {
      for (const number of waiting) {
        signal.throwIfAborted();
        await this.#loadShard(number, fetch);
      }
    };
    await Promise.all(Array.from({ length: concurrentShards }, lane));
  }

  #loadShard(number: number, fetch: (shard: Shard) => Promise<Uint8Array>): Promise<void> {
    const begun = this.#loads.get(number);
    if (begun !== undefined) return begun;
    const shard = this.#samples.shards[number];
    if (shard === undefined) throw new RangeError(`there is no shard ${number}`);
    const load = fetch(shard).then((bytes) => {
      new Uint8Array(this.store.pixels).set(bytes, shard.first * this.store.sampleBytes);
    });
    this.#loads.set(number, load);
    // What failed is tried again by whoever needs it next.
    load.catch(() => this.#loads.delete(number));
    return load;
  }
}

const concurrentShards = 4;
