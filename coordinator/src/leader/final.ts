import { getJson, putJson } from '@crossfold/shared/broker/json-blobs';
import type { FinalNet } from '@crossfold/shared/config/final';
import type { TrainJobResult } from '@crossfold/shared/jobs/job-result';
import { RefitJobResult } from '@crossfold/shared/jobs/job-result';
import type { SweepPlan } from '@crossfold/shared/jobs/plan';
import { TrialPlan } from '@crossfold/shared/jobs/plan';
import type { BlobRef, ExperimentRecord, JobRecord } from '@crossfold/shared/jobs/records';
import { isFinal, jobId } from '@crossfold/shared/jobs/records';
import { extend, revive, stop } from '@crossfold/shared/jobs/transitions';
import type { CompletedFold, Final, Results, TrialResult } from '@crossfold/shared/results';
import type { FinishedJob } from '../results/aggregate.ts';
import { bestFoldOf, outerFoldsOf } from '../results/nested.ts';
import { isToRevive } from '../search/sweep.ts';
import type { LeaderContext } from './context.ts';
import { keyOf, newJob } from './jobs.ts';

/** What is left in the end. */
export interface FinalResult {
  /** What the results say of it; undefined for a fold's net, of which they say everything already. */
  readonly final: Final | undefined;
  /** The net, or the nets, to be scored on the test set; undefined where a refit has come to nothing. */
  readonly net: TestedNet | undefined;
  /** The job that made it, where it took one. */
  readonly job: JobRecord | undefined;
}

interface TestedNet {
  readonly of: FinalNet;
  readonly models: readonly [BlobRef, ...BlobRef[]];
  readonly trial: number;
  readonly repeat: number;
  readonly fold: number;
  /** Digest of the trial's plan, and the engine that it was trained by. */
  readonly plan: string;
  readonly identity: string;
}

interface Ended {
  readonly record: ExperimentRecord;
  readonly plan: SweepPlan;
  readonly finished: readonly FinishedJob[];
  /** All of the experiment's jobs. */
  readonly jobs: readonly JobRecord[];
}

interface CompletedJob {
  readonly job: JobRecord;
  readonly result: TrainJobResult;
}

/**
 * Makes the net that an experiment leaves in the end of the trial that was found, once all of its folds are there. Queues
 * the training that this takes, if any.
 *
 * @returns undefined where no trial completed
 */
export async function finalNet(
  context: LeaderContext,
  ended: Ended,
  results: Results,
): Promise<FinalResult | 'under way' | undefined> {
  const { record } = ended;
  const number = record.finalTrial ?? results.best?.trial;
  // Nested, a trial that was found for one outer fold may have been dropped within another.
  const isThere = (one: TrialResult): boolean =>
    one.status === 'completed' || (results.nested !== undefined && outerFoldsOf(one, results.nested).length > 0);
  const trial = results.trials.find((one) => one.trial === number && isThere(one));
  if (trial === undefined) return stopOthers(context, ended, undefined);
  const best = jobOf(ended, trial, bestFoldOf(trial, results.nested));
  if (best === undefined) return undefined;
  const { plan, identity } = best.job;
  if (record.final === 'refit') return refit(context, ended, trial, best);
  const others = await stopOthers(context, ended, undefined);
  if (others === 'under way') return others;
  if (record.final === 'fold') {
    const { repeat, fold } = best.job;
    const net = { of: 'fold', models: [best.result.model], trial: trial.trial, repeat, fold, plan, identity } as const;
    return { final: undefined, net, job: undefined };
  }
  const members = outerFoldsOf(trial, results.nested).flatMap((fold) => jobOf(ended, trial, fold) ?? []);
  const [first, ...rest] = members.map(({ result }) => result.model);
  if (first === undefined) return undefined;
  return {
    final: {
      of: 'ensemble',
      trial: trial.trial,
      members: members.map(({ job: { repeat, fold }, result }) => ({
        repeat,
        fold,
        weightsSha256: result.fold.weightsSha256,
      })),
    },
    net: { of: 'ensemble', models: [first, ...rest], trial: trial.trial, repeat: 0, fold: 0, plan, identity },
    job: undefined,
  };
}

/** The job that a completed fold is from. */
function jobOf({ finished }: Ended, { trial }: TrialResult, fold: CompletedFold | undefined): CompletedJob | undefined {
  for (const { job, result } of finished)
    if (result !== undefined && job.trial === trial && job.fold === fold?.fold && job.repeat === fold.repeat)
      return { job, result };
  return undefined;
}

async function refit(
  context: LeaderContext,
  ended: Ended,
  trial: TrialResult,
  { job: { plan, identity } }: CompletedJob,
): Promise<FinalResult | 'under way'> {
  const { broker, now } = context;
  const { record } = ended;
  const id = jobId(record.id, 'refit', trial.trial, 0, 0);
  if ((await stopOthers(context, ended, id)) === 'under way') return 'under way';
  const there = ended.jobs.find((job) => job.id === id);
  if (there === undefined || isToRevive(there, record.resumed)) {
    await queue(context, await refitJob(context, ended, trial, { id, plan, identity }, now()), record.resumed.length);
    return 'under way';
  }
  if (there.state === 'pruned')
    await broker.jobs.transition(id, (job) => extend(job, job.until, { now: now(), secret: '' }));
  if (there.state === 'pruned' || !isFinal(there.state)) return 'under way';
  if (there.result === null || there.state !== 'completed') return { final: undefined, net: undefined, job: there };
  const { refit: made, model } = await getJson(broker.artifacts, there.result, RefitJobResult);
  return {
    final: { of: 'refit', trial: trial.trial, ...made },
    net: { of: 'refit', models: [model], trial: trial.trial, repeat: 0, fold: 0, plan, identity },
    job: there,
  };
}

/**
 * The job that trains a trial's configuration on all training samples. Where early stopping chose the epochs of the folds,
 * it has as many as they kept in the mean: there is nothing left to choose by. A learning rate's schedule stays that of
 * the whole training.
 */
async function refitJob(
  { broker }: LeaderContext,
  { record, plan }: Ended,
  trial: TrialResult,
  { id, plan: digest, identity }: { readonly id: string; readonly plan: string; readonly identity: string },
  now: number,
): Promise<JobRecord> {
  const own = await getJson(broker.artifacts, { digest }, TrialPlan);
  const planned = plan.trials[trial.trial];
  if (planned === undefined) throw new Error(`${record.id} has no trial ${trial.trial}`);
  const { earlyStopping, ...training } = own.experiment.training;
  const until = earlyStopping === undefined ? training.epochs : keptEpochs(trial);
  const experiment = { ...own.experiment, training };
  const { recipe, minSeats, maxSeats } = planned;
  const { digest: manifest } = planned.manifest ?? plan.manifest;
  return newJob(
    {
      ...{ id, experiment: record.id, kind: 'refit', trial: trial.trial, repeat: 0, fold: 0, identity },
      plan: await putJson(broker.artifacts, { ...own, experiment }),
      key: keyOf({ refit: recipe, identity, manifest, until }),
      ...{ until, minSeats, maxSeats, resumes: record.resumed.length },
    },
    now,
  );
}

/** Epochs of the weights that a trial's folds kept, in the mean. */
export function keptEpochs({ folds }: Pick<TrialResult, 'folds'>): number {
  const kept = folds.flatMap((fold) => (fold.status === 'completed' ? [fold.bestEpoch + 1] : []));
  return Math.max(1, Math.round(kept.reduce((sum, epochs) => sum + epochs, 0) / kept.length));
}

/** Refits that were begun and are not wanted any more, as another trial is the best by now, end. */
async function stopOthers(
  { broker, now }: LeaderContext,
  { jobs }: Ended,
  wanted: string | undefined,
): Promise<'under way' | undefined> {
  const others = jobs.filter(({ id, kind, state }) => kind === 'refit' && id !== wanted && !isFinal(state));
  for (const { id } of others)
    await broker.jobs.transition(id, (job) => stop(job, 'pruned', { now: now(), secret: '' }));
  return others.length === 0 ? undefined : 'under way';
}

/** The job that scores the final net on the test set; queues it where it is not there yet. */
export async function testOf(
  context: LeaderContext,
  record: ExperimentRecord,
  jobs: readonly JobRecord[],
  { net }: FinalResult,
): Promise<JobRecord | 'under way'> {
  if (net === undefined) throw new Error('there is a net to be scored');
  const { of, trial, repeat, fold, identity } = net;
  const id = jobId(record.id, of === 'fold' ? 'test' : `test-${of}`, trial, repeat, fold);
  // After more was tried another net than the one that has been tested may be the best.
  const there = jobs.find((job) => job.id === id);
  if (there !== undefined && !isToRevive(there, record.resumed)) return isFinal(there.state) ? there : 'under way';
  const { broker, now } = context;
  const plan = await getJson(broker.artifacts, { digest: net.plan }, TrialPlan);
  const [model] = net.models;
  const models = of === 'ensemble' ? { ensemble: net.models } : { model };
  const digests = net.models.map(({ digest }) => digest).join(' ');
  const job = newJob(
    {
      ...{ id, experiment: record.id, kind: 'test', of, trial, repeat, fold, identity },
      plan: await putJson(broker.artifacts, { ...plan, ...models }),
      key: keyOf({ test: digests, manifest: plan.manifest.digest, identity }),
      ...{ until: 0, minSeats: 1, maxSeats: 1, resumes: record.resumed.length },
    },
    now(),
  );
  await queue(context, job, record.resumed.length);
  return 'under way';
}

async function queue({ broker, now }: LeaderContext, job: JobRecord, resumes: number): Promise<void> {
  if (await broker.jobs.create(job.id, job)) return;
  await broker.jobs.transition(job.id, (current) => revive(current, { now: now(), secret: '' }, resumes));
}
