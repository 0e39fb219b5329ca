import type { Broker } from '@crossfold/shared/broker/broker';
import { getJson, putJson } from '@crossfold/shared/broker/json-blobs';
import { Manifest } from '@crossfold/shared/data/manifest';
import { FoldsDocument } from '@crossfold/shared/folds/folds';
import { TestJobResult, TrainJobResult } from '@crossfold/shared/jobs/job-result';
import { SweepPlan, TrialPlan } from '@crossfold/shared/jobs/plan';
import type { ExperimentRecord, JobRecord } from '@crossfold/shared/jobs/records';
import type { Results, SearchRound } from '@crossfold/shared/results';
import { inParallel } from '../in-parallel.ts';
import type { FinishedJob } from '../results/aggregate.ts';
import { crossValidated, withEnd } from '../results/aggregate.ts';
import { version } from '../version.ts';
import type { LeaderContext } from './context.ts';
import { finalNet, testOf } from './final.ts';
import { outOfFoldOf } from './out-of-fold.ts';

const readsAtOnce = 16;

/**
 * Ends an experiment whose `train` jobs are all final: makes the net that is to be left in the end, has it scored on the
 * held-out test set, where there is one, and then writes the results.
 */
export async function finish(
  context: LeaderContext,
  record: ExperimentRecord,
  jobs: readonly JobRecord[],
  rounds: readonly SearchRound[],
): Promise<void> {
  const { broker, logger, now } = context;
  if (record.manifest === null || record.folds === null || record.plan === null) return;
  const plan = await getJson(broker.artifacts, record.plan, SweepPlan);
  const manifest = await getJson(broker.data, record.manifest, Manifest);
  const finished = await readResults(context, jobs);
  const all = {
    record,
    plans: await readPlans(context, plan),
    manifest,
    folds: await getJson(broker.artifacts, record.folds, FoldsDocument),
    finished,
    search: searchResult(plan, jobs, rounds),
    wallSeconds: (now() - record.createdAt) / 1000,
    software: version(),
  };
  const validated = crossValidated(all);
  const final = await finalNet(context, { record, plan, finished, jobs }, validated);
  if (final === 'under way') return;
  const test =
    manifest.test === null || final?.net === undefined ? undefined : await testOf(context, record, jobs, final);
  if (test === 'under way') return;
  const scored = test?.result == null ? undefined : await getJson(broker.artifacts, test.result, TestJobResult);
  // A net that was looked at before, and is not the one that is left, was looked at all the same.
  const looks = jobs.filter(({ kind, result }) => kind === 'test' && result !== null).length;
  const tested = test === undefined ? undefined : { job: test, result: scored, looks };
  const results = withEnd(
    { ...validated, ...(await outOfFoldOf(broker, validated, finished)) },
    { final, test: tested },
  );
  const reference = await putJson(broker.artifacts, results);
  const ends = [final?.job, test].find((job) => job?.state === 'failed');
  const failed = ends ?? finished.find(({ job }) => job.state === 'failed')?.job;
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
  { broker }: { readonly broker: Pick<Broker, 'artifacts'> },
  { trials }: Pick<SweepPlan, 'trials'>,
): Promise<Map<number, TrialPlan>> {
  const plans = new Map<number, TrialPlan>();
  await inParallel(trials, readsAtOnce, async ({ trial, plan }) => {
    plans.set(trial, await getJson(broker.artifacts, plan, TrialPlan));
  });
  return plans;
}

/** How a search went, or goes: by the jobs that there are, and what was decided. */
export function searchResult(
  { search, trials, folds }: SweepPlan,
  jobs: readonly JobRecord[],
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
    foldEpochs: jobs.reduce((sum, { kind, result }) => sum + (kind === 'train' ? (result?.epochs ?? 0) : 0), 0),
    exhaustiveFoldEpochs: trials.reduce((sum, { epochs }) => sum + epochs * searched, 0) + outer * longest,
    rounds,
  };
}
