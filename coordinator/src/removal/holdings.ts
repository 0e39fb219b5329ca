import type { Broker } from '@crossfold/shared/broker/broker';
import { getJson } from '@crossfold/shared/broker/json-blobs';
import { Manifest } from '@crossfold/shared/data/manifest';
import { DamagedDataError } from '@crossfold/shared/errors';
import { RefitJobResult, TrainJobResult } from '@crossfold/shared/jobs/job-result';
import { SweepPlan } from '@crossfold/shared/jobs/plan';
import type { BlobRef, ExperimentRecord, JobRecord } from '@crossfold/shared/jobs/records';
import { SourceBundle } from '../data/source.ts';
import { piecesOf } from '../datasets/contents.ts';
import { inParallel } from '../in-parallel.ts';

const readsAtOnce = 32;

/** What an experiment takes up on the broker. */
export interface Holdings {
  readonly jobs: number;
  /** Nets, results and plans, bytes; what equal jobs of other experiments have in common with it included. */
  readonly artifacts: number;
  /** Its data set, bytes; 0 where another experiment, or an imported data set, has the same. */
  readonly data: number;
}

/** Bytes of some blobs, each once. */
const bytesOf = (blobs: ReadonlyMap<string, number>): number => [...blobs.values()].reduce((sum, n) => sum + n, 0);

/**
 * What an experiment takes up, so that it can be said what its removal frees.
 *
 * @param others experiments that stay
 */
export async function holdingsOf(
  broker: Broker,
  record: ExperimentRecord,
  jobs: readonly JobRecord[],
  others: readonly ExperimentRecord[],
): Promise<Holdings> {
  const artifacts = new Map<string, number>();
  const add = (reference: BlobRef | null | undefined): void => {
    if (reference != null) artifacts.set(reference.digest, reference.bytes);
  };
  for (const one of [record.spec, record.folds, record.plan, record.results]) add(one);
  const { plan } = record;
  const planned = plan === null ? undefined : await readable(() => getJson(broker.artifacts, plan, SweepPlan));
  for (const trial of planned?.trials ?? []) add(trial.plan);
  await inParallel(jobs, readsAtOnce, async ({ kind, result, earlier }) => {
    for (const one of [...earlier, ...(result === null ? [] : [result])]) {
      add(one);
      if (kind === 'test') continue;
      const kept = await readable<{ readonly model: BlobRef; readonly findings?: BlobRef }>(async () =>
        kind === 'refit'
          ? await getJson(broker.artifacts, one, RefitJobResult)
          : await getJson(broker.artifacts, one, TrainJobResult),
      );
      add(kept?.model);
      add(kept?.findings);
    }
  });
  return { jobs: jobs.length, artifacts: bytesOf(artifacts), data: await dataOf(broker, record, others) };
}

async function dataOf(
  { data, datasets }: Broker,
  { source, manifest, otherManifests = [] }: ExperimentRecord,
  others: readonly ExperimentRecord[],
): Promise<number> {
  const isShared = others.some(
    (other) =>
      other.source.digest === source.digest || (manifest !== null && other.manifest?.digest === manifest.digest),
  );
  if (isShared) return 0;
  const imported = new Set((await datasets.list(() => undefined)).map((one) => one.manifest.digest));
  const bundle = await readable(() => getJson(data, source, SourceBundle));
  const imports = bundle?.kind === 'imported' ? [bundle.manifest] : [];
  const cut = [...(manifest === null ? [] : [manifest]), ...otherManifests, ...imports];
  if (cut.some(({ digest }) => imported.has(digest))) return 0;
  const blobs = new Map([source, ...cut, ...uploaded(bundle)].map(({ digest, bytes }) => [digest, bytes]));
  for (const one of cut) {
    const read = await readable(() => getJson(data, one, Manifest));
    for (const { digest, bytes } of read === undefined ? [] : piecesOf(read)) blobs.set(digest, bytes);
  }
  return bytesOf(blobs);
}

/** The files that were uploaded; shards may be the very same blobs. */
function uploaded(bundle: SourceBundle | undefined): readonly BlobRef[] {
  if (bundle === undefined || bundle.kind === 'imported') return [];
  const parts =
    bundle.kind === 'images'
      ? [bundle.train, bundle.test].flatMap((part) => (part === null ? [] : [part.files, ...part.packs]))
      : [bundle.train, bundle.test].flatMap((part) =>
          part === null ? [] : [...part.images.parts, ...part.labels.parts],
        );
  return bundle.columns === undefined ? parts : [...parts, bundle.columns];
}

/** What is missing or damaged takes up nothing that could be told. */
async function readable<T>(read: () => Promise<T>): Promise<T | undefined> {
  try {
    return await read();
  } catch (error) {
    if (!(error instanceof DamagedDataError)) throw error;
    return undefined;
  }
}
