import type { Experiment } from '@crossfold/shared/config/experiment';
import type { SearchMethod } from '@crossfold/shared/config/search';
import type { ModelPlan } from '@crossfold/shared/model/plan';
import { planModel } from '@crossfold/shared/model/plan';
import { imageShapeOf } from '../data/image-shape.ts';
import type { Preflight } from '../data/preflight.ts';
import type { JobCost } from './cost.ts';
import { jobCost, secondsBetweenJobs, workerBytes } from './cost.ts';
import { searchShare } from './search.ts';
import type { Speed } from './speed.ts';

/** What an experiment comes to, as `--dry-run --json` prints it. */
export interface DryRun {
  readonly name: string;
  readonly dataset: {
    readonly name: string;
    readonly samples: number;
    readonly testSamples: number;
    readonly classes: number;
    readonly image: readonly number[];
    /** Pictures that are known to be of no use without being opened, and what comes of them. */
    readonly unusable?: readonly string[];
    readonly onError?: 'fail' | 'skip';
  };
  readonly split: { readonly method: string; readonly folds: number; readonly repeats: number };
  readonly folds: readonly {
    readonly fold: number;
    readonly repeat: number;
    readonly within?: number;
    readonly trainSamples: number;
    readonly validationSamples: number;
  }[];
  readonly search: SearchMethod | null;
  readonly trials: readonly {
    readonly trial: number;
    readonly parameters: Readonly<Record<string, unknown>>;
    readonly weights: number;
    readonly epochs: number;
    readonly stepsPerEpoch: number;
    readonly batchSize: number;
    readonly memoryBytes: number;
    /** Time that one worker takes for one fold, from one job to the next. */
    readonly secondsPerFold: number;
  }[];
  /** Trainings of a trial on a fold, at most: a search stops some of them early. */
  readonly jobs: number;
  readonly final: Experiment['final'];
  readonly estimate: {
    /** Of the largest trial, for each worker. */
    readonly memoryBytes: number;
    /** One worker's time for everything: from the least that the search may take to the most. */
    readonly workerSeconds: readonly [number, number];
    /** Undefined where it is not known how many there will be. */
    readonly workers?: number;
    readonly seconds?: readonly [number, number];
    readonly measured: Speed;
  };
}

/**
 * @param speed of the first trial's net on this machine
 * @param workers undefined: unknown
 */
export function dryRun(
  experiment: Experiment,
  { data, trials, folds }: Preflight,
  speed: Speed,
  workers: number | undefined,
): DryRun {
  const { image, classes, samples, testSamples, name } = data;
  const inner = folds.filter(({ within }) => within !== undefined);
  const outer = folds.filter(({ within }) => within === undefined);
  const searched = inner.length === 0 ? outer : inner;
  const count = samples.labels.length;
  const planned = trials.map(({ trial, parameters, experiment: own }) => {
    const plan = planModel(own.model, imageShapeOf(own.dataset, image), classes, own.training.loss);
    const costs = searched.map((fold) => jobCost(own, plan, fold));
    return { trial, parameters, own, plan, costs, memoryBytes: workerBytes(own, plan, count) };
  });
  const secondsOf = (costs: readonly JobCost[]): number =>
    costs.reduce((sum, { flops }) => sum + flops / speed.flopsPerSecond + speed.secondsPerJob + secondsBetweenJobs, 0);
  const share = searchShare(experiment.search, trials.length, searched.length, experiment.training.epochs);
  const everything = planned.reduce((sum, { costs }) => sum + secondsOf(costs), 0);
  // Nested, what was found is trained on each outer fold; a refit trains it on everything.
  const all = { train: { length: count }, validation: { length: 0 } };
  const onceMore = [...(inner.length === 0 ? [] : outer), ...(experiment.final === 'refit' ? [all] : [])];
  const extra = onceMore.map((fold) => secondsOf(planned.slice(0, 1).map(({ own, plan }) => jobCost(own, plan, fold))));
  const after = extra.reduce((sum, seconds) => sum + seconds, 0);
  const range = [share.least, share.most].map((part) => everything * part + after);
  const workerSeconds = [range[0] ?? 0, range[1] ?? 0] as const;
  const perRepeat = new Set(outer.map(({ repeat }) => repeat)).size;
  return {
    name: experiment.name,
    dataset: {
      name,
      samples: count,
      testSamples,
      classes,
      image: [image.height, image.width, image.channels],
      ...(data.unusable === undefined
        ? {}
        : { unusable: data.unusable, onError: experiment.dataset.onError ?? ('fail' as const) }),
    },
    split: { method: experiment.evaluation.method, folds: outer.length / perRepeat, repeats: perRepeat },
    folds: folds.map(({ fold, repeat, within, train, validation }) => ({
      fold,
      repeat,
      ...(within === undefined ? {} : { within }),
      trainSamples: train.length,
      validationSamples: validation.length,
    })),
    search: experiment.search?.method ?? null,
    trials: planned.map(({ trial, parameters, own, plan, costs, memoryBytes }) => ({
      trial,
      parameters,
      weights: plan.weightCount,
      epochs: own.training.epochs,
      stepsPerEpoch: costs[0]?.stepsPerEpoch ?? 0,
      batchSize: own.training.batchSize,
      memoryBytes,
      secondsPerFold: secondsOf(costs) / Math.max(1, costs.length),
    })),
    jobs: trials.length * searched.length + (inner.length === 0 ? 0 : outer.length),
    final: experiment.final,
    estimate: {
      memoryBytes: Math.max(...planned.map(({ memoryBytes }) => memoryBytes)),
      workerSeconds,
      ...(workers === undefined
        ? {}
        : { workers, seconds: [workerSeconds[0] / workers, workerSeconds[1] / workers] as const }),
      measured: speed,
    },
  };
}

/** The net of the first trial, by which the machine's speed is measured. */
export function firstPlan({ data, trials }: Preflight): { readonly experiment: Experiment; readonly plan: ModelPlan } {
  const [first] = trials;
  if (first === undefined) throw new Error('an experiment has at least one trial');
  const { experiment } = first;
  const image = imageShapeOf(experiment.dataset, data.image);
  return { experiment, plan: planModel(experiment.model, image, data.classes, experiment.training.loss) };
}
