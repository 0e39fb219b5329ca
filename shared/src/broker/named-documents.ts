import type { ObjectInfo, ObjectStore } from 'nats';
import type { z } from 'zod';
import { decodeJson } from '../decode.ts';
import { DamagedDataError } from '../errors.ts';
import type { Link } from './link.ts';
import { requestMs } from './link.ts';

/** More than any document that has a name is long. */
const maxBytes = 4 * 2 ** 20;
const listMs = 20_000;

/** Documents that users give names to, kept beside the blobs that they refer to. */
export interface NamedDocuments<T> {
  /** Undefined where there is none of that name. @throws DamagedDataError where it cannot be read */
  get(name: string): Promise<T | undefined>;
  /** All of them, by name. */
  list(): Promise<T[]>;
  /** Writes one, in place of what had the name before. */
  put(name: string, value: T): Promise<void>;
  /** Removes one; one that is not there is none of its business. */
  remove(name: string): Promise<void>;
}

/**
 * Documents in a NATS object store, under `prefix` and their names: a dot is in no digest, so that they and blobs do not
 * meet.
 */
export function namedDocuments<T>(
  store: ObjectStore,
  link: Link,
  prefix: string,
  schema: z.ZodType<T>,
): NamedDocuments<T> {
  const key = (name: string): string => `${prefix}.${name}`;
  const look = async (name: string): Promise<ObjectInfo | undefined> => {
    const info = await link.request(`to look up ${key(name)}`, () => store.info(key(name)));
    return info === null || info.deleted ? undefined : info;
  };
  const get = async (name: string): Promise<T | undefined> => {
    const info = await look(name);
    if (info === undefined) return undefined;
    if (info.size > maxBytes) throw new DamagedDataError(`${key(name)} has ${info.size} bytes, more than there can be`);
    const bytes = await link.request(`to read ${key(name)}`, () => store.getBlob(key(name)), 2 * requestMs);
    if (bytes === null) return undefined;
    const decoded = decodeJson(schema, bytes, maxBytes);
    if ('value' in decoded) return decoded.value;
    throw new DamagedDataError(`${key(name)} is not as it should be: ${decoded.why}`);
  };
  return {
    get,
    async list() {
      const found = await link.request(`to list ${prefix}s`, () => store.list(), listMs);
      const names = found
        .filter((info) => !info.deleted && info.name.startsWith(`${prefix}.`))
        .map((info) => info.name.slice(prefix.length + 1));
      const documents: T[] = [];
      for (const name of names.toSorted()) {
        const document = await get(name);
        if (document !== undefined) documents.push(document);
      }
      return documents;
    },
    async put(name, value) {
      const bytes = new TextEncoder().encode(JSON.stringify(schema.parse(value)));
      await link.request(`to write ${key(name)}`, () => store.putBlob({ name: key(name) }, bytes), 2 * requestMs);
    },
    async remove(name) {
      if ((await look(name)) !== undefined)
        await link.request(`to remove ${key(name)}`, () => store.delete(key(name)), 2 * requestMs);
    },
  };
}
