import { link, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { DatasetName } from '@crossfold/shared/config/dataset';
import type { BlobStore } from '@crossfold/shared/data/blob-store';
import { DatasetRecord, RemovalNote } from '@crossfold/shared/data/dataset-record';
import { sha256 } from '@crossfold/shared/data/digest';
import type { NamedDocuments } from '@crossfold/shared/data/named-documents';
import { listNamed } from '@crossfold/shared/data/named-documents';
import { decodeJson } from '@crossfold/shared/decode';
import { ConfigError, DamagedDataError } from '@crossfold/shared/errors';
import { makeFolder } from '@crossfold/shared/make-folder';
import type { z } from 'zod';
import { cacheFolder } from '../cache-folder.ts';
import { writeWhole } from '../write-whole.ts';
import type { DatasetLibrary } from './library.ts';

const maxRecordBytes = 4 * 2 ** 20;

/** The library of this user on this machine, in the cache folder. Embedded clusters, which come and go, are given from it. */
export function localLibrary(env: NodeJS.ProcessEnv): DatasetLibrary {
  const folder = localFolder(env);
  return {
    where: 'on this machine',
    records: fileRecords(join(folder, 'names'), DatasetRecord),
    removals: fileRecords(join(folder, 'removals'), RemovalNote),
    blobs: fileBlobs(join(folder, 'blobs')),
    experiments: async () => [],
    checkSize: async () => undefined,
    uploading: (work) => work(),
  };
}

export const localFolder = (env: NodeJS.ProcessEnv): string => join(cacheFolder(env), 'datasets');

/** Blobs in files that are named by their digests. */
export function fileBlobs(folder: string): BlobStore {
  const fileOf = (digest: string): string => join(folder, digest.slice(0, 2), digest);
  const sizeOf = (digest: string): Promise<number | undefined> => absent(async () => (await stat(fileOf(digest))).size);
  return {
    async put(bytes) {
      const digest = sha256(bytes);
      if ((await sizeOf(digest)) !== bytes.length) await write(fileOf(digest), bytes);
      return digest;
    },
    has: async (digest) => (await sizeOf(digest)) !== undefined,
    keep: async (digest) => (await sizeOf(digest)) !== undefined,
    async get(digest, maxBytes) {
      const size = await sizeOf(digest);
      if (size === undefined) throw new DamagedDataError(`blob ${digest} is not in ${folder}`);
      if (size > maxBytes)
        throw new DamagedDataError(`blob ${digest} has ${size} bytes where at most ${maxBytes} were expected`);
      const bytes = await absent(() => readFile(fileOf(digest)));
      if (bytes === undefined || sha256(bytes) !== digest)
        throw new DamagedDataError(`blob ${digest} is damaged in ${folder}`);
      return bytes;
    },
    async list() {
      const names = (await absent(() => readdir(folder, { recursive: true }))) ?? [];
      const digests = names.map((name) => name.slice(-64)).filter((name) => /^[0-9a-f]{64}$/.test(name));
      return Promise.all(
        digests.map(async (digest) => {
          const { size, mtimeMs } = await stat(fileOf(digest));
          return { digest, bytes: size, storedAt: mtimeMs };
        }),
      );
    },
    async remove(digest) {
      await rm(fileOf(digest), { force: true });
      return true;
    },
  };
}

/** Documents in files that are named by them. */
export function fileRecords<T extends { readonly name: string }>(
  folder: string,
  schema: z.ZodType<T>,
): NamedDocuments<T> {
  const fileOf = (name: string): string => join(folder, `${name}.json`);
  const isName = (name: string): boolean => DatasetName.safeParse(name).success;
  const get = async (name: string): Promise<T | undefined> => {
    if (!isName(name)) return undefined;
    const damaged = (why: string): DamagedDataError =>
      new DamagedDataError(`${fileOf(name)} is not as it should be: ${why}`);
    const bytes = await absent(() => readFile(fileOf(name))).catch((error: NodeJS.ErrnoException) => {
      throw damaged(`it cannot be read (${error.code ?? error.message})`);
    });
    if (bytes === undefined) return undefined;
    const decoded = decodeJson(schema, bytes, maxRecordBytes);
    if ('why' in decoded) throw damaged(decoded.why);
    if (decoded.value.name !== name) throw damaged(`it says that it is ${decoded.value.name}`);
    return decoded.value;
  };
  const names = async (): Promise<string[]> => {
    const files = (await absent(() => readdir(folder))) ?? [];
    return files
      .filter((file) => file.endsWith('.json'))
      .map((file) => file.slice(0, -'.json'.length))
      .filter(isName)
      .toSorted();
  };
  return {
    get,
    names,
    list: (onDamaged) => listNamed({ names, get }, onDamaged),
    create: (name, value) => unwritable(fileOf(name), () => createWhole(fileOf(name), JSON.stringify(value))),
    put: (name, value) => write(fileOf(name), JSON.stringify(value)),
    remove: async (name) => {
      if (isName(name)) await rm(fileOf(name), { force: true, recursive: true });
    },
  };
}

/** Writes a file that must not be there yet, beside its place first; false where it is. */
async function createWhole(file: string, content: string): Promise<boolean> {
  await makeFolder(dirname(file));
  const aside = join(dirname(file), `.${basename(file)}.${process.pid}.new`);
  try {
    await writeFile(aside, content);
    await link(aside, file);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  } finally {
    await rm(aside, { force: true });
  }
}

const write = (file: string, content: string | Uint8Array): Promise<void> =>
  unwritable(file, () => writeWhole(file, content));

/** What `act` gives. @throws ConfigError where it cannot write the file */
async function unwritable<T>(file: string, act: () => Promise<T>): Promise<T> {
  try {
    return await act();
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    throw new ConfigError(
      `${file} cannot be written (${code ?? message}): data sets are kept in the cache; CROSSFOLD_CACHE names another folder for it`,
    );
  }
}

/** Undefined where the file is not there. */
async function absent<T>(look: () => Promise<T>): Promise<T | undefined> {
  try {
    return await look();
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ENOTDIR') return undefined;
    throw error;
  }
}
