import type { Manifest } from '@crossfold/shared/data/manifest';
import { ConfigError } from '@crossfold/shared/errors';
import type { FoldsDocument } from '@crossfold/shared/folds/folds';
import type { TestJobResult, TrainJobResult } from '@crossfold/shared/jobs/job-result';
import type { TrialPlan } from '@crossfold/shared/jobs/plan';
import type { ExperimentRecord, JobRecord } from '@crossfold/shared/jobs/records';
import { isFinal } from '@crossfold/shared/jobs/records';
import { planModel } from '@crossfold/shared/model/plan';
import type {
  CompletedFold,
  EndedFold,
  Final,
  FoldResult,
  Results,
  SearchResult,
  TrialResult,
} from '@crossfold/shared/results';
import { imageKey, imageShapeOf } from '../data/image-shape.ts';
import { nestedResult, summaryOf } from './nested.ts';
import { completedFolds } from './select.ts';
import { judge } from './verdict.ts';

/** A `train` job that is over or, where the experiment is under way, that the search may have go on. */
export interface FinishedJob {
  readonly job: JobRecord;
  /** Undefined where the job has come to none. */
  readonly result: TrainJobResult | undefined;
}

export interface Finished {
  readonly record: ExperimentRecord;
  /** The plan of each trial, by the trial's number. */
  readonly plans: ReadonlyMap<number, TrialPlan>;
  readonly manifest: Manifest;
  readonly folds: FoldsDocument;
  readonly finished: readonly FinishedJob[];
  /** What was left in the end, where it is known, and the job that was to make it. */
  readonly final?: { readonly final: Final | undefined; readonly job: JobRecord | undefined } | undefined;
  /**
   * The job that was to score the held-out test set, where there was one, what it found unless it failed, and how many
   * nets were scored so.
   */
  readonly test:
    | { readonly job: JobRecord; readonly result: TestJobResult | undefined; readonly looks: number }
    | undefined;
  /** How the search went, where there was one. */
  readonly search: SearchResult | undefined;
  /** From submission to the end. */
  readonly wallSeconds: number;
  /** Version of crossfold. */
  readonly software: string;
  /** Trials that have more folds to come, where the experiment is under way: they are shown, and compared last. */
  readonly underWay?: ReadonlySet<number>;
}

/** Makes `results.json` of what an experiment's jobs left. */
export const aggregate = (all: Finished): Results => withEnd(crossValidated(all), all);

/** The same without what was made of the best trial in the end. */
export function crossValidated(all: Omit<Finished, 'final' | 'test'>): Results {
  const { record, plans, manifest, folds } = all;
  const ofTrial = new Map<number, FinishedJob[]>();
  for (const one of all.finished) {
    const own = ofTrial.get(one.job.trial);
    if (own === undefined) ofTrial.set(one.job.trial, [one]);
    else own.push(one);
  }
  const splits = splitsOf(folds);
  const weightsOf = weightsIn(manifest);
  const found = [...plans.values()]
    .map((plan): TrialResult => {
      const own = trialResult(plan, ofTrial.get(plan.trial) ?? [], splits, weightsOf(plan));
      return all.underWay?.has(plan.trial) === true ? { ...own, status: 'running' } : own;
    })
    .sort((a, b) => a.trial - b.trial);
  const nested = nestedResult(found, folds);
  const sharedSplit = [...plans.values()].some(hasSharedSplit);
  const { trials, best } = judge(found, nested, sharedSplit);
  const engine = trials.flatMap((trial) => completedFolds(trial))[0]?.engine ?? null;
  const [experiment] = [...plans.values()].map((plan) => plan.experiment);
  const outer = outerFolds(folds);
  const repeats = new Set(outer.map(({ repeat }) => repeat ?? 0)).size;
  return {
    schema: 1,
    id: record.id,
    name: record.name,
    status: overallStatus(trials, best),
    seed: experiment?.seed ?? 0,
    submittedAt: new Date(record.createdAt).toISOString(),
    wallSeconds: all.wallSeconds,
    software: all.software,
    dataset: {
      name: manifest.name,
      digest: record.manifest?.digest ?? '',
      ...sizesOf(plans),
      samples: manifest.train.count,
      classes: manifest.classes,
      ...(manifest.skipped === undefined ? {} : { skipped: manifest.skipped }),
    },
    split: {
      digest: folds.digest,
      method: experiment?.evaluation.method ?? '',
      folds: outer.length / repeats,
      repeats,
      ...(sharedSplit ? { resplit: false as const } : {}),
    },
    engine,
    trials,
    best,
    ...(all.search === undefined ? {} : { search: all.search }),
    ...(nested === undefined ? {} : { nested }),
  };
}

/** The results with what was made of the best trial in the end. */
export function withEnd(results: Results, { final, test }: Pick<Finished, 'final' | 'test'>): Results {
  return {
    ...results,
    status: endOf(final?.job) ?? endOf(test?.job) ?? results.status,
    ...(final?.final === undefined ? {} : { final: final.final }),
    ...(test?.result === undefined
      ? {}
      : {
          test: {
            of: test.job.of ?? 'fold',
            trial: test.job.trial,
            ...((test.job.of ?? 'fold') === 'fold' ? { fold: test.job.fold, repeat: test.job.repeat } : {}),
            samples: test.result.samples,
            looks: test.looks,
            ...test.result.scores,
            reliability: test.result.reliability,
            mistakes: test.result.mistakes,
          },
        }),
  };
}

/** The manifest of each size that trials have the pictures in, in the trials' order; nothing where there is one size. */
function sizesOf(plans: Finished['plans']): Pick<Results['dataset'], 'sizes'> {
  const inOrder = [...plans.values()].sort((a, b) => a.trial - b.trial);
  const sizes = new Map(
    inOrder.flatMap(({ experiment: { dataset }, manifest: { digest } }) =>
      dataset.image === undefined ? [] : [[imageKey(dataset), { image: dataset.image, digest }] as const],
    ),
  );
  return sizes.size < 2 ? {} : { sizes: [...sizes.values()] };
}

/** How a job that everything hangs on has spoilt the experiment; undefined where it has not. */
const endOf = (job: JobRecord | undefined): 'failed' | 'cancelled' | undefined =>
  job?.state === 'failed' || job?.state === 'cancelled' ? job.state : undefined;

/** Whether all repeats have the same split. */
const hasSharedSplit = ({ experiment: { evaluation } }: TrialPlan): boolean =>
  evaluation.method === 'repeated-kfold' && !evaluation.resplit;

/** Inner folds of a nested evaluation are the search's, not the results'. */
const outerFolds = ({ folds }: FoldsDocument) => folds.filter(({ within }) => within === undefined);

/** The splits by their places, and whether they are nested. */
const splitsOf = ({ folds }: FoldsDocument) => ({
  sizes: new Map(folds.map((fold) => [`${fold.repeat ?? 0}.${fold.fold}`, fold])),
  isNested: folds.some(({ within }) => within !== undefined),
});

function trialResult(
  plan: TrialPlan,
  finished: readonly FinishedJob[],
  { sizes, isNested }: ReturnType<typeof splitsOf>,
  weights: number | undefined,
): TrialResult {
  const results = finished
    .map(({ job, result }): FoldResult => {
      const { fold, repeat, workers, generation, attempts, error } = job;
      const split = sizes.get(`${repeat}.${fold}`);
      const place = { fold, repeat, ...(split?.within === undefined ? {} : { within: split.within }) };
      if (result !== undefined && job.state === 'completed') return { ...result.fold, ...place };
      return {
        ...place,
        ...(result === undefined ? {} : evidenceOf(result.fold)),
        status: endingOf(job),
        trainSamples: split?.train.length ?? 0,
        validationSamples: split?.validation.length ?? 0,
        workers,
        generations: generation,
        attempts,
        ...(error === null ? {} : { error }),
      };
    })
    .sort((a, b) => a.repeat - b.repeat || a.fold - b.fold);
  const chosen = results.filter(({ within }) => (within !== undefined) === isNested);
  const accuracy = summaryOf(chosen, ({ accuracy: score }) => score, hasSharedSplit(plan));
  const loss = summaryOf(chosen, ({ loss: score }) => score, hasSharedSplit(plan));
  return {
    trial: plan.trial,
    parameters: plan.parameters,
    status: trialStatus(results),
    folds: results,
    ...(weights === undefined ? {} : { weights }),
    summary: accuracy === undefined || loss === undefined ? null : { accuracy, loss },
  };
}

function endingOf({ state }: JobRecord): EndedFold['status'] {
  if (!isFinal(state)) return 'running';
  return state === 'pruned' || state === 'cancelled' ? state : 'failed';
}

/** What a fold that is not completed had come to. */
const evidenceOf = ({ epochs, history, epochSeconds, validation }: CompletedFold) => ({
  epochs,
  history,
  epochSeconds,
  validation,
});

/** Numbers in trials' nets, each kind of net planned once; undefined where there can be no such net. */
function weightsIn({ imageShape, classes }: Manifest): (plan: TrialPlan) => number | undefined {
  const known = new Map<string, number | undefined>();
  return ({ experiment: { model, training, dataset } }) => {
    const image = imageShapeOf(dataset, imageShape);
    const net = JSON.stringify([model, training.loss, image]);
    if (known.has(net)) return known.get(net);
    let weights: number | undefined;
    try {
      weights = planModel(model, image, classes.length, training.loss).weightCount;
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error;
    }
    known.set(net, weights);
    return weights;
  };
}

const trialStatus = (folds: readonly FoldResult[]): TrialResult['status'] =>
  (['running', 'failed', 'cancelled', 'pruned'] as const).find((state) =>
    folds.some(({ status }) => status === state),
  ) ?? 'completed';

/** A search is there to find out which configurations do not work: it has failed where none does. */
function overallStatus(trials: readonly TrialResult[], best: Results['best']): Results['status'] {
  if (best !== null) return 'completed';
  return trials.some(({ status }) => status === 'failed') ? 'failed' : 'cancelled';
}
