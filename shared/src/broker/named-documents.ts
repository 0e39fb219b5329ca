import type { JetStreamManager, ObjectStore } from 'nats';
import type { z } from 'zod';
import type { NamedDocuments } from '../data/named-documents.ts';
import { listNamed } from '../data/named-documents.ts';
import { decodeJson } from '../decode.ts';
import { DamagedDataError } from '../errors.ts';
import type { BlobEntries, FoundEntry } from './blob-entries.ts';
import { fetchObject, maxFetches, sha256 } from './blobs.ts';
import type { Link } from './link.ts';
import { requestMs } from './link.ts';
import { blobStream } from './subjects.ts';
import { isApiError, wrongLastSequence } from './trouble.ts';

/** More than any document that has a name is long. */
const maxBytes = 4 * 2 ** 20;
const listMs = 20_000;

/**
 * Documents in a NATS object store, under `prefix` and their names: a dot is in no digest, so that they and blobs do not
 * meet.
 *
 * @param bucket the store's name
 * @param objects the store's entries
 */
export function namedDocuments<T extends { readonly name: string }>(
  store: ObjectStore,
  bucket: string,
  manager: JetStreamManager,
  objects: BlobEntries,
  link: Link,
  prefix: string,
  schema: z.ZodType<T>,
): NamedDocuments<T> {
  const key = (name: string): string => `${prefix}.${name}`;
  const entries = `$O.${bucket}.M.`;
  const look = (name: string): Promise<FoundEntry | undefined> =>
    link.request(`to look up ${key(name)}`, () => objects.read(key(name)));
  const isThere = (found: FoundEntry | undefined): boolean => found !== undefined && found.entry?.deleted !== true;
  const damaged = (name: string, why: string): DamagedDataError =>
    new DamagedDataError(`${key(name)} is not as it should be: ${why}`);
  /** What it holds; undefined where it is not there. */
  const read = async (name: string): Promise<Uint8Array | undefined> => {
    for (let fetches = 1; ; fetches++) {
      const found = await look(name);
      if (found === undefined || !isThere(found)) return undefined;
      const { entry } = found;
      if (entry === undefined) throw damaged(name, 'its entry is not one');
      if (entry.bytes > maxBytes) throw damaged(name, `it has ${entry.bytes} bytes, more than there can be`);
      const bytes = await fetchObject(objects, link, `to read ${key(name)}`, entry);
      if (bytes !== undefined && sha256(bytes) === entry.sha256?.toString('hex')) return bytes;
      // It may have been written anew meanwhile.
      if (fetches === maxFetches) throw damaged(name, 'its content is incomplete, or not what its digest says');
    }
  };
  const get = async (name: string): Promise<T | undefined> => {
    const bytes = await read(name);
    if (bytes === undefined) return undefined;
    const decoded = decodeJson(schema, bytes, maxBytes);
    if ('why' in decoded) throw damaged(name, decoded.why);
    if (decoded.value.name !== name) throw damaged(name, `it says that it is ${decoded.value.name}`);
    return decoded.value;
  };
  const names = async (): Promise<string[]> => {
    const { state } = await link.request(
      `to list ${prefix}s`,
      () => manager.streams.info(blobStream(bucket), { subjects_filter: `${entries}>` }),
      listMs,
    );
    const keys = Object.keys(state.subjects ?? {}).map((subject) =>
      Buffer.from(subject.slice(entries.length), 'base64url').toString('utf8'),
    );
    const found = keys.filter((one) => one.startsWith(`${prefix}.`)).map((one) => one.slice(prefix.length + 1));
    const there: string[] = [];
    for (const name of found.toSorted()) if (isThere(await look(name))) there.push(name);
    return there;
  };
  const write = async (name: string, value: T, previousRevision?: number): Promise<void> => {
    const bytes = new TextEncoder().encode(JSON.stringify(schema.parse(value)));
    const options = previousRevision === undefined ? undefined : { previousRevision };
    await link.request(
      `to write ${key(name)}`,
      () => store.putBlob({ name: key(name) }, bytes, options),
      2 * requestMs,
    );
  };
  const remove = async (name: string): Promise<void> => {
    await link.request(`to remove ${key(name)}`, () => objects.remove(key(name)), 4 * requestMs);
  };
  return {
    get,
    names,
    list: (onDamaged) => listNamed({ names, get }, onDamaged),
    async create(name, value) {
      const found = await look(name);
      if (isThere(found)) return false;
      try {
        await write(name, value, found?.revision ?? 0);
        return true;
      } catch (error) {
        if (isApiError(error, wrongLastSequence)) return false;
        throw error;
      }
    },
    async put(name, value) {
      // Left where it is, the client would fail over it, or drop the pieces that it names, which are others'.
      const found = await look(name);
      if (found !== undefined && found.entry === undefined) await remove(name);
      await write(name, value);
    },
    remove,
  };
}
