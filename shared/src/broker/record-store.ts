import type { JetStreamManager, KV, KvEntry } from 'nats';
import { JSONCodec } from 'nats';
import { z } from 'zod';
import type { Border } from '../border.ts';
import type { Decoded } from '../decode.ts';
import { decodeJson } from '../decode.ts';
import { DamagedDataError, UnreachableError } from '../errors.ts';
import { pause } from '../wait.ts';
import type { Link } from './link.ts';
import { recordStream } from './subjects.ts';
import { isApiError, writeUnderWay, wrongLastSequence } from './trouble.ts';
import { watchBucket } from './watch.ts';

export interface Stored<T> {
  readonly key: string;
  readonly value: T;
  readonly revision: number;
}

export interface RecordStoreParts<T> {
  readonly kv: KV;
  readonly manager: JetStreamManager;
  readonly link: Link;
  readonly bucket: string;
  readonly schema: z.ZodType<T>;
  /** The key that a value says is its own; undefined where it says none. */
  readonly keyOf: (value: T) => string | undefined;
  readonly border: Border;
}

/** What the broker takes for a key. */
const possibleKey = /^[-/=\w](?:[-/=.\w]*[-/=\w])?$/;

/** How often a transition is tried while others keep writing the same record. */
const maxTries = 200;
/** How long, and how often, a transition waits for the leader to put a record back. */
const putBackMs = 100;
const maxPutBacks = 20;

/**
 * What lies at a record's key does not even say that it is that record: an answer of JetStream's, say, that somebody had
 * sent there. A record that another version of this program has written does.
 */
export class DisplacedRecordError extends DamagedDataError {}

/**
 * Records of one kind in a key-value bucket; every change is a compare-and-set on the record's revision. While the
 * broker is away or full requests go on being asked for as long as the link is patient, and then throw UnreachableError
 * or BrokerFullError.
 */
export class RecordStore<T> {
  readonly #parts: RecordStoreParts<T>;

  constructor(parts: RecordStoreParts<T>) {
    this.#parts = parts;
  }

  async get(key: string): Promise<Stored<T> | undefined> {
    // What a user has named, and no key can be, is not there.
    if (!possibleKey.test(key)) return undefined;
    const { kv, link } = this.#parts;
    const entry = await link.request(`to read ${key}`, () => kv.get(key));
    if (entry === null || entry.operation !== 'PUT') return undefined;
    return { key, value: this.#decode(entry), revision: entry.revision };
  }

  /**
   * For how long a record has been as it is, in milliseconds by the broker's own clock; 0 where there is none, or the
   * broker does not say what time it is.
   */
  ageMs(key: string): Promise<number> {
    const { kv, link, manager, bucket } = this.#parts;
    return link.request(`to look how old ${key} is`, async () => {
      const entry = await kv.get(key);
      const { ts } = await manager.streams.info(recordStream(bucket));
      return entry === null || ts === undefined ? 0 : Math.max(0, Date.parse(ts) - entry.created.getTime());
    });
  }

  /**
   * Writes a record that must not exist yet; false where it does. What has displaced one, and nobody has put back, is
   * none. Where an answer of the broker was lost it may be this very call that has written it.
   */
  async create(key: string, value: T): Promise<boolean> {
    if (await this.#write(key, () => this.#parts.kv.create(key, codec.encode(value)))) return true;
    const there = await this.#parts.link.request(`to read ${key}`, () => this.#parts.kv.get(key));
    const { schema, keyOf } = this.#parts;
    if (there?.operation !== 'PUT' || 'value' in decodeRecord(schema, keyOf, key, there.value)) return false;
    return isDisplaced(key, there.value) && this.update(key, value, there.revision);
  }

  /**
   * Writes a record if its revision is still the one given; false where somebody else has written since, or is writing.
   * Where an answer of the broker was lost it may be this very call that has.
   */
  update(key: string, value: T, revision: number): Promise<boolean> {
    return this.#write(key, () =>
      this.#parts.kv.update(key, codec.encode(value), revision).catch((error: unknown) => {
        // Whoever updates has read, and reads again: it need not wait for what comes of the other write.
        if (isApiError(error, writeUnderWay)) return undefined;
        throw error;
      }),
    );
  }

  /**
   * Applies a transition to the record as it stands, again where somebody else wrote in between. Returns the record
   * written, or undefined where there is none or the transition does not apply to it.
   */
  async transition(key: string, change: (current: T) => T | undefined): Promise<T | undefined> {
    let attempted: string | undefined;
    let putBacks = 0;
    for (let tries = 0; tries < maxTries; tries++) {
      let stored: Stored<T> | undefined;
      try {
        stored = await this.get(key);
      } catch (error) {
        if (!(error instanceof DisplacedRecordError) || putBacks++ === maxPutBacks) throw error;
        await pause(putBackMs, never);
        continue;
      }
      if (stored === undefined) return undefined;
      // The write before went through after all; only its answer was lost.
      if (attempted !== undefined && JSON.stringify(stored.value) === attempted) return stored.value;
      const changed = change(stored.value);
      if (changed === undefined) return undefined;
      // What nobody could read must not be written; and with its parts in the order in which they are read.
      const next = this.#parts.schema.parse(changed);
      if (await this.update(key, next, stored.revision)) return next;
      attempted = JSON.stringify(next);
      if (tries > 10) await pause(tries, never);
    }
    throw new UnreachableError(`gave up changing ${key}: others kept changing it at the same time, ${maxTries} times`);
  }

  async delete(key: string): Promise<void> {
    const { kv, link } = this.#parts;
    await link.request(`to delete ${key}`, () => kv.purge(key));
  }

  /** Deletes a record if its revision is still the one given; false where somebody has written, or deleted it, since. */
  async deleteAt(key: string, revision: number): Promise<boolean> {
    const { kv, link } = this.#parts;
    try {
      await link.request(`to delete ${key}`, () => kv.delete(key, { previousSeq: revision }));
      return true;
    } catch (error) {
      if (isApiError(error, wrongLastSequence)) return false;
      throw error;
    }
  }

  /**
   * Has the broker forget what `filter` takes in, up to a revision: a record that is deleted leaves a marker, by which
   * those who watch are told. They are not told of this.
   */
  async forget(filter: string, upTo: number): Promise<void> {
    const { manager, link, bucket } = this.#parts;
    await link.request(`to forget ${filter}`, () =>
      manager.streams.purge(recordStream(bucket), { filter: `$KV.${bucket}.${filter}`, seq: upTo + 1 }),
    );
  }

  /** Deletes a record that is not what it should be, unless somebody else has written it meanwhile. */
  async deleteDamaged(key: string): Promise<void> {
    const { kv, link, schema, keyOf } = this.#parts;
    await link.request(`to delete ${key}`, async () => {
      const entry = await kv.get(key);
      if (entry?.operation !== 'PUT' || 'value' in decodeRecord(schema, keyOf, key, entry.value)) return;
      await kv.delete(key, { previousSeq: entry.revision });
    });
  }

  keys(filter: string): Promise<string[]> {
    const { kv, link } = this.#parts;
    return link.request(`to list ${filter}`, async () => {
      // One that changes meanwhile comes twice.
      const keys = new Set<string>();
      for await (const key of await kv.keys(filter)) keys.add(key);
      return [...keys];
    });
  }

  /**
   * All records that match, in one go however many there are.
   * @param onDamaged told of those that cannot be decoded, which are left out
   * @throws DamagedDataError where one of them cannot be decoded and nobody is told
   */
  async list(filter: string, onDamaged?: (error: DamagedDataError) => void): Promise<T[]> {
    const found = new Map<string, T>();
    const damaged: DamagedDataError[] = [];
    const over = new AbortController();
    try {
      await this.watch(
        filter,
        over.signal,
        ({ key, value }) => found.set(key, value),
        (error) => damaged.push(error),
      );
    } finally {
      over.abort();
    }
    for (const error of damaged) {
      if (onDamaged === undefined) throw error;
      onDamaged(error);
    }
    return [...found.values()];
  }

  /**
   * Calls `seen` with every record that matches now and then with changes, until the signal aborts: with the newest
   * state of each record for certain, with those in between mostly. Resolves once those that were there at the start
   * have been seen. A record that cannot be decoded is passed to `damaged`, never thrown (and where it is displaced with
   * what has to be known to put it back); one that is deleted to
   * `deleted`, and that can come more than once, of records that were never seen, and is left out where the deletion has
   * been forgotten before the watch came to it.
   */
  watch(
    filter: string,
    signal: AbortSignal,
    seen: (stored: Stored<T>) => void,
    damaged: (error: DamagedDataError, displaced?: Pick<Stored<T>, 'key' | 'revision'>) => void,
    deleted: (key: string, revision: number) => void = () => undefined,
  ): Promise<void> {
    return watchBucket(this.#parts, filter, signal, (entry) => {
      if (entry.operation !== 'PUT') return deleted(entry.key, entry.revision);
      let value: T;
      try {
        value = this.#decode(entry);
      } catch (error) {
        if (!(error instanceof DamagedDataError)) throw error;
        damaged(error, error instanceof DisplacedRecordError ? entry : undefined);
        return;
      }
      seen({ key: entry.key, value, revision: entry.revision });
    });
  }

  async #write(key: string, put: () => Promise<number | undefined>): Promise<boolean> {
    try {
      return (await this.#parts.link.request(`to write ${key}`, put)) !== undefined;
    } catch (error) {
      if (isApiError(error, wrongLastSequence)) return false;
      throw error;
    }
  }

  #decode({ key, value: bytes }: KvEntry): T {
    const { schema, keyOf, border } = this.#parts;
    const decoded = decodeRecord(schema, keyOf, key, bytes);
    if ('value' in decoded) return decoded.value;
    border.dropped('record', `${this.#parts.bucket} ${key}`, decoded.why);
    const why = `record ${key} is not as it should be: ${decoded.why}`;
    throw isDisplaced(key, bytes) ? new DisplacedRecordError(why) : new DamagedDataError(why);
  }
}

/** More than any record has: what is larger than a message lies in the object store. */
const maxRecordBytes = 8 * 2 ** 20;

/** The record in some bytes. One that says that it is another's is none: whoever reads it goes by what it says. */
export function decodeRecord<T>(
  schema: z.ZodType<T>,
  keyOf: (value: T) => string | undefined,
  key: string,
  bytes: Uint8Array,
): Decoded<T> {
  const decoded = decodeJson(schema, bytes, maxRecordBytes);
  if ('why' in decoded) return decoded;
  const own = keyOf(decoded.value);
  return own === undefined || own === key ? decoded : { why: `it says that it is ${own}` };
}

const Named = z.object({ id: z.string() });

/** Whether bytes that are not the record of a key do not claim to be it either. */
function isDisplaced(key: string, bytes: Uint8Array): boolean {
  const decoded = decodeJson(Named, bytes, maxRecordBytes);
  return 'why' in decoded || decoded.value.id !== key;
}

const codec = JSONCodec<unknown>();
const never = new AbortController().signal;
