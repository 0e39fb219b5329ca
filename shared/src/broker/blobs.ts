import { createHash } from 'node:crypto';
import type { ObjectStore } from 'nats';
import { ErrorCode, NatsError } from 'nats';
import type { BlobStore } from '../data/blob-store.ts';
import { DamagedDataError } from '../errors.ts';
import type { BlobEntries, BlobEntry, FoundEntry } from './blob-entries.ts';
import type { Link } from './link.ts';
import { requestMs } from './link.ts';
import { storeFailed } from './trouble.ts';

/** Bounds on storing a blob: a start of its own and then what a slow link needs for the bytes. */
const storeMs = (bytes: number): number => 3000 + bytes / 500;
/** How long a list may take. */
const listMs = 60_000;
/** How long the next piece of a blob may take to come. */
const stallMs = 2500;
/** How often a blob is fetched whose pieces are not what they should be, or do not come from a broker that answers. */
export const maxFetches = 3;
/** Pieces are no larger than this, and leave room for headers in what the server takes as a message. */
const pieceBytes = 128 * 1024;
const headerRoom = 1024;

export interface BrokerBlobs extends BlobStore {
  /** Finishes removals that were cut off; returns how many. */
  tidy(): Promise<number>;
}

/**
 * Content-addressed blobs in a NATS object store, named by their SHA-256. A blob is written once and never changed, so
 * whoever holds a digest can fetch it at any time and check what arrives. An interrupted write leaves nothing under the
 * name: the entry that names a blob's pieces is written last.
 */
export function blobStore(store: ObjectStore, entries: BlobEntries, link: Link): BrokerBlobs {
  // Never by the client's own store, which takes whatever an entry says for true: a size that is none, links.
  const entryOf = (digest: string): Promise<FoundEntry | undefined> =>
    link.request(`to look up blob ${short(digest)}`, () => entries.read(digest));
  const look = async (digest: string): Promise<BlobEntry | undefined> => {
    const entry = (await entryOf(digest))?.entry;
    return entry?.deleted === true ? undefined : entry;
  };
  const keep = (digest: string): Promise<boolean> =>
    link.request(`to keep blob ${short(digest)}`, () => entries.touch(digest));
  return {
    keep,
    async put(bytes) {
      const digest = sha256(bytes);
      const there = await entryOf(digest);
      // Left where it is, the client would fail over it, or drop the pieces that it names, which are others'.
      if (there !== undefined && there.entry === undefined) await this.remove(digest);
      // Of one that was removed nothing is kept.
      else if (there?.entry?.bytes === bytes.length && (await keep(digest))) return digest;
      const boundMs = storeMs(bytes.length);
      await link.request(
        `to store blob ${short(digest)} (${bytes.length} bytes)`,
        async () => {
          if (bytes.length > pieceBytes) await checkRoom(store, bytes.length);
          const room = (link.nats.info?.max_payload ?? pieceBytes + headerRoom) - headerRoom;
          const meta = { name: digest, options: { max_chunk_size: Math.min(pieceBytes, room) } };
          return store.putBlob(meta, bytes, { timeout: boundMs });
        },
        boundMs,
      );
      return digest;
    },
    async has(digest) {
      return (await look(digest)) !== undefined;
    },
    async get(digest, maxBytes) {
      for (let fetches = 1; ; fetches++) {
        const entry = await look(digest);
        if (entry === undefined) throw new DamagedDataError(`blob ${digest} is not in the store`);
        const { bytes } = entry;
        if (bytes > maxBytes)
          throw new DamagedDataError(`blob ${digest} has ${bytes} bytes where at most ${maxBytes} were expected`);
        const received = await fetchObject(entries, link, `to hand out blob ${short(digest)} (${bytes} bytes)`, entry);
        if (received !== undefined && sha256(received) === digest) return received;
        if (fetches === maxFetches) throw new DamagedDataError(`blob ${digest} is damaged or incomplete in the store`);
      }
    },
    async list() {
      const found = await link.request('to list blobs', (signal) => entries.list(signal), listMs);
      return found
        .filter(({ deleted, name }) => !deleted && isDigest.test(name))
        .map(({ name, bytes, storedAt, revision }) => ({ digest: name, bytes, storedAt, revision }));
    },
    remove: (digest, revision) =>
      link.request(`to remove blob ${short(digest)}`, () => entries.remove(digest, revision), 4 * requestMs),
    tidy: () => link.request('to tidy up', (signal) => entries.tidy(signal), listMs),
  };
}

/**
 * Pieces are sent without waiting for one another, and those that a full store has taken can stay behind: nothing of a
 * blob that has no room is sent.
 *
 * @throws NatsError as the server's own, where the store's limit does not leave room for so many bytes
 */
async function checkRoom(store: ObjectStore, bytes: number): Promise<void> {
  const { config, state } = (await store.status()).streamInfo;
  const withEntries = bytes + headerRoom * (1 + Math.ceil(bytes / pieceBytes));
  if (config.max_bytes < 0 || state.bytes + withEntries <= config.max_bytes) return;
  const full = new NatsError('maximum bytes exceeded', ErrorCode.ApiError);
  full.api_error = { code: 503, err_code: storeFailed, description: full.message };
  throw full;
}

/**
 * One attempt to fetch an object of a size that has been looked at, bounded by how long each piece may take; undefined
 * where what comes is not of that size, or where a broker that is there sends nothing.
 *
 * @param what completes the sentence "waiting for the broker ..."
 */
export async function fetchObject(
  entries: BlobEntries,
  link: Link,
  what: string,
  { nuid, bytes, chunks }: BlobEntry,
): Promise<Uint8Array | undefined> {
  if (bytes === 0) return new Uint8Array(0);
  // Of an object that has only one piece no consumer is made, which costs the broker more than the piece itself.
  if (chunks === 1) {
    const only = await link.request(what, () => entries.piece(nuid));
    return only?.length === bytes ? only : undefined;
  }
  return link.request(what, (signal) => fetchPieces(entries, link, nuid, bytes, signal), Number.POSITIVE_INFINITY);
}

async function fetchPieces(
  entries: BlobEntries,
  link: Link,
  nuid: string,
  bytes: number,
  signal: AbortSignal,
): Promise<Uint8Array | undefined> {
  // However late it comes, it ends with the signal.
  const pieces = await bounded(entries.pieces(nuid, signal), requestMs);
  if (pieces === undefined) throw NatsError.errorForCode(ErrorCode.Timeout);
  const coming = pieces[Symbol.asyncIterator]();
  const whole = new Uint8Array(bytes);
  for (let at = 0; ; ) {
    const next = await bounded(coming.next(), stallMs);
    if (next === undefined && !link.connected) throw NatsError.errorForCode(ErrorCode.Disconnect);
    if (next === undefined || next.done === true) return undefined;
    const { data, info } = next.value;
    if (data.length === 0 || at + data.length > bytes) return undefined;
    whole.set(data, at);
    at += data.length;
    if (info.pending === 0) return at === bytes ? whole : undefined;
  }
}

/** The promise's value, or undefined where it takes longer. */
async function bounded<T>(promise: Promise<T>, ms: number): Promise<T | undefined> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<undefined>((resolve) => {
    timer = setTimeout(() => resolve(undefined), ms);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** Documents with names of their own lie beside the blobs. */
const isDigest = /^[0-9a-f]{64}$/;

const short = (digest: string): string => digest.slice(0, 12);

export const sha256 = (bytes: Uint8Array | string): string => createHash('sha256').update(bytes).digest('hex');
