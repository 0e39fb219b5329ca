import { createHash } from 'node:crypto';
import type { ObjectInfo, ObjectStore } from 'nats';
import { ErrorCode, NatsError } from 'nats';
import type { BlobStore } from '../data/blob-store.ts';
import { DamagedDataError } from '../errors.ts';
import type { BlobEntries } from './blob-entries.ts';
import { namesPieces } from './blob-entries.ts';
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
const maxFetches = 3;
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
  const entryOf = (digest: string): Promise<ObjectInfo | null> =>
    link.request(`to look up blob ${short(digest)}`, () => store.info(digest));
  const look = async (digest: string): Promise<ObjectInfo | undefined> => {
    const info = await entryOf(digest);
    // One whose entry could not be the store's own is not there, and is never asked for.
    return info === null || info.deleted || !namesPieces(info.nuid) ? undefined : info;
  };
  const pieceOf = ({ name, nuid }: ObjectInfo): Promise<Uint8Array | undefined> =>
    link.request(`to hand out blob ${short(name)}`, () => entries.piece(nuid));
  const keep = (digest: string): Promise<boolean> =>
    link.request(`to keep blob ${short(digest)}`, () => entries.touch(digest));
  return {
    keep,
    async put(bytes) {
      const digest = sha256(bytes);
      const there = await entryOf(digest);
      // Left where it is, the client would drop the pieces that it names, which are others'.
      if (there !== null && !namesPieces(there.nuid)) await this.remove(digest);
      // Of one that was removed nothing is kept.
      else if (there?.size === bytes.length && (await keep(digest))) return digest;
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
      const info = await look(digest);
      const bytes = info?.size;
      if (info === undefined || bytes === undefined) throw new DamagedDataError(`blob ${digest} is not in the store`);
      if (bytes > maxBytes)
        throw new DamagedDataError(`blob ${digest} has ${bytes} bytes where at most ${maxBytes} were expected`);
      // Of a blob that has only one piece no consumer is made, which costs the broker more than the piece itself.
      const only = info.chunks === 1 ? await pieceOf(info) : undefined;
      if (only !== undefined && sha256(only) === digest) return only;
      for (let fetches = 1; ; fetches++) {
        const received = await link.request(
          `to hand out blob ${short(digest)} (${bytes} bytes)`,
          (signal) => fetchBlob(store, digest, bytes, signal, () => !link.connected),
          Number.POSITIVE_INFINITY,
        );
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

/** An object that is not named by its digest; undefined where what comes is, time and again, not what its entry says. */
export async function fetchObject(
  store: ObjectStore,
  link: Link,
  name: string,
  bytes: number,
): Promise<Uint8Array | undefined> {
  for (let fetches = 1; ; fetches++) {
    const received = await link.request(
      `to read ${name}`,
      (signal) => fetchBlob(store, name, bytes, signal, () => !link.connected),
      Number.POSITIVE_INFINITY,
    );
    if (received !== undefined || fetches === maxFetches) return received;
  }
}

/**
 * One attempt to fetch a blob, bounded by how long each piece may take; undefined where what came is not whole, or where
 * a broker that is there sends nothing.
 */
async function fetchBlob(
  store: ObjectStore,
  digest: string,
  bytes: number,
  signal: AbortSignal,
  away: () => boolean,
): Promise<Uint8Array | undefined> {
  const found = await bounded(openObject(store, digest), requestMs);
  if (found === undefined) throw NatsError.errorForCode(ErrorCode.Timeout);
  if (found === null) return undefined;
  const reader = found.data.getReader();
  const end = (): void => void reader.cancel().catch(() => undefined);
  signal.addEventListener('abort', end, { once: true });
  found.error.catch(() => undefined);
  const whole = new Uint8Array(bytes);
  let at = 0;
  try {
    for (;;) {
      const piece = await bounded(reader.read(), stallMs);
      if (piece === undefined && away()) throw NatsError.errorForCode(ErrorCode.Disconnect);
      if (piece === undefined) return undefined;
      if (piece.done) return at === bytes ? whole : undefined;
      if (at + piece.value.length > bytes) return undefined;
      whole.set(piece.value, at);
      at += piece.value.length;
    }
  } catch (error) {
    if (error instanceof NatsError) throw error;
    // The client's own check of what has come.
    return undefined;
  } finally {
    signal.removeEventListener('abort', end);
    end();
  }
}

/** Null where there is nothing to open; what its entry says of it, others have written. */
async function openObject(store: ObjectStore, name: string): ReturnType<ObjectStore['get']> {
  try {
    return await store.get(name);
  } catch (error) {
    if (error instanceof NatsError && error.code !== ErrorCode.BadJson) throw error;
    return null;
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
