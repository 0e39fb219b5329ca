import { readdir, readFile, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { NamedDocuments } from '@crossfold/shared/broker/named-documents';
import { DatasetName } from '@crossfold/shared/config/dataset';
import type { BlobStore } from '@crossfold/shared/data/blob-store';
import { DatasetRecord } from '@crossfold/shared/data/dataset-record';
import { sha256 } from '@crossfold/shared/data/digest';
import { decodeJson } from '@crossfold/shared/decode';
import { ConfigError, DamagedDataError } from '@crossfold/shared/errors';
import { cacheFolder } from '../cache-folder.ts';
import { writeWhole } from '../results/run-folder.ts';
import type { DatasetLibrary } from './library.ts';

const maxRecordBytes = 4 * 2 ** 20;

/** The library of this user on this machine, in the cache folder. Embedded clusters, which come and go, are given from it. */
export function localLibrary(env: NodeJS.ProcessEnv): DatasetLibrary {
  const folder = localFolder(env);
  return {
    where: 'on this machine',
    records: fileRecords(join(folder, 'names')),
    blobs: fileBlobs(join(folder, 'blobs')),
    experiments: async () => [],
    checkSize: async () => undefined,
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
    remove: (digest) => rm(fileOf(digest), { force: true }),
  };
}

function fileRecords(folder: string): NamedDocuments<DatasetRecord> {
  const fileOf = (name: string): string => join(folder, `${name}.json`);
  const get = async (name: string): Promise<DatasetRecord | undefined> => {
    if (!DatasetName.safeParse(name).success) return undefined;
    const bytes = await absent(() => readFile(fileOf(name)));
    if (bytes === undefined) return undefined;
    const decoded = decodeJson(DatasetRecord, bytes, maxRecordBytes);
    if ('value' in decoded) return decoded.value;
    throw new DamagedDataError(
      `${fileOf(name)} is not as it should be: ${decoded.why}; remove the file and import again`,
    );
  };
  return {
    get,
    async list() {
      const files = (await absent(() => readdir(folder))) ?? [];
      const names = files.filter((file) => file.endsWith('.json')).map((file) => file.slice(0, -'.json'.length));
      const records = await Promise.all(names.toSorted().map(get));
      return records.filter((record) => record !== undefined);
    },
    put: (name, value) => write(fileOf(name), JSON.stringify(value)),
    remove: (name) => rm(fileOf(name), { force: true }),
  };
}

async function write(file: string, content: string | Uint8Array): Promise<void> {
  await writeWhole(file, content).catch((error: NodeJS.ErrnoException) => {
    throw new ConfigError(
      `${file} cannot be written (${error.code ?? error.message}): data sets are kept in the cache; CROSSFOLD_CACHE names another folder for it`,
    );
  });
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
