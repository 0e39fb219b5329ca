import { outputsPerSample } from '@crossfold/shared/metrics/scores';
import { keyedRandom } from '@crossfold/shared/rng';
import type { EngineSession } from '@crossfold/worker/engine/session';
import { readValidation, validationLength, validationNodes } from '@crossfold/worker/engine/validation';
import { completeSubtrees, NodeSum } from '@crossfold/worker/exchange/tree';

export interface PlainEngineOptions {
  readonly weights: number;
  readonly slices: number;
  readonly batchSize: number;
  readonly validationSamples: number;
  /** Called before a gradient is computed or an update made; what it returns is waited for, what it throws is thrown. */
  readonly before?: (call: 'gradient' | 'update' | 'validate', position: number) => Promise<void> | void;
  /** What the update does to a weight besides: for engines that do not compute alike. */
  readonly error?: (weight: number) => number;
}

/**
 * An engine without TensorFlow, for tests of all that is around one: gradients depend on the weights, the step and the
 * slice, with magnitudes so far apart that the order of every addition shows in the weights.
 */
export function plainEngine(options: PlainEngineOptions): EngineSession {
  const { slices, batchSize, validationSamples, before = () => undefined, error = (w) => w } = options;
  let weights = new Float32Array(options.weights);
  let optimizer = new Float32Array(options.weights);
  let step = 0;
  const vectorLength = options.weights + 3;
  const reset = (): void => {
    const random = keyedRandom('plain', 'init');
    weights = Float32Array.from({ length: options.weights }, () => random.normal());
    optimizer = new Float32Array(options.weights);
    step = 0;
  };
  reset();
  const sliceVector = (update: number, slice: number): Float32Array => {
    const random = keyedRandom('plain', update, slice);
    const samples = Math.floor(((slice + 1) * batchSize) / slices) - Math.floor((slice * batchSize) / slices);
    const vector = new Float32Array(vectorLength);
    for (let i = 0; i < options.weights; i++)
      vector[i] = random.normal() * 10 ** (random.below(8) - 4) + (weights[i] ?? 0) * samples;
    vector.set([samples * Math.abs(random.normal()), random.below(samples + 1), samples], options.weights);
    return vector;
  };
  // Calls are carried out one after another, in the order in which they are made.
  let last: Promise<unknown> = Promise.resolve();
  const inOrder = <T>(call: () => Promise<T>): Promise<T> => {
    const mine = last.then(call);
    last = mine.catch(() => undefined);
    return mine;
  };
  return {
    vectorLength,
    validationLength: validationLength(validationSamples, slices),
    maxStateBytes: 2 ** 24,
    validationLabels: Int32Array.from({ length: validationSamples }, (_, i) => i % 3),
    gradient: ({ update }, range) =>
      inOrder(async () => {
        await before('gradient', update);
        const nodes = completeSubtrees(slices, range).map(({ from, to }) => {
          const sum = new NodeSum();
          for (let slice = from; slice < to; slice++) sum.add(sliceVector(update, slice));
          return { from, to, vector: sum.total() };
        });
        return { nodes, dataMs: 0 };
      }),
    update: (total, learningRate) =>
      inOrder(async () => {
        await before('update', step);
        const [loss = 0, correct = 0, samples = 0] = total.subarray(options.weights);
        for (let i = 0; i < options.weights; i++) {
          const mean = (total[i] ?? 0) / samples;
          optimizer[i] = 0.9 * (optimizer[i] ?? 0) + mean;
          weights[i] = error((weights[i] ?? 0) - learningRate * Math.tanh(optimizer[i] ?? 0));
        }
        step++;
        return { loss: loss / samples, correct, samples };
      }),
    validate: (range) =>
      inOrder(async () => {
        await before('validate', step);
        return validationNodes(range, slices, validationSamples, weights, ({ from, to }) =>
          Float32Array.from({ length: (to - from) * outputsPerSample }, (_, i) => {
            const sample = from + Math.floor(i / outputsPerSample);
            const w = weights[sample % weights.length] ?? 0;
            return i % outputsPerSample === 1 ? Math.abs(Math.trunc(w * 100)) % 3 : Math.abs(w);
          }),
        );
      }),
    readValidation: (total) => readValidation(total, slices),
    outputs: async () => new Float32Array(0),
    netOutputs: async () => new Float32Array(0),
    reset: () => inOrder(async () => reset()),
    load: (state) =>
      inOrder(async () => {
        weights = state.weights.slice();
        optimizer = state.optimizer.slice();
        step = state.step;
      }),
    state: () => inOrder(async () => ({ weights: weights.slice(), optimizer: optimizer.slice(), step })),
    evaluatedWeights: () => inOrder(async () => weights.slice()),
    close: async () => undefined,
  };
}
