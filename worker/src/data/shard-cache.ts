import { randomUUID } from 'node:crypto';
import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { BlobStore } from '@crossfold/shared/data/blob-store';
import { sha256 } from '@crossfold/shared/data/digest';
import type { Shard } from '@crossfold/shared/data/manifest';
import { DamagedDataError } from '@crossfold/shared/errors';

/** How often a shard is fetched before it is given up. */
const maxAttempts = 3;

export interface ShardCacheOptions {
  /** Shared by the workers of a machine: files are written aside and renamed, and checked whenever they are read. */
  readonly folder: string;
  readonly blobs: BlobStore;
  /** Told what goes wrong and can be lived with: a damaged file, a full disk, a transfer that is tried again. */
  readonly onTrouble: (message: string) => void;
}

/** Shards on this machine's disk, fetched from the store when they are missing or damaged. */
export class ShardCache {
  readonly #options: ShardCacheOptions;

  constructor(options: ShardCacheOptions) {
    this.#options = options;
  }

  /**
   * A shard's pixels, with the right digest.
   *
   * @param dataset its name, for messages
   * @throws DamagedDataError naming shard and data set where the store gives no right bytes in three attempts
   */
  async get(shard: Shard, dataset: string): Promise<Uint8Array> {
    const file = join(this.#options.folder, shard.digest.slice(0, 2), shard.digest);
    const cached = await this.#read(file, shard);
    if (cached !== undefined) return cached;
    const fetched = await this.#fetch(shard, dataset);
    await this.#write(file, fetched);
    return fetched;
  }

  async #read(file: string, shard: Shard): Promise<Uint8Array | undefined> {
    let bytes: Uint8Array;
    try {
      bytes = await readFile(file);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT')
        this.#options.onTrouble(`cannot read a cached shard: ${text(error)}`);
      return undefined;
    }
    if (isShard(bytes, shard)) return bytes;
    this.#options.onTrouble(`the cached shard ${file} is damaged and is fetched again`);
    return undefined;
  }

  async #fetch(shard: Shard, dataset: string): Promise<Uint8Array> {
    const what = `shard ${shard.digest.slice(0, 12)} (samples ${shard.first} to ${shard.first + shard.count - 1}) of data set ${dataset}`;
    for (let attempt = 1; ; attempt++) {
      let reason: unknown = 'its bytes are not what its digest says';
      try {
        const bytes = await this.#options.blobs.get(shard.digest, shard.bytes);
        if (isShard(bytes, shard)) return bytes;
      } catch (error) {
        reason = error;
      }
      if (attempt < maxAttempts) {
        this.#options.onTrouble(`${what} is fetched again: ${text(reason)}`);
        continue;
      }
      if (reason instanceof Error && !(reason instanceof DamagedDataError)) throw reason;
      throw new DamagedDataError(`${what} is damaged; fetched ${maxAttempts} times, the last time: ${text(reason)}`, {
        cause: reason,
      });
    }
  }

  /** A cache that cannot be written to costs time, not the job. */
  async #write(file: string, bytes: Uint8Array): Promise<void> {
    const aside = `${file}.${randomUUID()}`;
    try {
      await mkdir(dirname(file), { recursive: true });
      await writeFile(aside, bytes);
      await rename(aside, file);
    } catch (error) {
      await rm(aside, { force: true }).catch(() => undefined);
      this.#options.onTrouble(`cannot cache a shard: ${text(error)}`);
    }
  }
}

const isShard = (bytes: Uint8Array, { digest, bytes: length }: Shard): boolean =>
  bytes.length === length && sha256(bytes) === digest;

const text = (error: unknown): string => (error instanceof Error ? error.message : String(error));
