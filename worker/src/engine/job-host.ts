import { outputsPerSample } from '@crossfold/shared/metrics/scores';
import { gather } from '../data/batches.ts';
import { prefetchedSlices } from '../data/prefetched-slices.ts';
import type { SliceSource } from '../data/slices.ts';
import { directSlices } from '../data/slices.ts';
import type { SliceRange } from '../exchange/tree.ts';
import { completeSubtrees, NodeSum } from '../exchange/tree.ts';
import type { EngineState } from '../job/state.ts';
import type { Engine, Samples } from './engine.ts';
import { outputsOf } from './ensemble.ts';
import type { Gradient, NodeVector, SessionFacts, SessionOptions, StepFacts } from './session.ts';
import { evaluationBatch, validationLength, validationNodes } from './validation.ts';

/** One job inside the engine's thread: batches are gathered here and computed on at once. */
export class JobHost {
  readonly facts: SessionFacts;
  readonly #engine: Engine;
  readonly #options: SessionOptions;
  readonly #slices: SliceSource;
  readonly #onBeat: () => void;

  /** @param onBeat called after each of the computations that a call is made of */
  constructor(engine: Engine, options: SessionOptions, onBeat: () => void = () => undefined) {
    this.#engine = engine;
    this.#options = options;
    this.#onBeat = onBeat;
    const { data, training, keys, augment } = options;
    const [height = 1, width = 1, channels = 1] = options.model.inputShape;
    // Varying pictures takes long enough to be worth a thread; copying them does not.
    this.#slices = (augment === undefined ? directSlices : prefetchedSlices)({
      keys,
      batches: training,
      slices: training.microBatches,
      shape: { height, width, channels },
      augment,
      data,
    });
    const state = engine.state();
    const kept = state.weights.length + data.validation.length * outputsPerSample;
    this.facts = {
      vectorLength: engine.vectorLength,
      validationLength: validationLength(data.validation.length, training.microBatches),
      maxStateBytes: 4 * (state.weights.length + state.optimizer.length + kept) + 4 * 1024 * 1024,
    };
  }

  gradient(
    at: { readonly epoch: number; readonly step: number; readonly update: number },
    range: SliceRange,
  ): Gradient {
    const { training } = this.#options;
    const before = this.#slices.waitedMs;
    this.#slices.aim(at, range);
    const nodes = completeSubtrees(training.microBatches, range).map(({ from, to }) => {
      const sum = new NodeSum();
      for (let slice = from; slice < to; slice++) {
        const samples = this.#slices.take({ epoch: at.epoch, step: at.step, slice });
        sum.add(this.#engine.gradient(samples, { step: at.update, slice }));
        this.#onBeat();
      }
      return { from, to, vector: sum.total() };
    });
    return { nodes, dataMs: this.#slices.waitedMs - before };
  }

  update(total: Float32Array, learningRate: number): StepFacts {
    return this.#engine.update(total, learningRate);
  }

  validate(range: SliceRange): NodeVector[] {
    const { data, training } = this.#options;
    const weights = this.#engine.evaluatedWeights();
    return validationNodes(range, training.microBatches, data.validation.length, weights, ({ from, to }) =>
      this.outputs(data.validation.subarray(from, to)),
    );
  }

  outputs(samples: Uint32Array): Float32Array {
    return this.#inBatches(samples, outputsPerSample, (batch) => this.#engine.evaluate(batch));
  }

  netOutputs(samples: Uint32Array): Float32Array {
    return this.#inBatches(samples, outputsOf(this.#options.model), (batch) => this.#engine.outputs(batch));
  }

  reset(): void {
    this.#engine.reset();
  }

  load(state: EngineState): void {
    this.#engine.load(state);
  }

  state(): EngineState {
    return this.#engine.state();
  }

  evaluatedWeights(): Float32Array {
    return this.#engine.evaluatedWeights();
  }

  close(): void {
    this.#slices.close();
    this.#engine.dispose();
  }

  /** Numbers of samples, `width` each, worked out a batch at a time. */
  #inBatches(samples: Uint32Array, width: number, work: (batch: Samples) => Float32Array): Float32Array {
    const numbers = new Float32Array(samples.length * width);
    const batch = evaluationBatch(this.#options.model);
    for (let from = 0; from < samples.length; from += batch) {
      numbers.set(work(this.#gather(samples.subarray(from, from + batch))), from * width);
      this.#onBeat();
    }
    return numbers;
  }

  #gather(samples: Uint32Array): { x: Float32Array; labels: Int32Array } {
    const { data } = this.#options;
    const x = new Float32Array(samples.length * data.sampleBytes);
    gather(data, samples, x);
    return { x, labels: Int32Array.from(samples, (place) => data.labels[place] ?? 0) };
  }
}
