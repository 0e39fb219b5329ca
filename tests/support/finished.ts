import type { Outcome } from '@crossfold/coordinator/client/types';
import { aggregate, type Finished, type FinishedJob } from '@crossfold/coordinator/results/aggregate';
import { encodeTensors } from '@crossfold/shared/codec/safetensors';
import { Experiment } from '@crossfold/shared/config/experiment';
import { sha256 } from '@crossfold/shared/data/digest';
import { encodeLabels, type Manifest } from '@crossfold/shared/data/manifest';
import { foldsDocument, makeFolds } from '@crossfold/shared/folds/folds';
import type { TrialPlan } from '@crossfold/shared/jobs/plan';
import type { JobState } from '@crossfold/shared/jobs/records';
import { jobId } from '@crossfold/shared/jobs/records';
import { outputsPerSample, scoreOutputs } from '@crossfold/shared/metrics/scores';
import type { CompletedFold, EngineIdentity, Results, Scores, SearchResult } from '@crossfold/shared/results';
import { keyedRandom } from '@crossfold/shared/rng';
import { experimentRecord } from './fake-client.ts';
import { aJob } from './records.ts';

/** What a made-up experiment is like; everything that follows from it does so by the keyed generator. */
export interface Story {
  readonly name?: string;
  readonly classes?: readonly string[];
  readonly samples?: number;
  readonly testSamples?: number;
  readonly folds?: number;
  /** More than one: of one and the same split. */
  readonly repeats?: number;
  readonly method?: 'kfold' | 'holdout';
  readonly epochs?: number;
  /** Accuracy at the end, and parameters, of each trial. */
  readonly trials?: readonly { readonly accuracy: number; readonly parameters: Readonly<Record<string, unknown>> }[];
  /** How jobs ended that did not complete, by `trial.fold`; `kept`: after they had come to a result. */
  readonly ended?: Readonly<
    Record<string, { readonly state: JobState; readonly error?: string; readonly kept?: boolean }>
  >;
  readonly search?: SearchResult;
  readonly error?: string;
}

const engine: EngineIdentity = {
  backend: 'tensorflow',
  version: '2.21.0',
  threads: 1,
  device: 'cpu',
  instructions: 'x64 avx512',
  oneDnn: true,
};

/** What the jobs of an experiment leave, as the leader finds it: no training, but scores of real predictions. */
export function finishedExperiment(story: Story = {}): Finished & { readonly experiment: Experiment } {
  const { samples = 1280, testSamples = 400, folds = 5, repeats = 1, epochs = 6, method = 'kfold' } = story;
  const kfold = repeats > 1 ? { method: 'repeated-kfold', folds, repeats, resplit: false } : { method, folds };
  const classes = story.classes ?? Array.from({ length: 10 }, (_, digit) => String(digit));
  const experiment = Experiment.parse({
    name: story.name ?? 'mnist-kfold',
    dataset: { name: 'mnist', limit: samples },
    evaluation: method === 'kfold' ? kfold : { method },
    model: { preset: 'mnist-convnet' },
    training: { epochs, batchSize: 64, optimizer: { name: 'rmsprop' } },
  });
  const random = keyedRandom(1, 'story');
  const labels = Int32Array.from({ length: samples }, (_, i) =>
    i < classes.length ? i : random.below(classes.length),
  );
  const testLabels = Int32Array.from({ length: testSamples }, () => random.below(classes.length));
  const part = (of: Int32Array) => ({
    count: of.length,
    labels: encodeLabels(of, classes.length),
    sampleDigests: '',
    shards: [],
  });
  const manifest: Manifest = {
    schema: 1,
    name: 'mnist',
    imageShape: { height: 28, width: 28, channels: 1 },
    dtype: 'uint8',
    classes,
    train: part(labels),
    test: testSamples === 0 ? null : part(testLabels),
  };
  const split = makeFolds(experiment.evaluation, { labels, classes }, experiment.seed);
  const blob = { digest: sha256('blob'), bytes: 1 };
  const trials = story.trials ?? [{ accuracy: 0.97, parameters: {} }];
  const plans = new Map<number, TrialPlan>();
  const finished: FinishedJob[] = [];
  for (const [trial, { accuracy, parameters }] of trials.entries()) {
    plans.set(trial, { schema: 1, trial, parameters, experiment, manifest: blob, folds: blob, model: null });
    for (const { fold, repeat, train, validation } of split) {
      const ended = story.ended?.[`${trial}.${fold}`];
      const workers = trial + fold === 1 ? ['worker-0', 'worker-1'] : [`worker-${fold % 2}`];
      const job = aJob({
        id: jobId('exp', 'train', trial, repeat, fold),
        trial,
        fold,
        repeat,
        state: ended?.state ?? 'completed',
        workers,
        generation: workers.length,
        error: ended?.error ?? null,
      });
      const result = {
        schema: 1 as const,
        model: blob,
        fold: completedFold(
          { trial, fold, repeat },
          { epochs, accuracy, workers, train: train.length },
          labels,
          validation,
          classes,
        ),
      };
      finished.push({ job, result: ended === undefined || ended.kept === true ? result : undefined });
    }
  }
  // The trial that is meant to be the best.
  const planned = trials.reduce((best, { accuracy }, i) => (accuracy > (trials[best]?.accuracy ?? 0) ? i : best), 0);
  const test =
    testSamples === 0
      ? undefined
      : {
          job: aJob({
            id: `exp.test.${planned}.0.3`,
            kind: 'test',
            trial: planned,
            fold: Math.min(3, split.length - 1),
            state: 'completed',
          }),
          result: {
            schema: 1 as const,
            samples: testSamples,
            scores: scoresOf(testLabels, classes.length, trials[planned]?.accuracy ?? 0, 'test', 0),
            reliability: {
              error: 0.05,
              bins: [{ from: 0.9, to: 1, samples: testSamples, confidence: 0.95, accuracy: 0.9 }],
            },
            mistakes: [],
          },
          looks: 1,
        };
  const id = `${experiment.name}-20260102-030405-beef`;
  const record = experimentRecord(id, {
    name: experiment.name,
    manifest: { digest: sha256('manifest'), bytes: 1 },
    createdAt: Date.UTC(2026, 0, 2, 3, 4, 5),
    error: story.error ?? null,
  });
  const folded = foldsDocument(split);
  return {
    experiment,
    record,
    plans,
    manifest,
    folds: folded,
    finished,
    test,
    search: story.search,
    wallSeconds: 83.4,
    software: '0.1.0',
  };
}

export const storyResults = (story: Story = {}): Results => aggregate(finishedExperiment(story));

/** The same as a client has it once it is over. */
export function storyOutcome(story: Story = {}): Outcome {
  const all = finishedExperiment(story);
  const results = aggregate(all);
  const tensors = new Map([['dense/bias', { shape: [2], data: Float32Array.of(1, 2) }]]);
  return {
    record: { ...all.record, state: results.status },
    experiment: all.experiment,
    results,
    folds: all.folds,
    models: all.finished
      .filter(({ result }) => result !== undefined)
      .map(({ job: { trial, repeat, fold } }) => ({
        trial,
        repeat,
        fold,
        bytes: encodeTensors({ metadata: {}, tensors }),
      })),
  };
}

function completedFold(
  { trial, fold, repeat }: { readonly trial: number; readonly fold: number; readonly repeat: number },
  how: {
    readonly epochs: number;
    readonly accuracy: number;
    readonly workers: readonly string[];
    readonly train: number;
  },
  labels: Int32Array,
  validation: Uint32Array,
  classes: readonly string[],
): CompletedFold {
  const { epochs, accuracy, workers, train } = how;
  const random = keyedRandom(2, 'story', trial, fold);
  const own = Int32Array.from(validation, (index) => labels[index] ?? 0);
  const scores = scoresOf(own, classes.length, accuracy, 'validation', trial * 100 + fold);
  const chance = 1 / classes.length;
  // Learning that slows down, towards a training accuracy somewhat above the one on validation.
  const pace = 1 + 0.3 * random.uniform();
  const course = (from: number, to: number, wobble: number): number[] =>
    Array.from({ length: epochs }, (_, epoch) => {
      const left = Math.exp((-2.2 * pace * (epoch + 1)) / Math.max(2, epochs / 3));
      return to + (from - to) * left + wobble * (left + 0.2) * random.normal();
    });
  const seconds = 9 + 3 * random.uniform();
  return {
    fold,
    repeat,
    status: 'completed',
    epochs,
    steps: epochs * Math.ceil(train / 64),
    trainSamples: train,
    validationSamples: validation.length,
    history: {
      loss: course(Math.log(classes.length), scores.loss * 0.6, 0.05),
      accuracy: course(chance, Math.min(1, scores.accuracy + 0.4 * (1 - scores.accuracy)), 0.01),
      valLoss: [...course(Math.log(classes.length), scores.loss, 0.08).slice(1), scores.loss],
      valAccuracy: [...course(chance, scores.accuracy, 0.02).slice(1), scores.accuracy],
    },
    epochSeconds: Array.from({ length: epochs }, () => seconds / epochs),
    validation: scores,
    bestEpoch: epochs - 1,
    weightsSha256: sha256(`${trial}.${fold}`),
    samplesSeen: epochs * train,
    engine,
    exchange: workers.length > 1 ? 'direct' : 'none',
    workers,
    generations: workers.length,
    attempts: 0,
    seconds,
    imagesPerSecond: (epochs * train) / seconds,
  };
}

/** Scores of predictions that are right as often as `accuracy` says, and wrong towards a neighbouring class mostly. */
function scoresOf(labels: Int32Array, classes: number, accuracy: number, purpose: string, key: number): Scores {
  const random = keyedRandom(3, 'story', purpose, key);
  const outputs = new Float32Array(labels.length * outputsPerSample);
  labels.forEach((label, i) => {
    const right = random.uniform() < accuracy;
    const predicted = right ? label : (label + (random.uniform() < 0.6 ? 1 : 1 + random.below(classes - 1))) % classes;
    const sure = 0.5 + random.uniform() / 2;
    const score = classes === 2 && predicted === 0 ? 1 - sure : sure;
    outputs.set([-Math.log(right ? sure : 1 - sure + 1e-3), predicted, score], i * outputsPerSample);
  });
  return scoreOutputs(outputs, labels, classes);
}
