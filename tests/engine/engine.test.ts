import { LayerSpec } from '@crossfold/shared/config/layers';
import { TrainingSpec } from '@crossfold/shared/config/training';
import type { ModelPlan } from '@crossfold/shared/model/plan';
import { planModel } from '@crossfold/shared/model/plan';
import { keyedRandom } from '@crossfold/shared/rng';
import { Engine } from '@crossfold/worker/engine/engine';
import { describe, expect, it } from 'vitest';
import { part } from '../support/digits.ts';
import { relativeError, tensorFlow } from '../support/engine.ts';

const image = { height: 12, width: 10, channels: 3 };
const layers = (given: readonly object[]): LayerSpec[] => given.map((layer) => LayerSpec.parse(layer));
const plan = (given: readonly object[]): ModelPlan =>
  planModel({ layers: layers(given) }, image, 3, 'categoricalCrossentropy');

const head = [{ type: 'flatten' }, { type: 'dense', units: 3, activation: 'softmax' }];
const plain = plan([{ type: 'conv2d', filters: 4, kernelSize: 3, activation: 'relu' }, ...head]);
const dropping = plan([
  { type: 'dropout', rate: 0.25, name: 'drop' },
  { type: 'flatten' },
  { type: 'dropout', rate: 0.5 },
  ...head.slice(1),
]);
const normal = plan([
  { type: 'conv2d', filters: 4, kernelSize: 3 },
  { type: 'batchNormalization', momentum: 0.8 },
  ...head,
]);

const training = (given: object = {}): TrainingSpec =>
  TrainingSpec.parse({ epochs: 1, batchSize: 8, optimizer: { name: 'rmsprop' }, ...given });

function open(
  model: ModelPlan,
  spec = training(),
  keys = { seed: 3, repeat: 0, fold: 0 },
  mode: 'graph' | 'eager' = 'graph',
): Engine {
  return new Engine(
    tensorFlow(),
    { model, training: spec, keys },
    {
      mode,
      onFallback: (program, cause) => expect.fail(`the ${program} is not taken as a graph: ${String(cause)}`),
    },
  );
}

const random = keyedRandom(7, 'samples');
const samples = {
  x: Float32Array.from({ length: 8 * 360 }, () => random.uniform()),
  labels: Int32Array.from({ length: 8 }, () => random.below(3)),
};
const at = { step: 0, slice: 0 };

describe('an engine', () => {
  it('gives sums, so that slices add up to the batch', () => {
    const engine = open(plain);
    const whole = engine.gradient(samples, at);
    const first = engine.gradient(part(samples, 0, 3), at);
    const second = engine.gradient(part(samples, 3, 8), { step: 0, slice: 1 });
    expect(
      relativeError(
        first.map((v, i) => v + (second[i] ?? 0)),
        whole,
      ),
    ).toBeLessThan(1e-5);
    expect([whole.at(-1), first.at(-1), second.at(-1)]).toEqual([8, 3, 5]);
    engine.dispose();
  });

  it('gives +0 for an empty slice', () => {
    const engine = open(plain);
    const vector = engine.gradient(part(samples, 0, 0), at);
    expect(vector).toHaveLength(engine.vectorLength);
    expect(vector.every((v) => Object.is(v, 0))).toBe(true);
    engine.dispose();
  });

  it('hands out vectors that later calls leave alone', () => {
    const engine = open(plain);
    const one = engine.gradient(samples, at);
    const kept = one.slice();
    const state = engine.state();
    const weights = state.weights.slice();
    engine.update(engine.gradient(part(samples, 0, 8), at), 0.5);
    expect(one).toEqual(kept);
    expect(state.weights).toEqual(weights);
    engine.dispose();
  });

  it('repeats itself to the bit: from the start, and from a state in between', () => {
    const run = (engine: Engine, steps: readonly number[]): void => {
      for (const step of steps) engine.update(engine.gradient(samples, { step, slice: 0 }), 0.01);
    };
    const engine = open(dropping);
    run(engine, [0, 1, 2]);
    const between = engine.state();
    run(engine, [3, 4]);
    const end = engine.state();
    expect(end.step).toBe(5);
    engine.load(between);
    run(engine, [3, 4]);
    expect(engine.state()).toEqual(end);
    engine.reset();
    run(engine, [0, 1, 2, 3, 4]);
    expect(engine.state()).toEqual(end);
    const other = open(dropping);
    run(other, [0, 1, 2, 3, 4]);
    expect(other.state()).toEqual(end);
    engine.dispose();
    other.dispose();
  });

  it('begins alike in all folds, and differently with another seed or repeat', () => {
    const weights = [
      { seed: 3, repeat: 0, fold: 0 },
      { seed: 3, repeat: 0, fold: 4 },
      { seed: 3, repeat: 1, fold: 0 },
      { seed: 4, repeat: 0, fold: 0 },
    ].map((keys) => {
      const engine = open(plain, training(), keys);
      const state = engine.state();
      engine.dispose();
      return state.weights;
    });
    expect(weights[1]).toEqual(weights[0]);
    expect(weights[2]).not.toEqual(weights[0]);
    expect(weights[3]).not.toEqual(weights[0]);
  });

  it('refuses a state of another model', () => {
    const engine = open(plain);
    const other = open(normal);
    expect(() => engine.load(other.state())).toThrow('another model or optimizer');
    engine.dispose();
    other.dispose();
  });

  it('runs a program eagerly when TensorFlow does not take it as a graph, says so, and gives the same', () => {
    const { binding, identity } = tensorFlow();
    const said: string[] = [];
    const refusing = {
      identity,
      binding: Object.create(binding, {
        loadSavedModel: {
          value: () => {
            throw new Error('no graphs today');
          },
        },
      }) as typeof binding,
    };
    const keys = { seed: 3, repeat: 0, fold: 0 };
    const onFallback = (program: string, reason: unknown): void => void said.push(`${program}: ${String(reason)}`);
    const fallen = new Engine(refusing, { model: plain, training: training(), keys }, { onFallback });
    const engine = open(plain);
    expect(fallen.gradient(samples, at)).toEqual(engine.gradient(samples, at));
    expect(said).toEqual(['gradient of 8 samples: Error: no graphs today']);
    engine.dispose();
    fallen.dispose();
  });

  it('leaves nothing behind', () => {
    const { binding } = tensorFlow();
    const before = [binding.getNumOfTensors(), binding.getNumOfSavedModels()];
    for (const mode of ['graph', 'eager'] as const) {
      const engine = open(dropping, training({ classWeights: [1, 2, 3] }), undefined, mode);
      engine.update(engine.gradient(samples, at), 0.1);
      engine.gradient(part(samples, 0, 3), at);
      engine.evaluate(samples);
      engine.dispose();
    }
    expect([binding.getNumOfTensors(), binding.getNumOfSavedModels()]).toEqual(before);
  });
});

describe('dropout', () => {
  it('is the same in graph and eager mode, and off in evaluation', () => {
    const [graph, eager] = (['graph', 'eager'] as const).map((mode) => {
      const engine = open(dropping, undefined, undefined, mode);
      const vectors = [engine.gradient(samples, at), engine.evaluate(samples), engine.evaluate(samples)];
      engine.dispose();
      return vectors;
    });
    expect(graph).toEqual(eager);
    expect(graph?.[1]).toEqual(graph?.[2]);
  });

  it('drops other elements for every step, slice and fold', () => {
    const engine = open(dropping);
    const first = engine.gradient(samples, at);
    expect(engine.gradient(samples, at)).toEqual(first);
    expect(engine.gradient(samples, { step: 1, slice: 0 })).not.toEqual(first);
    expect(engine.gradient(samples, { step: 0, slice: 1 })).not.toEqual(first);
    const other = open(dropping, undefined, { seed: 3, repeat: 0, fold: 1 });
    expect(other.gradient(samples, at)).not.toEqual(first);
    engine.dispose();
    other.dispose();
  });

  it('drops the share it is told to and scales the rest', () => {
    // One linear layer on constant inputs: the gradient of its kernel shows which inputs were left.
    const model = plan([{ type: 'flatten' }, { type: 'dropout', rate: 0.3 }, ...head.slice(1)]);
    const engine = open(model);
    const ones = { x: new Float32Array(360).fill(1), labels: Int32Array.of(0) };
    let dropped = 0;
    for (let step = 0; step < 20; step++) {
      const vector = engine.gradient(ones, { step, slice: 0 });
      const kernel = Float32Array.from({ length: 360 }, (_, i) => vector[3 * i] ?? 0);
      const left = kernel.filter((v) => v !== 0);
      dropped += kernel.length - left.length;
      const bias = vector[3 * 360] ?? 0;
      expect(
        relativeError(
          left,
          left.map(() => bias / 0.7),
        ),
      ).toBeLessThan(1e-6);
    }
    // Five standard errors.
    expect(Math.abs(dropped / 7200 - 0.3)).toBeLessThan(5 * Math.sqrt((0.3 * 0.7) / 7200));
    engine.dispose();
  });
});

describe('batch normalization', () => {
  it('moves its statistics by the mean over the samples of all slices', () => {
    const engine = open(normal);
    const moving = normal.parameters.filter((p) => !p.trainable);
    const before = engine.state().weights;
    const slices = [
      engine.gradient(part(samples, 0, 3), at),
      engine.gradient(part(samples, 3, 8), { step: 0, slice: 1 }),
    ];
    const [first, second] = slices;
    if (first === undefined || second === undefined) throw new Error('two slices');
    const ofSlice = (vector: Float32Array, n: number, i: number): number => (vector[i] ?? 0) / n;
    const expected = moving.flatMap(({ offset, length }) =>
      Array.from({ length }, (_, i) => {
        const mean = (3 * ofSlice(first, 3, offset + i) + 5 * ofSlice(second, 5, offset + i)) / 8;
        return 0.8 * (before[offset + i] ?? 0) + 0.2 * mean;
      }),
    );
    engine.update(
      first.map((v, i) => v + (second[i] ?? 0)),
      0.001,
    );
    const after = engine.state().weights;
    const got = moving.flatMap(({ offset, length }) => [...after.subarray(offset, offset + length)]);
    expect(relativeError(got, expected)).toBeLessThan(1e-6);
    engine.dispose();
  });
});

describe('an average of the weights', () => {
  it("is what is evaluated, with the batches' own statistics, and goes with the state", () => {
    const averaging = training({ average: { momentum: 0.75 } });
    const engine = open(normal, averaging);
    let expected = engine.evaluatedWeights();
    expect(expected).toEqual(engine.state().weights);
    const step = (of: Engine, number: number): void => {
      const vector = of.gradient(samples, { step: number, slice: 0 });
      const sums = vector.slice();
      of.update(vector, 0.01);
      if (of !== engine) return;
      const { weights } = of.state();
      const last = expected;
      expected = Float32Array.from(weights, (weight, i) => {
        const { trainable = true } = normal.parameters.find((p) => i < p.offset + p.length) ?? {};
        const now = trainable ? weight : (sums[i] ?? 0) / 8;
        return number === 0 ? now : 0.75 * (last[i] ?? 0) + 0.25 * now;
      });
      expect(of.evaluatedWeights()).toEqual(expected);
    };
    step(engine, 0);
    step(engine, 1);
    const between = engine.state();
    step(engine, 2);
    expect(relativeError(expected, engine.state().weights)).toBeGreaterThan(1e-3);

    const other = open(normal, averaging);
    other.load(between);
    step(other, 2);
    expect(other.state()).toEqual(engine.state());
    expect(other.evaluatedWeights()).toEqual(expected);

    const last = open(normal);
    last.load({ ...last.state(), weights: expected });
    expect(engine.evaluate(samples)).toEqual(last.evaluate(samples));
    expect(() => last.load(between)).toThrow('another model or optimizer');
    for (const one of [engine, other, last]) one.dispose();
  });
});
