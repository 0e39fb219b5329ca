import type { ExperimentRecord, JobRecord, PublicJob } from '@crossfold/shared/jobs/records';
import { epochsDone, foldName, isFinal } from '@crossfold/shared/jobs/records';
import { meanOf, sampleStd } from '@crossfold/shared/metrics/summary';
import type { JobProgress } from '@crossfold/shared/progress';
import { epochsOf, fraction } from '../cli/progress/state.ts';

/** How long to listen for what is known of running jobs: groups say twice a second how far they are. */
export const listenMs = 700;

/** What is known of a job beyond its record. */
export interface JobNews {
  /** The last thing that its group said. */
  readonly progress: JobProgress | undefined;
  /** Of the epoch that was validated last. */
  readonly validation: Scored | undefined;
  /** The epoch that was validated last. */
  readonly validated: ValidatedEpoch | undefined;
}

/** A whole epoch, and how well the model did in it and after it. */
export interface ValidatedEpoch {
  /** From 1. */
  readonly epoch: number;
  readonly accuracy: { readonly train: number; readonly validation: number };
}

/** What is known of a job once its group has said something. */
export function newsAfter(before: JobNews | undefined, event: JobProgress): JobNews {
  const { epoch, accuracy: train, valLoss, valAccuracy } = event;
  if (valLoss === undefined || valAccuracy === undefined)
    return { progress: event, validation: before?.validation, validated: before?.validated };
  return {
    progress: event,
    validation: { loss: valLoss, accuracy: valAccuracy },
    validated: train === undefined ? before?.validated : { epoch, accuracy: { train, validation: valAccuracy } },
  };
}

/** What is left of it once the job is over: all else its record knows better. */
export const newsOfEnded = ({ validated }: JobNews): JobNews => ({
  progress: undefined,
  validation: undefined,
  validated,
});

export interface Scored {
  readonly loss: number;
  readonly accuracy: number;
}

/** How one fold of one trial stands. */
export interface FoldStanding {
  /** Id of its job. */
  readonly job: string;
  readonly trial: number;
  readonly fold: string;
  readonly state: JobRecord['state'];
  readonly epoch: number;
  /** Share of its epochs that is done. */
  readonly progress: number;
  /** Epochs of the experiment's work that it has done. */
  readonly epochsDone: number;
  /** While it runs, and goes on as it went. */
  readonly remainingSeconds: number | undefined;
  /** Undefined where it does not run. */
  readonly imagesPerSecond: number | undefined;
  readonly generation: number;
  readonly members: number;
  readonly attempts: number;
  readonly train: Scored | undefined;
  readonly validation: Scored | undefined;
  readonly validated: ValidatedEpoch | undefined;
}

export interface TrialStanding {
  readonly trial: number;
  readonly states: ReadonlyMap<JobRecord['state'], number>;
  readonly accuracy: { readonly mean: number; readonly std: number } | undefined;
}

export interface ExperimentStanding {
  readonly folds: readonly FoldStanding[];
  readonly trials: readonly TrialStanding[];
  readonly states: ReadonlyMap<JobRecord['state'], number>;
  /** Share of the experiment that is done. */
  readonly progress: number;
  readonly elapsedSeconds: number | undefined;
  readonly remainingSeconds: number | undefined;
  /** It may take less: a search may stop earlier. */
  readonly atMost: boolean;
}

/**
 * How an experiment stands, from its record, its jobs' and what their groups said. Pure.
 *
 * @param jobs of this experiment; only those that train count
 * @param now epoch milliseconds
 */
export function standingOf(
  record: ExperimentRecord,
  jobs: readonly PublicJob[],
  news: ReadonlyMap<string, JobNews>,
  now: number,
): ExperimentStanding {
  const train = jobs.filter((job) => job.kind === 'train');
  const folds = train.map((job) => foldStanding(job, news.get(job.id), now));
  const trials = new Map<number, FoldStanding[]>();
  for (const fold of folds) {
    const own = trials.get(fold.trial);
    if (own === undefined) trials.set(fold.trial, [fold]);
    else own.push(fold);
  }
  const over = isFinal(record.state);
  const progress = over ? 1 : shareDone(record, folds);
  const elapsedSeconds =
    record.startedAt === null ? undefined : Math.max(0, ((record.finishedAt ?? now) - record.startedAt) / 1000);
  return {
    folds,
    trials: [...trials].sort(([a], [b]) => a - b).map(([trial, own]) => trialStanding(trial, own)),
    states: countStates(folds),
    progress,
    elapsedSeconds,
    remainingSeconds:
      over || elapsedSeconds === undefined || progress === 0 ? undefined : (elapsedSeconds * (1 - progress)) / progress,
    atMost: record.work?.atMost === true && !over,
  };
}

/** In epochs over all folds, since a search trains some jobs longer than others, and many not to their end. */
function shareDone({ work, jobs }: ExperimentRecord, folds: readonly FoldStanding[]): number {
  const sum = (of: (fold: FoldStanding) => number): number => folds.reduce((all, fold) => all + of(fold), 0);
  if (work !== undefined && work.foldEpochs > 0) return Math.min(1, sum((fold) => fold.epochsDone) / work.foldEpochs);
  const total = Math.max(jobs, folds.length);
  return total === 0 ? 0 : sum((fold) => fold.progress) / total;
}

/** Up to so many folds an experiment is shown in full. */
export const foldsShownInFull = 1000;
/** Of a larger one: trials that are shown, and those of them whose folds are. */
export const bestShown = { trials: 500, withFolds: 50 } as const;

/**
 * The folds and trials that metrics show, so that an experiment has a bounded number of series however many trials it
 * searches: of one with more than `foldsShownInFull` folds the best trials, the folds of the very best, and those folds
 * that workers have now. Trials without an accuracy come last, in their order.
 */
export function shownOf({ folds, trials }: ExperimentStanding): Pick<ExperimentStanding, 'folds' | 'trials'> {
  if (folds.length <= foldsShownInFull) return { folds, trials };
  const worth = ({ accuracy }: TrialStanding): number => accuracy?.mean ?? -1;
  const ranked = [...trials].sort((a, b) => worth(b) - worth(a) || a.trial - b.trial);
  const best = new Set(ranked.slice(0, bestShown.withFolds).map(({ trial }) => trial));
  return {
    trials: ranked.slice(0, bestShown.trials),
    folds: folds.filter(({ trial, state }) => best.has(trial) || state === 'running' || state === 'forming'),
  };
}

function trialStanding(trial: number, folds: readonly FoldStanding[]): TrialStanding {
  const accuraciesOf = (some: readonly FoldStanding[]): number[] =>
    some.flatMap(({ validation }) => (validation === undefined ? [] : [validation.accuracy]));
  // Folds that were given up would draw the mean to where they were left; of a trial that its search gave up there are no
  // others, and where it was left is what it is worth.
  const kept = accuraciesOf(folds.filter(({ state }) => state === 'completed' || !isFinal(state)));
  const accuracies = kept.length > 0 ? kept : accuraciesOf(folds.filter(({ state }) => state === 'pruned'));
  return {
    trial,
    states: countStates(folds),
    accuracy: accuracies.length === 0 ? undefined : { mean: meanOf(accuracies), std: sampleStd(accuracies) },
  };
}

function foldStanding(job: PublicJob, news: JobNews | undefined, now: number): FoldStanding {
  const { progress } = news ?? {};
  const done = progress === undefined ? 0 : fraction(progress);
  // Of a job that goes on after a rung of its search, what its group says is newer than its result.
  const result = isFinal(job.state) || job.state === 'paused' ? job.result : null;
  const began = job.state === 'running' ? job.startedAt : null;
  return {
    job: job.id,
    trial: job.trial,
    fold: foldName(job.repeat, job.fold),
    state: job.state,
    epoch: result?.epochs ?? progress?.epoch ?? 0,
    progress: isFinal(job.state) ? 1 : done,
    epochsDone: Math.max(epochsDone(job), job.state === 'running' && progress !== undefined ? epochsOf(progress) : 0),
    remainingSeconds: began === null || done === 0 ? undefined : ((now - began) / 1000) * (1 / done - 1),
    imagesPerSecond: job.state === 'running' ? (progress?.imagesPerSecond ?? 0) : undefined,
    generation: job.generation,
    members: job.members.length,
    attempts: job.attempts,
    train: result === null ? scored(progress?.loss, progress?.accuracy) : result.train,
    validation: result === null ? news?.validation : { loss: result.loss, accuracy: result.accuracy },
    validated: news?.validated,
  };
}

const scored = (loss: number | undefined, accuracy: number | undefined): Scored | undefined =>
  loss === undefined || accuracy === undefined ? undefined : { loss, accuracy };

function countStates(folds: readonly FoldStanding[]): Map<JobRecord['state'], number> {
  const counts = new Map<JobRecord['state'], number>();
  for (const { state } of folds) counts.set(state, (counts.get(state) ?? 0) + 1);
  return counts;
}
