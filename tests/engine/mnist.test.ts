import { TrainingSpec } from '@crossfold/shared/config/training';
import { planModel } from '@crossfold/shared/model/plan';
import { Engine } from '@crossfold/worker/engine/engine';
import { combineTree } from '@crossfold/worker/exchange/tree';
import { describe, expect, it } from 'vitest';
import { digits, part } from '../support/digits.ts';
import { relativeError, tensorFlow } from '../support/engine.ts';
import { kerasMnist } from '../support/keras.ts';

const training = TrainingSpec.parse({ epochs: 3, batchSize: 64, optimizer: { name: 'rmsprop' } });
const image = { height: 28, width: 28, channels: 1 };
const model = planModel({ preset: 'mnist-convnet' }, image, 10, training.loss);
const open = (seed: number): Engine =>
  new Engine(tensorFlow(), { model, training, keys: { seed, repeat: 0, fold: 0 } });

describe('the MNIST net', () => {
  it('begins with the initial weights of Keras: uniform within the limit of Glorot and Bengio, or zero', () => {
    const { limits, every, before, seed } = kerasMnist();
    const engine = open(seed);
    const { weights } = engine.state();
    model.parameters.forEach(({ offset, length }, i) => {
      const limit = limits[i] ?? Number.NaN;
      const values = weights.subarray(offset, offset + length);
      const largest = values.reduce((max, v) => Math.max(max, Math.abs(v)), 0);
      expect(largest).toBeLessThanOrEqual(limit * (1 + 1e-6));
      expect(largest).toBeGreaterThanOrEqual(limit * 0.95);
      const mean = values.reduce((a, b) => a + b, 0) / length;
      // Four standard errors of the mean of a uniform distribution.
      expect(Math.abs(mean)).toBeLessThanOrEqual((4 * limit) / Math.sqrt(3 * length));
    });
    expect([...weights.filter((_, i) => i % every === 0)]).toEqual(before.map(Math.fround));
    engine.dispose();
  });

  it('takes ten steps of rmsprop as Keras does', () => {
    const { batchSize, every, before, after, steps, seed } = kerasMnist();
    const engine = open(seed);
    const samples = digits(10 * batchSize);
    steps.forEach((keras, step) => {
      const batch = part(samples, step * batchSize, (step + 1) * batchSize);
      const facts = engine.update(engine.gradient(batch, { step, slice: 0 }), 0.001);
      expect(facts.loss).toBeCloseTo(keras.loss, 4);
      expect(facts.correct).toBe(keras.correct);
    });
    const picked = engine.state().weights.filter((_, i) => i % every === 0);
    const moved = picked.map((w, i) => w - (before[i] ?? 0));
    const movedInKeras = after.map((w, i) => w - (before[i] ?? 0));
    expect(relativeError(moved, movedInKeras)).toBeLessThan(0.02);
    engine.dispose();
  });

  it('learns to tell digits apart', () => {
    const engine = open(1);
    const samples = digits(2000);
    for (let step = 0; step < 25; step++) {
      const batch = part(samples, step * 64, (step + 1) * 64);
      const slices = [0, 1, 2, 3].map((slice) =>
        engine.gradient(part(batch, slice * 16, (slice + 1) * 16), { step, slice }),
      );
      const total = combineTree(4, ({ from, to }) => (to - from === 1 ? slices[from] : undefined));
      expect(engine.update(total, 0.001).samples).toBe(64);
    }
    const unseen = part(samples, 1600, 2000);
    const results = engine.evaluate(unseen);
    const right = unseen.labels.filter((label, i) => results[3 * i + 1] === label).length;
    expect(right / unseen.labels.length).toBeGreaterThan(0.8);
    engine.dispose();
  });
});
