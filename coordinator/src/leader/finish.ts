import { getJson, putJson } from '@crossfold/shared/broker/json-blobs';
import { Manifest } from '@crossfold/shared/data/manifest';
import { FoldsDocument } from '@crossfold/shared/folds/folds';
import { TestJobResult, TrainJobResult } from '@crossfold/shared/jobs/job-result';
import { SweepPlan, TrialPlan } from '@crossfold/shared/jobs/plan';
import type { ExperimentRecord, JobRecord } from '@crossfold/shared/jobs/records';
import { isFinal, jobId } from '@crossfold/shared/jobs/records';
import { revive } from '@crossfold/shared/jobs/transitions';
import type { Results, SearchRound } from '@crossfold/shared/results';
import type { FinishedJob } from '../results/aggregate.ts';
import { aggregate } from '../results/aggregate.ts';
import { modelFold } from '../results/nested.ts';
import { isToRevive } from '../search/sweep.ts';
import { version } from '../version.ts';
import { inParallel } from './in-parallel.ts';
import { keyOf, newJob } from './jobs.ts';
import type { LeaderContext } from './leader.ts';

const readsAtOnce = 16;

/**
 * Ends an experiment whose `train` jobs are all final: has the model of the best fold scored on the held-out test set,
 * where there is one, and then writes the results.
 */
export async function finish(
  context: LeaderContext,
  record: ExperimentRecord,
  jobs: readonly JobRecord[],
  rounds: readonly SearchRound[],
): Promise<void> {
  const { broker, logger, now } = context;
  if (record.manifest === null || record.folds === null || record.plan === null) return;
  const tests = jobs.filter((job) => job.kind === 'test');
  if (tests.some(({ state }) => !isFinal(state))) return;
  const plan = await getJson(broker.artifacts, record.plan, SweepPlan);
  const manifest = await getJson(broker.data, record.manifest, Manifest);
  const finished = await readResults(context, jobs);
  const all = {
    record,
    plans: await readPlans(context, plan),
    manifest,
    folds: await getJson(broker.artifacts, record.folds, FoldsDocument),
    finished,
    search: searchResult(plan, finished, rounds),
    wallSeconds: (now() - record.createdAt) / 1000,
    software: version(),
  };
  const untested = aggregate({ ...all, test: undefined });
  const best = bestJob(untested, finished);
  // After more was tried there may be another best fold than the one that has been tested.
  const test = best === undefined ? undefined : tests.find(({ id }) => id === testOf(best.job));
  if (manifest.test !== null && best !== undefined && (test === undefined || isToRevive(test, record.resumed))) {
    await queueTest(context, best, record.resumed.length);
    return;
  }
  const scored = test?.result == null ? undefined : await getJson(broker.artifacts, test.result, TestJobResult);
  const results = test === undefined ? untested : aggregate({ ...all, test: { job: test, result: scored } });
  const reference = await putJson(broker.artifacts, results);
  const failed =
    finished.find(({ job }) => job.state === 'failed')?.job ?? (test?.state === 'failed' ? test : undefined);
  const reason = failed === undefined ? null : `${failed.id}: ${failed.error ?? 'failed'}`.slice(0, 4000);
  await broker.experiments.transition(record.id, (current) =>
    current.state !== 'running'
      ? undefined
      : {
          ...current,
          state: results.status,
          results: reference,
          error: results.status === 'failed' ? reason : null,
          finishedAt: now(),
        },
  );
  logger.info({ experiment: record.id, status: results.status }, 'experiment finished');
}

async function readResults({ broker }: LeaderContext, jobs: readonly JobRecord[]): Promise<FinishedJob[]> {
  const train = jobs.filter(({ kind }) => kind === 'train');
  const finished: FinishedJob[] = [];
  await inParallel(train, readsAtOnce, async (job, i) => {
    const result = job.result === null ? undefined : await getJson(broker.artifacts, job.result, TrainJobResult);
    finished[i] = { job, result };
  });
  return finished;
}

/** The plan of each trial, by the trial's number. */
export async function readPlans(
  { broker }: Pick<LeaderContext, 'broker'>,
  { trials }: Pick<SweepPlan, 'trials'>,
): Promise<Map<number, TrialPlan>> {
  const plans = new Map<number, TrialPlan>();
  await inParallel(trials, readsAtOnce, async ({ trial, plan }) => {
    plans.set(trial, await getJson(broker.artifacts, plan, TrialPlan));
  });
  return plans;
}

function searchResult(
  { search, trials, folds }: SweepPlan,
  finished: readonly FinishedJob[],
  rounds: readonly SearchRound[],
): Results['search'] {
  if (search === null) return undefined;
  // Nested, each outer fold is trained on once, by its winner, however the search goes.
  const inner = folds.filter(({ within }) => within !== undefined);
  const outer = inner.length === 0 ? 0 : folds.length - inner.length;
  const searched = inner.length === 0 ? folds.length : inner.length;
  const longest = Math.max(...trials.map(({ epochs }) => epochs));
  return {
    method: search.method,
    foldEpochs: finished.reduce((sum, { job }) => sum + (job.result?.epochs ?? 0), 0),
    exhaustiveFoldEpochs: trials.reduce((sum, { epochs }) => sum + epochs * searched, 0) + outer * longest,
    rounds,
  };
}

interface CompletedJob {
  readonly job: JobRecord;
  readonly result: TrainJobResult;
}

/** The job whose model stands for the best trial. */
function bestJob({ trials, best, nested }: Results, finished: readonly FinishedJob[]): CompletedJob | undefined {
  const trial = trials.find((t) => t.trial === best?.trial);
  const fold = trial === undefined ? undefined : modelFold(trial, nested);
  for (const { job, result } of finished)
    if (result !== undefined && job.trial === trial?.trial && job.fold === fold?.fold && job.repeat === fold.repeat)
      return { job, result };
  return undefined;
}

const testOf = ({ experiment, trial, repeat, fold }: JobRecord): string =>
  jobId(experiment, 'test', trial, repeat, fold);

async function queueTest(context: LeaderContext, best: CompletedJob, resumes: number): Promise<void> {
  const { broker, now } = context;
  const plan = await getJson(broker.artifacts, { digest: best.job.plan }, TrialPlan);
  const { experiment, trial, repeat, fold, identity } = best.job;
  const reference = await putJson(broker.artifacts, { ...plan, model: best.result.model });
  const key = keyOf({ test: best.result.model.digest, manifest: plan.manifest.digest, identity });
  const alone = { minSeats: 1, maxSeats: 1, until: 0, key, resumes };
  const job = newJob({ experiment, kind: 'test', trial, repeat, fold, plan: reference, identity, ...alone }, now());
  const stamp = { now: now(), secret: '' };
  if (!(await broker.jobs.create(job.id, job)))
    await broker.jobs.transition(job.id, (current) => revive(current, stamp, resumes));
}
