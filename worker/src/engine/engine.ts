import type { TrainingSpec } from '@crossfold/shared/config/training';
import type { ModelPlan } from '@crossfold/shared/model/plan';
import { keyedRandom } from '@crossfold/shared/rng';
import type { EngineState } from '../job/state.ts';
import { HostTensor } from './host-tensor.ts';
import { initialWeights } from './initial-weights.ts';
import type { Stage } from './layers/stage.ts';
import type { Network } from './network.ts';
import { buildNetwork } from './network.ts';
import type { Optimizer, Range } from './optimizers.ts';
import { createOptimizer } from './optimizers.ts';
import { evaluated, predictedClasses } from './predictions.ts';
import type { Compiled, Program } from './program.ts';
import { compile, eagerProgram } from './program.ts';
import type { SessionOptions, StepFacts } from './session.ts';
import { evaluationProgram, gradientProgram, masked, maskInput, trailing } from './step.ts';
import type { Binding, LoadedTensorFlow, TensorValues } from './tensorflow.ts';
import {
  addRegularizers,
  clipGradient,
  divide,
  moveAverage,
  moveStatistics,
  penalty,
  trainableRanges,
} from './update.ts';

/** Samples as the net takes them. */
export interface Samples {
  /** [samples, height, width, channels] */
  readonly x: Float32Array;
  /** Class of each sample. */
  readonly labels: Int32Array;
}

/** What the engine needs to know of a job. */
export type EngineOptions = Pick<SessionOptions, 'model' | 'training' | 'keys' | 'initialWeights'>;

export interface EngineSettings {
  /** How programs run; `eager` is the reference that graphs are held against. */
  readonly mode?: 'graph' | 'eager';
  /**
   * Whether programs keep the weights where they compute, as variables that are assigned after an update, or are given
   * them with every call. Left out: kept on a GPU, where giving is a copy; given on a CPU, where it costs nothing.
   */
  readonly weights?: 'kept' | 'given';
  /** Told when a program has to run eagerly because TensorFlow does not take it as a graph. */
  readonly onFallback?: (program: string, reason: unknown) => void;
}

/** A program for a number of samples, with the memory that its arguments lie in. */
interface Ready {
  readonly program: Compiled;
  /** Which of the weights' states the program keeps. */
  keeps: number;
  readonly x: HostTensor<Float32Array>;
  readonly labels: HostTensor<Int32Array>;
  readonly others: Readonly<Record<string, HostTensor<Float32Array>>>;
}

/**
 * One job's net: its weights, and what is computed with them. All vectors are flat: a net's parameters lie one after
 * another in the order of the model, and a gradient vector is laid out like the weights, with a few sums at its end.
 */
export class Engine {
  /** Numbers in a gradient vector. */
  readonly vectorLength: number;
  readonly #binding: Binding;
  readonly #settings: EngineSettings;
  readonly #keepsWeights: boolean;
  readonly #plan: ModelPlan;
  readonly #training: TrainingSpec;
  readonly #keys: EngineOptions['keys'];
  readonly #initial: Float32Array | undefined;
  readonly #network: Network;
  readonly #optimizer: Optimizer;
  readonly #trainable: readonly Range[];
  readonly #weights: HostTensor<Float32Array>;
  /** Of the weights over the updates, where there is to be one. */
  readonly #average: HostTensor<Float32Array> | undefined;
  readonly #optimizerState: Float32Array;
  readonly #gradients = new Map<number, Ready>();
  readonly #evaluations = new Map<number, Ready>();
  #step = 0;
  /** Counts the states that the weights have had. */
  #weightsState = 0;

  constructor(
    loaded: LoadedTensorFlow,
    { model, training, keys, initialWeights: initial }: EngineOptions,
    settings: EngineSettings = {},
  ) {
    this.#binding = loaded.binding;
    this.#settings = settings;
    this.#keepsWeights = (settings.weights ?? (loaded.binding.isUsingGpuDevice() ? 'kept' : 'given')) === 'kept';
    this.#plan = model;
    this.#training = training;
    this.#keys = keys;
    this.#initial = initial;
    this.#network = buildNetwork(model, training.loss, loaded.binding.isUsingGpuDevice() ? 'gpu' : 'cpu');
    this.#optimizer = createOptimizer(training.optimizer);
    this.#trainable = trainableRanges(model);
    this.#weights = HostTensor.float32(loaded.binding, [model.weightCount]);
    this.#average =
      training.average === undefined ? undefined : HostTensor.float32(loaded.binding, [model.weightCount]);
    this.#optimizerState = new Float32Array(this.#optimizer.slots * model.weightCount);
    this.vectorLength = model.weightCount + trailing.length;
    this.reset();
  }

  /**
   * A slice's gradient sums, and its trailing sums. A parameter that is not trainable has the slice's statistic times
   * its samples in its place. An empty slice gives zeros, and costs nothing.
   *
   * @param at number of the update and of the slice in its batch, which dropout's masks follow from
   */
  gradient({ x, labels }: Samples, at: { readonly step: number; readonly slice: number }): Float32Array {
    const samples = labels.length;
    if (samples === 0) return new Float32Array(this.vectorLength);
    const ready = this.#ready(this.#gradients, samples, () =>
      gradientProgram(this.#network, samples, this.#training.classWeights !== undefined),
    );
    const { classWeights } = this.#training;
    const sampleWeights = ready.others.sampleWeights;
    if (classWeights !== undefined && sampleWeights !== undefined)
      for (let i = 0; i < samples; i++) sampleWeights.values[i] = classWeights[labels[i] ?? 0] ?? 1;
    for (const stage of masked(this.#network)) {
      const mask = ready.others[maskInput(stage)];
      if (mask !== undefined) this.#drawMask(stage, at, mask.values);
    }
    const [vector, losses, last] = this.#run(ready, this.#weights, x, labels);
    if (!isFloats(vector) || !isFloats(losses) || !isFloats(last)) throw new Error('a gradient has three outputs');
    const sums = this.#plan.weightCount;
    vector[sums + trailing.loss] = sum(losses);
    const predicted = predictedClasses(last, samples, this.#network.head.fused === 'sigmoid' ? 0 : 0.5);
    vector[sums + trailing.correct] = predicted.filter((label, i) => label === labels[i]).length;
    vector[sums + trailing.samples] = samples;
    return vector;
  }

  /**
   * One update of the weights from the sum of all slices' vectors, which is used up.
   *
   * @returns the mean loss (with the penalties of regularisers, as Keras reports it), and counts of the batch
   */
  update(total: Float32Array, learningRate: number): StepFacts {
    const plan = this.#plan;
    const weights = this.#weights.values;
    const gradient = total.subarray(0, plan.weightCount);
    const sums = total.subarray(plan.weightCount);
    const samples = sums[trailing.samples] ?? 0;
    const loss = (sums[trailing.loss] ?? 0) / samples + penalty(plan, weights);
    const divisor = this.#meanOf(gradient, samples);
    this.#step++;
    const update = { weights, gradient, divisor, state: this.#optimizerState, learningRate, step: this.#step };
    for (const range of this.#trainable) this.#optimizer.apply(update, range);
    moveStatistics(plan, weights, gradient, divisor);
    const { average } = this.#training;
    if (average !== undefined && this.#average !== undefined)
      moveAverage(plan, this.#average.values, weights, gradient, divisor, average.momentum, this.#step === 1);
    this.#weightsState++;
    return { loss, correct: sums[trailing.correct] ?? 0, samples };
  }

  /**
   * Three numbers a sample: loss, predicted class, and score (of class 1 where there are two, else of the predicted), by
   * the weights that are evaluated.
   */
  evaluate(samples: Samples): Float32Array {
    const { losses, outputs } = this.#evaluate(samples);
    return evaluated(losses, outputs, penalty(this.#plan, this.#evaluated.values));
  }

  /** A copy of the weights that are evaluated, which the job's result is made of: their average, where there is one. */
  evaluatedWeights(): Float32Array {
    return this.#evaluated.values.slice();
  }

  /** What the net gives: [samples, outputs], see `LossHead.outputs`. */
  outputs(samples: Samples): Float32Array {
    return this.#evaluate(samples).outputs;
  }

  /** Back to the initial weights. */
  reset(): void {
    if (this.#initial === undefined) initialWeights(this.#plan, this.#keys, this.#weights.values);
    else this.#weights.values.set(this.#initial);
    this.#average?.values.set(this.#weights.values);
    this.#optimizerState.fill(this.#optimizer.initial);
    this.#step = 0;
    this.#weightsState++;
  }

  /** @throws RangeError where the state is of another model or optimizer. */
  load(state: EngineState): void {
    const own = this.#optimizerState.length;
    const fits =
      state.weights.length === this.#weights.values.length &&
      state.optimizer.length === own + (this.#average?.values.length ?? 0);
    if (!fits) throw new RangeError('the state is of another model or optimizer');
    this.#weights.values.set(state.weights);
    this.#optimizerState.set(state.optimizer.subarray(0, own));
    this.#average?.values.set(state.optimizer.subarray(own));
    this.#step = state.step;
    this.#weightsState++;
  }

  /** A copy of the weights and of the optimizer's state, at whose end their average lies where there is one. */
  state(): EngineState {
    const own = this.#optimizerState;
    const optimizer = new Float32Array(own.length + (this.#average?.values.length ?? 0));
    optimizer.set(own);
    if (this.#average !== undefined) optimizer.set(this.#average.values, own.length);
    return { weights: this.#weights.values.slice(), optimizer, step: this.#step };
  }

  /** Frees all that TensorFlow holds for this job. */
  dispose(): void {
    for (const { program, x, labels, others } of [...this.#gradients.values(), ...this.#evaluations.values()]) {
      program.dispose();
      for (const tensor of [x, labels, ...Object.values(others)]) tensor.dispose();
    }
    this.#gradients.clear();
    this.#evaluations.clear();
    this.#weights.dispose();
    this.#average?.dispose();
  }

  get #evaluated(): HostTensor<Float32Array> {
    return this.#average ?? this.#weights;
  }

  #evaluate({ x, labels }: Samples): { readonly losses: Float32Array; readonly outputs: Float32Array } {
    const samples = labels.length;
    const ready = this.#ready(this.#evaluations, samples, () => evaluationProgram(this.#network, samples));
    const [losses, outputs] = this.#run(ready, this.#evaluated, x, labels);
    if (!isFloats(losses) || !isFloats(outputs)) throw new Error('an evaluation has two outputs');
    return { losses, outputs };
  }

  #ready(known: Map<number, Ready>, samples: number, describe: () => Program): Ready {
    const there = known.get(samples);
    if (there !== undefined) return there;
    const described = this.#keepsWeights ? keepingWeights(describe()) : describe();
    const binding = this.#binding;
    const others = Object.entries(described.inputs)
      .filter(([name]) => !['weights', 'x', 'labels'].includes(name))
      .map(([name, { shape }]) => [name, HostTensor.float32(binding, shape)] as const);
    const ready: Ready = {
      program:
        this.#settings.mode === 'eager'
          ? eagerProgram(binding, described)
          : compile(binding, described, this.#settings.onFallback ?? (() => {})),
      keeps: -1,
      x: HostTensor.float32(binding, [samples, ...this.#plan.inputShape]),
      labels: HostTensor.int32(binding, [samples]),
      others: Object.fromEntries(others),
    };
    known.set(samples, ready);
    return ready;
  }

  #run(ready: Ready, weights: HostTensor<Float32Array>, pixels: Float32Array, classes: Int32Array): TensorValues[] {
    const { program, x, labels, others } = ready;
    x.values.set(pixels);
    labels.values.set(classes);
    if (program.keep !== undefined && ready.keeps !== this.#weightsState) {
      program.keep({ weights: weights.id() });
      ready.keeps = this.#weightsState;
    }
    return program.run({
      ...(program.keep === undefined ? { weights: weights.id() } : {}),
      x: x.id(),
      labels: labels.id(),
      ...Object.fromEntries(Object.entries(others).map(([name, tensor]) => [name, tensor.id()])),
    });
  }

  /**
   * Makes a summed gradient the regularised and clipped mean.
   *
   * @returns what it still is to be divided by: where nothing else is to be done to it, the optimizer divides as it goes
   */
  #meanOf(gradient: Float32Array, samples: number): number {
    const { clip } = this.#training;
    if (clip === undefined && this.#plan.parameters.every(({ regularizer }) => regularizer === undefined))
      return samples;
    divide(gradient, samples);
    addRegularizers(this.#plan, this.#weights.values, gradient);
    if (clip !== undefined) clipGradient(gradient, this.#trainable, clip);
    return 1;
  }

  #drawMask(
    stage: Stage,
    { step, slice }: { readonly step: number; readonly slice: number },
    mask: Float32Array,
  ): void {
    const { seed, repeat, fold } = this.#keys;
    const random = keyedRandom(seed, repeat, fold, 'dropout', step, slice, stage.name);
    const rate = stage.dropRate ?? 0;
    const kept = 1 / (1 - rate);
    for (let i = 0; i < mask.length; i++) mask[i] = random.uniform() < rate ? 0 : kept;
  }
}

/** The program with its weights as a variable. */
const keepingWeights = (program: Program): Program => ({
  ...program,
  inputs: Object.fromEntries(
    Object.entries(program.inputs).map(([name, spec]) => [name, name === 'weights' ? { ...spec, kept: true } : spec]),
  ),
});

const isFloats = (values: TensorValues | undefined): values is Float32Array => values instanceof Float32Array;

/** In float64, in order: the same wherever it is computed. */
const sum = (values: Float32Array): number => values.reduce((total, value) => total + value, 0);
