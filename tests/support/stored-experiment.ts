import type { Broker } from '@crossfold/shared/broker/broker';
import { putJson } from '@crossfold/shared/broker/json-blobs';
import type { SearchSpec } from '@crossfold/shared/config/search';
import { sampleDigestBytes, sha256 } from '@crossfold/shared/data/digest';
import type { Samples } from '@crossfold/shared/data/manifest';
import type { PlannedFold, SweepPlan } from '@crossfold/shared/jobs/plan';
import type { ExperimentRecord, JobRecord } from '@crossfold/shared/jobs/records';
import { jobId } from '@crossfold/shared/jobs/records';
import { finishedExperiment, type Story } from './finished.ts';
import { type MemoryBlobs, memoryBlobs } from './memory-blobs.ts';
import { aResult } from './records.ts';

export interface StoredExperiment {
  readonly broker: Pick<Broker, 'artifacts' | 'data'>;
  readonly artifacts: MemoryBlobs;
  readonly record: ExperimentRecord;
  /** All of its jobs, over. */
  readonly jobs: readonly JobRecord[];
}

/**
 * A made-up experiment as it lies on the broker once all of its jobs are over.
 *
 * @param within which outer fold each fold lies in, where it does
 */
export async function storedExperiment(
  story: Story,
  within: (fold: number) => number | undefined = () => undefined,
  search: SearchSpec | null = null,
): Promise<StoredExperiment> {
  const all = finishedExperiment(story);
  const [artifacts, data] = [memoryBlobs(), memoryBlobs()];
  const place = (fold: number): { within?: number } => {
    const outer = within(fold);
    return outer === undefined ? {} : { within: outer };
  };
  const folds = all.folds.folds.map((fold) => ({ ...fold, ...place(fold.fold) }));
  const manifest = await putJson(data, { ...all.manifest, train: cutOf(all.manifest.train), test: null });
  const trials: SweepPlan['trials'][number][] = [];
  for (const plan of all.plans.values())
    trials.push({
      trial: plan.trial,
      parameters: plan.parameters,
      plan: await putJson(artifacts, plan),
      recipe: String(plan.trial).padStart(64, '0'),
      epochs: story.epochs ?? 6,
      minSeats: 1,
      maxSeats: 1,
    });
  const planned = folds.map(
    ({ fold, repeat = 0, train, validation }): PlannedFold => ({
      fold,
      repeat,
      ...place(fold),
      trainSamples: train.length,
      validationSamples: validation.length,
      digest: String(fold).padStart(64, '0'),
    }),
  );
  const plan: SweepPlan = { schema: 1, identity: 'engine', manifest, search, folds: planned, trials };
  const jobs: JobRecord[] = [];
  for (const { job, result } of all.finished) {
    const stored = result === undefined ? undefined : await putJson(artifacts, result);
    const { accuracy = 0, loss = 0 } = result?.fold.validation ?? {};
    const epochs = story.epochs ?? 6;
    jobs.push({
      ...job,
      id: jobId(all.record.id, job.kind, job.trial, job.repeat, job.fold),
      experiment: all.record.id,
      result: stored === undefined ? null : aResult({ ...stored, epochs, accuracy, loss, final: true }),
    });
  }
  const record: ExperimentRecord = {
    ...all.record,
    state: 'running',
    finishedAt: null,
    jobs: jobs.length,
    spec: await putJson(artifacts, all.experiment),
    manifest,
    folds: await putJson(artifacts, { ...all.folds, folds }),
    plan: await putJson(artifacts, plan),
  };
  return { broker: { artifacts, data }, artifacts, record, jobs };
}

/** Samples of 28 x 28 pixels as if they were cut into one shard. */
const cutOf = (samples: Samples): Samples => ({
  ...samples,
  sampleDigests: Buffer.alloc(samples.count * sampleDigestBytes).toString('base64'),
  shards: [{ digest: sha256('shard'), bytes: samples.count * 28 * 28, first: 0, count: samples.count }],
});
