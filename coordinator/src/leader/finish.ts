import { getJson, putJson } from '@crossfold/shared/broker/json-blobs';
import { Manifest } from '@crossfold/shared/data/manifest';
import { FoldsDocument } from '@crossfold/shared/folds/folds';
import { TestJobResult, TrainJobResult } from '@crossfold/shared/jobs/job-result';
import { TrialPlan } from '@crossfold/shared/jobs/plan';
import type { ExperimentRecord, JobRecord } from '@crossfold/shared/jobs/records';
import { isFinal } from '@crossfold/shared/jobs/records';
import type { Results } from '@crossfold/shared/results';
import type { FinishedJob } from '../results/aggregate.ts';
import { aggregate, bestFold, completedFolds } from '../results/aggregate.ts';
import { version } from '../version.ts';
import type { LeaderContext } from './leader.ts';
import { newJob } from './prepare.ts';

/**
 * Ends an experiment whose `train` jobs are all final: has the model of the best fold scored on the held-out test set,
 * where there is one, and then writes the results.
 */
export async function finish(
  context: LeaderContext,
  record: ExperimentRecord,
  jobs: readonly JobRecord[],
): Promise<void> {
  const { broker, logger, now } = context;
  if (record.manifest === null || record.folds === null) return;
  const finished: FinishedJob[] = [];
  const plans = new Map<number, TrialPlan>();
  for (const job of jobs.filter((j) => j.kind === 'train')) {
    const result = job.result === null ? undefined : await getJson(broker.artifacts, job.result, TrainJobResult);
    finished.push({ job, result });
    if (!plans.has(job.trial)) plans.set(job.trial, await getJson(broker.artifacts, { digest: job.plan }, TrialPlan));
  }
  const manifest = await getJson(broker.data, record.manifest, Manifest);
  const test = jobs.find((job) => job.kind === 'test');
  if (test !== undefined && !isFinal(test.state)) return;
  const scored = test?.result == null ? undefined : await getJson(broker.artifacts, test.result, TestJobResult);
  const results = aggregate({
    record,
    plans,
    manifest,
    folds: await getJson(broker.artifacts, record.folds, FoldsDocument),
    finished,
    test: test === undefined ? undefined : { job: test, result: scored },
    wallSeconds: (now() - record.createdAt) / 1000,
    software: version(),
  });
  const best = bestJob(results, finished);
  if (manifest.test !== null && best !== undefined && test === undefined) {
    await queueTest(context, best);
    return;
  }
  const reference = await putJson(broker.artifacts, results);
  const failed =
    finished.find(({ job }) => job.state === 'failed')?.job ?? (test?.state === 'failed' ? test : undefined);
  await broker.experiments.transition(record.id, (current) =>
    current.state !== 'running'
      ? undefined
      : {
          ...current,
          state: results.status,
          results: reference,
          error: failed === undefined ? null : `${failed.id}: ${failed.error ?? 'failed'}`.slice(0, 4000),
          finishedAt: now(),
        },
  );
  logger.info({ experiment: record.id, status: results.status }, 'experiment finished');
}

interface CompletedJob {
  readonly job: JobRecord;
  readonly result: TrainJobResult;
}

/** The job of the best trial's best fold. */
function bestJob({ trials, best }: Results, finished: readonly FinishedJob[]): CompletedJob | undefined {
  const trial = trials.find((t) => t.trial === best?.trial);
  const fold = trial === undefined ? undefined : bestFold(completedFolds(trial));
  for (const { job, result } of finished)
    if (result !== undefined && job.trial === trial?.trial && job.fold === fold?.fold && job.repeat === fold.repeat)
      return { job, result };
  return undefined;
}

async function queueTest(context: LeaderContext, best: CompletedJob): Promise<void> {
  const { broker, now } = context;
  const plan = await getJson(broker.artifacts, { digest: best.job.plan }, TrialPlan);
  const { experiment, trial, repeat, fold, identity } = best.job;
  const reference = await putJson(broker.artifacts, { ...plan, model: best.result.model });
  const alone = { minSeats: 1, maxSeats: 1 };
  const job = newJob({ experiment, kind: 'test', trial, repeat, fold, plan: reference, identity, ...alone }, now());
  await broker.jobs.create(job.id, job);
}
