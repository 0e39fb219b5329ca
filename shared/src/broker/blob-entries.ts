import type { JetStreamClient, JetStreamManager, JetStreamSubscription, JsMsg } from 'nats';
import { consumerOpts, ErrorCode, headers, JsHeaders, NatsError } from 'nats';
import { z } from 'zod';
import type { Border } from '../border.ts';
import type { Decoded } from '../decode.ts';
import { decodeJson } from '../decode.ts';
import { blobStream } from './subjects.ts';
import { isApiError, storeFailed, wrongLastSequence } from './trouble.ts';

/** Whether something may name an object's pieces: it becomes part of a subject that is read, or purged. */
const namesPieces = /^[A-Za-z0-9]{1,64}$/;

/** What an object store says of one of its objects, in the message that names its pieces; others may have written it. */
const Entry = z.looseObject({
  name: z.string().min(1).max(4096),
  nuid: z.string().regex(namesPieces),
  size: z.int().min(0),
  chunks: z.int().min(0),
  digest: z.string().max(200).optional(),
  deleted: z.boolean().optional(),
});
const maxEntryBytes = 64 * 1024;
const digestPrefix = 'SHA-256=';

export interface BlobEntry {
  readonly name: string;
  readonly nuid: string;
  readonly bytes: number;
  /** How many pieces it lies in. */
  readonly chunks: number;
  /** The SHA-256 of what it holds, where the entry says that. */
  readonly sha256?: Buffer;
  readonly deleted: boolean;
  /** Of the message; another one after every change. */
  readonly revision: number;
  /** When it last changed, epoch milliseconds on the broker's clock: clients' clocks may be anywhere. */
  readonly storedAt: number;
}

/** What lies where an object has its entry. */
export interface FoundEntry {
  /** Not there where it is none. */
  readonly entry?: BlobEntry;
  readonly revision: number;
  readonly data: Uint8Array;
}

/** How often something is tried while others keep changing the same entry. */
const maxTries = 20;

/**
 * The entries of an object store, changed by compare-and-set: the client's own store can neither make an entry young again
 * nor remove one only if nobody has touched it, and leaves a message behind for each that was ever removed.
 */
export class BlobEntries {
  readonly #jetstream: JetStreamClient;
  readonly #manager: JetStreamManager;
  readonly #store: string;
  readonly #border: Border;

  constructor(jetstream: JetStreamClient, manager: JetStreamManager, store: string, border: Border) {
    this.#jetstream = jetstream;
    this.#manager = manager;
    this.#store = store;
    this.#border = border;
  }

  /**
   * Makes an object as young as one that was just stored; false where it is not there. In a store that is full, which
   * takes not even that, it stays as old as it was.
   */
  async touch(name: string): Promise<boolean> {
    for (let tries = 0; tries < maxTries; tries++) {
      const found = await this.read(name);
      if (found?.entry === undefined || found.entry.deleted) return false;
      try {
        await this.#write(name, found.data, found.revision);
        return true;
      } catch (error) {
        if (isApiError(error, storeFailed)) return true;
        if (!isApiError(error, wrongLastSequence)) throw error;
      }
    }
    return true;
  }

  /**
   * Removes an object, and every trace of it. Cut off in between, it is not there any more, and `remove` or `tidy` finish.
   *
   * @param revision remove it only if its entry has not changed since
   * @returns false where it has
   */
  async remove(name: string, revision?: number): Promise<boolean> {
    for (let tries = 0; tries < maxTries; tries++) {
      const found = await this.read(name);
      if (found === undefined) return true;
      const { entry, data } = found;
      if (entry === undefined) {
        // Which pieces were its own nobody knows.
        await this.#purge(name, found.revision);
        return true;
      }
      if (entry.deleted) {
        await this.#forget(entry);
        return true;
      }
      if (revision !== undefined && entry.revision !== revision) return false;
      const gone = { ...JSON.parse(new TextDecoder().decode(data)), deleted: true, size: 0, chunks: 0, digest: '' };
      try {
        const at = await this.#write(name, new TextEncoder().encode(JSON.stringify(gone)), entry.revision);
        await this.#forget({ ...entry, revision: at });
        return true;
      } catch (error) {
        // A full store takes no word of what goes, but lets it go; cut off between the two its pieces would stay.
        if (isApiError(error, storeFailed)) {
          if ((await this.#purge(name, entry.revision)) === 0) continue;
          await this.#forget(entry);
          return true;
        }
        if (!isApiError(error, wrongLastSequence)) throw error;
      }
    }
    return false;
  }

  /** All entries, those of removed objects included. */
  async list(signal: AbortSignal): Promise<BlobEntry[]> {
    const subject = `$O.${this.#store}.M.>`;
    if ((await this.#last(subject)) === undefined) return [];
    const subscription = await this.#subscribe(subject, signal, 'last of each');
    const entries: BlobEntry[] = [];
    try {
      for await (const message of subscription) {
        const entry = this.#decode(message.subject, message.data, message.seq, timeOf(message));
        if (entry !== undefined) entries.push(entry);
        if (message.info.pending === 0) break;
      }
    } finally {
      subscription.unsubscribe();
    }
    return entries;
  }

  /** Finishes removals that were cut off, and drops what those of other software have left; returns how many. */
  async tidy(signal: AbortSignal): Promise<number> {
    const removed = (await this.list(signal)).filter(({ deleted }) => deleted);
    for (const entry of removed) {
      if (signal.aborted) break;
      await this.#forget(entry);
    }
    return removed.length;
  }

  /** The piece of an object that has only one; undefined where it is not there. */
  async piece(nuid: string): Promise<Uint8Array | undefined> {
    return (await this.#last(this.#pieces(nuid)))?.data;
  }

  /** The pieces of an object, in order; they stop coming once the signal aborts. */
  pieces(nuid: string, signal: AbortSignal): Promise<JetStreamSubscription> {
    return this.#subscribe(this.#pieces(nuid), signal, 'all');
  }

  async #subscribe(
    subject: string,
    signal: AbortSignal,
    which: 'all' | 'last of each',
  ): Promise<JetStreamSubscription> {
    const options = consumerOpts();
    options.orderedConsumer();
    options.bindStream(blobStream(this.#store));
    if (which === 'last of each') options.deliverLastPerSubject();
    const subscription = await this.#jetstream.subscribe(subject, options);
    const end = (): void => subscription.unsubscribe();
    if (signal.aborted) end();
    else signal.addEventListener('abort', end, { once: true });
    return subscription;
  }

  /** Drops the pieces of a removed object and then its entry, unless that has been written anew meanwhile. */
  async #forget({ name, nuid, revision }: BlobEntry): Promise<void> {
    await this.#manager.streams.purge(blobStream(this.#store), { filter: this.#pieces(nuid) });
    await this.#purge(name, revision);
  }

  /** Drops an entry as it was at a revision; returns 0 where it is another one by now. */
  async #purge(name: string, revision: number): Promise<number> {
    const filter = this.#subject(name);
    return (await this.#manager.streams.purge(blobStream(this.#store), { filter, seq: revision + 1 })).purged;
  }

  async #write(name: string, data: Uint8Array, revision: number): Promise<number> {
    const rollup = headers();
    rollup.set(JsHeaders.RollupHdr, JsHeaders.RollupValueSubject);
    const expect = { lastSubjectSequence: revision };
    return (await this.#jetstream.publish(this.#subject(name), data, { headers: rollup, expect })).seq;
  }

  /** What is stored as an object's entry, those of removed objects included; undefined where there is nothing. */
  async read(name: string): Promise<FoundEntry | undefined> {
    const message = await this.#last(this.#subject(name));
    if (message === undefined) return undefined;
    const { subject, data, seq } = message;
    const entry = this.#decode(subject, data, seq, message.time.getTime());
    if (entry === undefined) return { revision: seq, data };
    if (entry.name === name) return { entry, revision: seq, data };
    this.#border.dropped('entry', subject, 'it says that it is of another name');
    return { revision: seq, data };
  }

  #decode(subject: string, data: Uint8Array, revision: number, storedAt: number): BlobEntry | undefined {
    const decoded = decodeEntry(data);
    if ('why' in decoded) {
      this.#border.dropped('entry', subject, decoded.why);
      return undefined;
    }
    const { name, nuid, size, chunks, digest = '', deleted = false } = decoded.value;
    const said = digest.startsWith(digestPrefix) ? Buffer.from(digest.slice(digestPrefix.length), 'base64url') : null;
    const sha256 = said === null ? {} : { sha256: said };
    return { name, nuid, bytes: size, chunks, ...sha256, deleted, revision, storedAt };
  }

  async #last(subject: string) {
    try {
      return await this.#manager.streams.getMessage(blobStream(this.#store), { last_by_subj: subject });
    } catch (error) {
      if (error instanceof NatsError && error.code === ErrorCode.JetStream404NoMessages) return undefined;
      throw error;
    }
  }

  #pieces(nuid: string): string {
    return `$O.${this.#store}.C.${nuid}`;
  }

  #subject(name: string): string {
    const encoded = Buffer.from(name).toString('base64').replaceAll('+', '-').replaceAll('/', '_');
    return `$O.${this.#store}.M.${encoded}`;
  }
}

const timeOf = ({ info }: JsMsg): number => info.timestampNanos / 1e6;

/** What stands in the message that names an object's pieces. */
export const decodeEntry = (data: Uint8Array): Decoded<z.infer<typeof Entry>> => decodeJson(Entry, data, maxEntryBytes);
