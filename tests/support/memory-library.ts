import type { DatasetLibrary } from '@crossfold/coordinator/datasets/library';
import type { NamedDocuments } from '@crossfold/shared/data/named-documents';
import { listNamed } from '@crossfold/shared/data/named-documents';
import type { MemoryBlobs } from './memory-blobs.ts';
import { memoryBlobs } from './memory-blobs.ts';

/** A library of data sets in memory. */
export function memoryLibrary(): DatasetLibrary & { readonly blobs: MemoryBlobs } {
  return {
    where: 'in memory',
    records: memoryDocuments(),
    removals: memoryDocuments(),
    blobs: memoryBlobs(),
    experiments: async () => [],
    checkSize: async () => undefined,
    uploading: (work) => work(),
  };
}

function memoryDocuments<T>(): NamedDocuments<T> {
  const documents = new Map<string, T>();
  const get = async (name: string): Promise<T | undefined> => documents.get(name);
  const names = async (): Promise<string[]> => [...documents.keys()].sort();
  return {
    get,
    names,
    list: (onDamaged) => listNamed({ names, get }, onDamaged),
    async create(name, value) {
      if (documents.has(name)) return false;
      documents.set(name, value);
      return true;
    },
    async put(name, value) {
      documents.set(name, value);
    },
    async remove(name) {
      documents.delete(name);
    },
  };
}
