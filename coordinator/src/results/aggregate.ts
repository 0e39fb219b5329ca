import type { Manifest } from '@crossfold/shared/data/manifest';
import type { FoldsDocument } from '@crossfold/shared/folds/folds';
import type { TestJobResult, TrainJobResult } from '@crossfold/shared/jobs/job-result';
import type { TrialPlan } from '@crossfold/shared/jobs/plan';
import type { ExperimentRecord, JobRecord } from '@crossfold/shared/jobs/records';
import { summarize } from '@crossfold/shared/metrics/summary';
import type {
  CompletedFold,
  FoldResult,
  NestedResult,
  Results,
  Scores,
  SearchResult,
  Summary,
  TrialResult,
} from '@crossfold/shared/results';

/** A `train` job that is over. */
export interface FinishedJob {
  readonly job: JobRecord;
  /** Undefined where the job did not complete. */
  readonly result: TrainJobResult | undefined;
}

export interface Finished {
  readonly record: ExperimentRecord;
  /** The plan of each trial, by the trial's number. */
  readonly plans: ReadonlyMap<number, TrialPlan>;
  readonly manifest: Manifest;
  readonly folds: FoldsDocument;
  readonly finished: readonly FinishedJob[];
  /** The job that was to score the held-out test set, where there was one, and what it found unless it failed. */
  readonly test: { readonly job: JobRecord; readonly result: TestJobResult | undefined } | undefined;
  /** How the search went, where there was one. */
  readonly search: SearchResult | undefined;
  /** From submission to the end. */
  readonly wallSeconds: number;
  /** Version of crossfold. */
  readonly software: string;
}

/** Makes `results.json` of what an experiment's jobs left. */
export function aggregate(all: Finished): Results {
  const { record, plans, manifest, folds, test } = all;
  const trials = [...plans.values()].map((plan) => trialResult(plan, all)).sort((a, b) => a.trial - b.trial);
  const nested = nestedResult(trials, folds);
  const best = nested === undefined ? bestTrial(trials) : mostFound(trials, nested);
  const engine = trials.flatMap((trial) => completedFolds(trial))[0]?.engine ?? null;
  const [experiment] = [...plans.values()].map((plan) => plan.experiment);
  const outer = outerFolds(folds);
  const repeats = new Set(outer.map(({ repeat }) => repeat ?? 0)).size;
  return {
    schema: 1,
    id: record.id,
    name: record.name,
    status: test?.job.state === 'failed' ? 'failed' : overallStatus(trials, best),
    seed: experiment?.seed ?? 0,
    submittedAt: new Date(record.createdAt).toISOString(),
    wallSeconds: all.wallSeconds,
    software: all.software,
    dataset: {
      name: manifest.name,
      digest: record.manifest?.digest ?? '',
      samples: manifest.train.count,
      classes: manifest.classes,
    },
    split: {
      digest: folds.digest,
      method: experiment?.evaluation.method ?? '',
      folds: outer.length / repeats,
      repeats,
    },
    engine,
    trials,
    best: best === undefined ? null : { trial: best.trial, by: 'accuracy' },
    ...(all.search === undefined ? {} : { search: all.search }),
    ...(nested === undefined ? {} : { nested }),
    ...(test?.result === undefined
      ? {}
      : {
          test: {
            of: 'fold' as const,
            trial: test.job.trial,
            fold: test.job.fold,
            repeat: test.job.repeat,
            samples: test.result.samples,
            ...test.result.scores,
          },
        }),
  };
}

/** Inner folds of a nested evaluation are the search's, not the results'. */
const outerFolds = ({ folds }: FoldsDocument) => folds.filter(({ within }) => within === undefined);

function trialResult(plan: TrialPlan, { finished, folds }: Finished): TrialResult {
  const sizes = new Map(outerFolds(folds).map((fold) => [`${fold.repeat ?? 0}.${fold.fold}`, fold]));
  const results = finished
    .filter(({ job }) => job.trial === plan.trial)
    .map(({ job, result }): FoldResult => {
      const { fold, repeat, workers, generation, attempts, error } = job;
      const split = sizes.get(`${repeat}.${fold}`);
      const place = { fold, repeat, ...(split?.within === undefined ? {} : { within: split.within }) };
      if (result !== undefined && job.state === 'completed') return { ...result.fold, ...place };
      return {
        ...place,
        ...(result === undefined ? {} : evidenceOf(result.fold)),
        status: job.state === 'pruned' || job.state === 'cancelled' ? job.state : 'failed',
        trainSamples: split?.train.length ?? 0,
        validationSamples: split?.validation.length ?? 0,
        workers,
        generations: generation,
        attempts,
        ...(error === null ? {} : { error }),
      };
    })
    .sort((a, b) => a.repeat - b.repeat || a.fold - b.fold);
  const isNested = folds.folds.some(({ within }) => within !== undefined);
  const chosen = results.filter(({ within }) => (within !== undefined) === isNested);
  const accuracy = summaryOf(chosen, ({ accuracy: score }) => score);
  const loss = summaryOf(chosen, ({ loss: score }) => score);
  return {
    trial: plan.trial,
    parameters: plan.parameters,
    status: trialStatus(results),
    folds: results,
    summary: accuracy === undefined || loss === undefined ? null : { accuracy, loss },
  };
}

/** What a fold that is not completed had come to. */
const evidenceOf = ({ epochs, history, epochSeconds, validation }: CompletedFold) => ({
  epochs,
  history,
  epochSeconds,
  validation,
});

/** Of a score over the folds that have one. */
const summaryOf = (folds: readonly FoldResult[], score: (scores: Scores) => number): Summary | undefined =>
  summarize(
    folds.flatMap(({ validation, trainSamples, validationSamples }) =>
      validation === undefined ? [] : [{ value: score(validation), trainSamples, validationSamples }],
    ),
  );

/** What was found within each outer fold, on that fold; undefined where the folds are not nested. */
function nestedResult(trials: readonly TrialResult[], folds: FoldsDocument): NestedResult | undefined {
  const outers = new Set(folds.folds.flatMap(({ within }) => (within === undefined ? [] : [within])));
  if (outers.size === 0) return undefined;
  const scored = trials.flatMap(({ trial, folds: of }) =>
    completedFolds({ folds: of }).flatMap((fold) => (outers.has(fold.fold) ? [{ trial, fold }] : [])),
  );
  const found = scored.sort((a, b) => a.fold.fold - b.fold.fold);
  const over = found.map(({ fold }) => fold);
  return {
    outer: found.map(({ trial, fold: { fold, validation } }) => ({
      fold,
      trial,
      accuracy: validation.accuracy,
      loss: validation.loss,
    })),
    accuracy: summaryOf(over, ({ accuracy }) => accuracy) ?? null,
    loss: summaryOf(over, ({ loss }) => loss) ?? null,
  };
}

const isCompleted = (fold: FoldResult): fold is CompletedFold => fold.status === 'completed';

/** The folds of a trial that were trained to their end. */
export const completedFolds = (trial: Pick<TrialResult, 'folds'>): CompletedFold[] => trial.folds.filter(isCompleted);

const trialStatus = (folds: readonly FoldResult[]): TrialResult['status'] =>
  (['failed', 'cancelled', 'pruned'] as const).find((state) => folds.some(({ status }) => status === state)) ??
  'completed';

/** A search is there to find out which configurations do not work: it has failed where none does. */
function overallStatus(trials: readonly TrialResult[], best: TrialResult | undefined): Results['status'] {
  if (best !== undefined) return 'completed';
  return trials.some(({ status }) => status === 'failed') ? 'failed' : 'cancelled';
}

/** The trial that was found in most outer folds; ties go to the higher accuracy in these, then to the first. */
function mostFound(trials: readonly TrialResult[], { outer }: NestedResult): TrialResult | undefined {
  const found = trials.map((trial) => ({ trial, in: outer.filter((fold) => fold.trial === trial.trial) }));
  const mean = (folds: NestedResult['outer']): number =>
    folds.reduce((sum, { accuracy }) => sum + accuracy, 0) / folds.length;
  return found
    .filter((one) => one.in.length > 0)
    .sort((a, b) => b.in.length - a.in.length || mean(b.in) - mean(a.in) || a.trial.trial - b.trial.trial)[0]?.trial;
}

/** The completed fold whose model stands for a trial: the best one; nested, of the outer ones. */
export function modelFold(trial: TrialResult, nested: NestedResult | undefined): CompletedFold | undefined {
  return bestFold(completedFolds(trial).filter(({ within }) => nested === undefined || within === undefined));
}

/** The trial with the highest mean accuracy, of those that completed; ties go to the lower loss, then to the first. */
export function bestTrial(trials: readonly TrialResult[]): TrialResult | undefined {
  return best(
    trials.filter(({ status }) => status === 'completed'),
    ({ summary }) => ({ accuracy: summary?.accuracy.mean ?? 0, loss: summary?.loss.mean ?? 0 }),
  );
}

/** Trials by mean accuracy, the highest first; those without any come last. */
export const ranked = (trials: readonly TrialResult[]): TrialResult[] => {
  const mean = ({ summary }: TrialResult): number => summary?.accuracy.mean ?? -1;
  return [...trials].sort((a, b) => mean(b) - mean(a) || a.trial - b.trial);
};

/** The fold with the highest validation accuracy; ties go to the lower loss, then to the first. */
export const bestFold = (folds: readonly CompletedFold[]): CompletedFold | undefined =>
  best(folds, ({ validation }) => validation);

function best<T>(
  candidates: readonly T[],
  scoresOf: (candidate: T) => { readonly accuracy: number; readonly loss: number },
): T | undefined {
  const order = (a: T, b: T): number =>
    scoresOf(b).accuracy - scoresOf(a).accuracy || scoresOf(a).loss - scoresOf(b).loss;
  return [...candidates].sort(order)[0];
}
