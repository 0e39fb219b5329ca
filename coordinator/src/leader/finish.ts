import { getJson, putJson } from '@crossfold/shared/broker/json-blobs';
import { Manifest } from '@crossfold/shared/data/manifest';
import { TestJobResult, TrainJobResult } from '@crossfold/shared/jobs/job-result';
import { TrialPlan } from '@crossfold/shared/jobs/plan';
import type { ExperimentRecord, JobRecord } from '@crossfold/shared/jobs/records';
import { isFinal } from '@crossfold/shared/jobs/records';
import { aggregate } from '../results/aggregate.ts';
import type { LeaderContext } from './leader.ts';
import { newJob } from './prepare.ts';

interface Finished {
  readonly job: JobRecord;
  /** Undefined where the job did not complete. */
  readonly result: TrainJobResult | undefined;
}

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
  const finished: Finished[] = [];
  for (const job of jobs.filter((j) => j.kind === 'train')) {
    const result = job.result === null ? undefined : await getJson(broker.artifacts, job.result, TrainJobResult);
    finished.push({ job, result });
  }
  const manifest = await getJson(broker.data, record.manifest, Manifest);
  const best = bestFold(finished);
  const test = jobs.find((job) => job.kind === 'test');
  if (manifest.test !== null && best !== undefined && test === undefined) {
    await queueTest(context, best);
    return;
  }
  if (test !== undefined && !isFinal(test.state)) return;
  const scored = test?.result == null ? undefined : await getJson(broker.artifacts, test.result, TestJobResult);

  const plan = await getJson(broker.artifacts, { digest: finished[0]?.job.plan ?? '' }, TrialPlan);
  const results = aggregate({
    record,
    plan,
    manifest,
    finished,
    test: scored,
    wallSeconds: (now() - record.createdAt) / 1000,
  });
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

/** The fold with the highest validation accuracy; ties go to the lower loss, then to the first. */
function bestFold(finished: readonly Finished[]): { job: JobRecord; result: TrainJobResult } | undefined {
  let best: { job: JobRecord; result: TrainJobResult } | undefined;
  for (const { job, result } of finished) {
    if (result === undefined) continue;
    const mine = result.fold.validation;
    const theirs = best?.result.fold.validation;
    const better =
      theirs === undefined ||
      mine.accuracy > theirs.accuracy ||
      (mine.accuracy === theirs.accuracy && mine.loss < theirs.loss);
    if (better) best = { job, result };
  }
  return best;
}

async function queueTest(context: LeaderContext, best: { job: JobRecord; result: TrainJobResult }): Promise<void> {
  const { broker, now } = context;
  const plan = await getJson(broker.artifacts, { digest: best.job.plan }, TrialPlan);
  const { experiment, trial, repeat, fold, identity } = best.job;
  const reference = await putJson(broker.artifacts, { ...plan, model: best.result.model });
  const job = newJob({ experiment, kind: 'test', trial, repeat, fold, plan: reference, identity, seats: 1 }, now());
  await broker.jobs.create(job.id, job);
}
