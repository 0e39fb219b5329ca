import type { JetStreamManager, ObjectStore } from 'nats';
import { ErrorCode, NatsError } from 'nats';
import { z } from 'zod';
import type { NamedDocuments } from '../data/named-documents.ts';
import { listNamed } from '../data/named-documents.ts';
import { decodeJson } from '../decode.ts';
import { DamagedDataError } from '../errors.ts';
import type { BlobEntries } from './blob-entries.ts';
import { namesPieces } from './blob-entries.ts';
import { fetchObject } from './blobs.ts';
import type { Link } from './link.ts';
import { requestMs } from './link.ts';
import { blobStream } from './subjects.ts';
import { isApiError, wrongLastSequence } from './trouble.ts';

/** More than any document that has a name is long. */
const maxBytes = 4 * 2 ** 20;
const listMs = 20_000;

/** What of an object's entry is gone by; others may have written it. */
const Entry = z.object({
  nuid: z.string().refine(namesPieces),
  size: z.int().min(0).optional(),
  deleted: z.boolean().optional(),
  revision: z.int().min(0),
});
type Entry = z.infer<typeof Entry>;

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
  /** `damaged` where it is there and not an entry. */
  const look = async (name: string): Promise<Entry | 'damaged' | undefined> => {
    const found = await link.request(`to look up ${key(name)}`, async () => {
      try {
        return await store.info(key(name));
      } catch (error) {
        // What is JSON and no object is a TypeError to the client.
        if (error instanceof TypeError || (error instanceof NatsError && error.code === ErrorCode.BadJson))
          return 'damaged';
        throw error;
      }
    });
    if (found === null) return undefined;
    const entry = Entry.safeParse(found);
    return entry.success ? entry.data : 'damaged';
  };
  const get = async (name: string): Promise<T | undefined> => {
    const entry = await look(name);
    if (entry === undefined || (entry !== 'damaged' && entry.deleted === true)) return undefined;
    const damaged = (why: string): DamagedDataError =>
      new DamagedDataError(`${key(name)} is not as it should be: ${why}`);
    if (entry === 'damaged') throw damaged('its entry is not one');
    const { size = 0 } = entry;
    if (size > maxBytes) throw damaged(`it has ${size} bytes, more than there can be`);
    const bytes = await fetchObject(store, link, key(name), size);
    if (bytes === undefined) throw damaged('its content is incomplete, or not what its digest says');
    const decoded = decodeJson(schema, bytes, maxBytes);
    if ('why' in decoded) throw damaged(decoded.why);
    if (decoded.value.name !== name) throw damaged(`it says that it is ${decoded.value.name}`);
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
    for (const name of found.toSorted()) {
      const entry = await look(name);
      if (entry !== undefined && (entry === 'damaged' || entry.deleted !== true)) there.push(name);
    }
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
      const entry = await look(name);
      if (entry === 'damaged' || (entry !== undefined && entry.deleted !== true)) return false;
      try {
        await write(name, value, entry?.revision ?? 0);
        return true;
      } catch (error) {
        if (isApiError(error, wrongLastSequence)) return false;
        throw error;
      }
    },
    async put(name, value) {
      // Left where it is, the client would drop the pieces that it names, which are others'.
      if ((await look(name)) === 'damaged') await remove(name);
      await write(name, value);
    },
    remove,
  };
}
