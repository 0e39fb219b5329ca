import type { Broker } from '@crossfold/shared/broker/broker';
import { maxJsonBytes } from '@crossfold/shared/broker/json-blobs';
import type { BlobStore, StoredBlob } from '@crossfold/shared/data/blob-store';
import { DamagedDataError } from '@crossfold/shared/errors';
import type { ExperimentRecord, JobRecord } from '@crossfold/shared/jobs/records';
import { inParallel } from '../in-parallel.ts';

/** Documents read at a time. */
const readsAtOnce = 8;

/** Pure: the digests that a document names, whatever it calls them. */
export function digestsIn(document: string): string[] {
  return [...new Set([...document.matchAll(/"([0-9a-f]{64})"/g)].map(([, digest = '']) => digest))];
}

/** Pure: the digests that a record names itself. */
const digestsOf = (record: ExperimentRecord | JobRecord): string[] => digestsIn(JSON.stringify(record));

/** Pure: what nothing refers to, and has been there for so long that nobody is about to. */
export function unreferenced(
  stored: readonly StoredBlob[],
  needed: ReadonlySet<string>,
  now: number,
  youngMs: number,
): StoredBlob[] {
  return stored.filter(({ digest, storedAt }) => now - storedAt >= youngMs && !needed.has(digest));
}

/** What documents name, by their own digests: they never change. */
export type KnownDocuments = Map<string, readonly string[]>;

/**
 * The digests of all blobs that records refer to, directly or by documents that they refer to: whatever looks like a
 * digest in one of them counts, so that nothing is missed. Documents that are missing or damaged name nothing.
 *
 * @param known filled with what was read, and emptied of what no record refers to any more
 * @throws DamagedDataError where a record cannot be read: nobody knows then what it refers to
 */
export async function referenced(broker: Broker, known: KnownDocuments): Promise<Set<string>> {
  const [experiments, jobs, datasets] = [
    await broker.experiments.list('>'),
    await broker.jobs.list('>'),
    await broker.datasets.list((_, error) => {
      throw error;
    }),
  ];
  const needed = new Set<string>();
  for (const record of [...experiments, ...jobs]) for (const digest of digestsOf(record)) needed.add(digest);
  for (const { manifest } of datasets) needed.add(manifest.digest);
  const artifacts = new Set([
    ...experiments.flatMap(({ spec, plan }) => [spec.digest, ...(plan === null ? [] : [plan.digest])]),
    ...jobs.flatMap(({ plan, result, earlier }) => [
      plan,
      ...[...earlier, ...(result === null ? [] : [result])].map(({ digest }) => digest),
    ]),
  ]);
  const data = new Set([
    ...experiments.flatMap(({ source, manifest, otherManifests = [] }) =>
      [source, ...(manifest === null ? [] : [manifest]), ...otherManifests].map(({ digest }) => digest),
    ),
    ...datasets.map(({ manifest }) => manifest.digest),
  ]);
  const current: KnownDocuments = new Map();
  const read = async (store: BlobStore, documents: ReadonlySet<string>): Promise<void> => {
    await inParallel([...documents], readsAtOnce, async (digest) => {
      const named = known.get(digest) ?? (await digestsInBlob(store, digest));
      current.set(digest, named);
      for (const one of named) needed.add(one);
    });
  };
  await read(broker.artifacts, artifacts);
  await read(broker.data, data);
  // The source of an experiment on an imported data set names that data set's manifest, and nothing else.
  const imported = experiments.flatMap(({ source }) => {
    const named = current.get(source.digest) ?? [];
    return named.length === 1 ? named : [];
  });
  await read(broker.data, new Set(imported));
  known.clear();
  for (const [digest, named] of current) known.set(digest, named);
  return needed;
}

async function digestsInBlob(store: BlobStore, digest: string): Promise<string[]> {
  try {
    return digestsIn(new TextDecoder().decode(await store.get(digest, maxJsonBytes)));
  } catch (error) {
    if (!(error instanceof DamagedDataError)) throw error;
    return [];
  }
}
