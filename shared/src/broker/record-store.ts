import type { KV } from 'nats';
import { JSONCodec, NatsError } from 'nats';
import type { z } from 'zod';
import { DamagedDataError } from '../errors.ts';

export interface Stored<T> {
  readonly key: string;
  readonly value: T;
  readonly revision: number;
}

/** Records of one kind in a key-value bucket; every change is a compare-and-set on the record's revision. */
export class RecordStore<T> {
  readonly #kv: KV;
  readonly #schema: z.ZodType<T>;

  constructor(kv: KV, schema: z.ZodType<T>) {
    this.#kv = kv;
    this.#schema = schema;
  }

  async get(key: string): Promise<Stored<T> | undefined> {
    const entry = await this.#kv.get(key);
    if (entry === null || entry.operation !== 'PUT') return undefined;
    return { key, value: this.#decode(key, entry.value), revision: entry.revision };
  }

  /** Writes a record that must not exist yet; false where it does. */
  async create(key: string, value: T): Promise<boolean> {
    try {
      await this.#kv.create(key, codec.encode(value));
      return true;
    } catch (error) {
      if (isStale(error)) return false;
      throw error;
    }
  }

  /** Writes a record if its revision is still the one given; false where somebody else has written since. */
  async update(key: string, value: T, revision: number): Promise<boolean> {
    try {
      await this.#kv.update(key, codec.encode(value), revision);
      return true;
    } catch (error) {
      if (isStale(error)) return false;
      throw error;
    }
  }

  /**
   * Applies a transition to the record as it stands, again where somebody else wrote in between. Returns the record
   * written, or undefined where there is none or the transition does not apply to it.
   */
  async transition(key: string, change: (current: T) => T | undefined): Promise<T | undefined> {
    for (;;) {
      const stored = await this.get(key);
      if (stored === undefined) return undefined;
      const next = change(stored.value);
      if (next === undefined) return undefined;
      if (await this.update(key, next, stored.revision)) return next;
    }
  }

  async delete(key: string): Promise<void> {
    await this.#kv.purge(key);
  }

  async keys(filter: string): Promise<string[]> {
    const keys: string[] = [];
    for await (const key of await this.#kv.keys(filter)) keys.push(key);
    return keys;
  }

  /**
   * Calls `seen` with every record that matches now and then with every change, in order, until the signal aborts.
   * Resolves once those that were there at the start have been seen. A record that cannot be decoded is passed to
   * `damaged`, never thrown.
   */
  async watch(
    filter: string,
    signal: AbortSignal,
    seen: (stored: Stored<T>) => void,
    damaged: (error: DamagedDataError) => void,
  ): Promise<void> {
    const { promise, resolve } = withResolvers();
    // The client calls back at once where the bucket is empty.
    const iterator = await this.#kv.watch({ key: filter, initializedFn: resolve });
    signal.addEventListener('abort', () => iterator.stop(), { once: true });
    const follow = async (): Promise<void> => {
      for await (const entry of iterator) {
        if (signal.aborted) break;
        if (entry.operation !== 'PUT') continue;
        try {
          seen({ key: entry.key, value: this.#decode(entry.key, entry.value), revision: entry.revision });
        } catch (error) {
          if (!(error instanceof DamagedDataError)) throw error;
          damaged(error);
        }
      }
    };
    const following = follow();
    following.catch(() => undefined);
    await Promise.race([promise, following]);
  }

  #decode(key: string, bytes: Uint8Array): T {
    let value: unknown;
    try {
      value = codec.decode(bytes);
    } catch (error) {
      throw new DamagedDataError(`record ${key} is not JSON`, { cause: error });
    }
    const result = this.#schema.safeParse(value);
    if (!result.success) throw new DamagedDataError(`record ${key} is not as it should be: ${result.error.message}`);
    return result.data;
  }
}

const codec = JSONCodec<unknown>();

/** JetStream's error for a write whose expected revision is not the last one. */
const wrongLastSequence = 10071;
const isStale = (error: unknown): boolean =>
  error instanceof NatsError && error.api_error?.err_code === wrongLastSequence;

function withResolvers(): { promise: Promise<void>; resolve: () => void } {
  let resolve: () => void = () => undefined;
  const promise = new Promise<void>((r) => {
    resolve = r;
  });
  return { promise, resolve };
}
