import { addRegularizers, divide, moveStatistics } from '@crossfold/worker/engine/update';
import { describe, expect, it } from 'vitest';
import { engineOf, relativeError, samplesOf } from '../support/engine.ts';
import type { KerasCase } from '../support/keras.ts';
import { kerasLayers } from '../support/keras.ts';

/** Float32 sums in other orders. */
const close = 2e-6;

/** The gradient of the mean loss as Keras has it; in the places of moving statistics what they have moved to. */
function fullGradient(given: KerasCase, sums: Float32Array): Float32Array {
  const weights = Float32Array.from(given.weights);
  const gradient = sums.slice(0, weights.length);
  divide(gradient, given.labels.length);
  addRegularizers(given.model, weights, gradient);
  moveStatistics(given.model, weights, gradient, 1);
  for (const { trainable, offset, length } of given.model.parameters)
    if (!trainable) gradient.set(weights.subarray(offset, offset + length), offset);
  return gradient;
}

describe.each(kerasLayers().map((given) => [given.name, given] as const))('%s, as in Keras', (_, given) => {
  it('outputs and losses', () => {
    const engine = engineOf(given);
    const results = engine.evaluate(samplesOf(given));
    const outputs = given.outputs.length / given.labels.length;
    given.labels.forEach((_label, i) => {
      const own = given.outputs.slice(i * outputs, (i + 1) * outputs);
      const predicted = outputs === 1 ? Number((own[0] ?? 0) > 0.5) : own.indexOf(Math.max(...own));
      expect(results[3 * i + 1]).toBe(predicted);
      expect(results[3 * i + 2]).toBeCloseTo(own[outputs === 1 ? 0 : predicted] ?? Number.NaN, 5);
    });
    const losses = given.losses.map((_loss, i) => results[3 * i] ?? Number.NaN);
    const regularization = given.trainLoss - given.losses.reduce((a, b) => a + b, 0) / given.losses.length;
    const regularized = given.model.parameters.some((p) => p.regularizer !== undefined);
    expect(
      relativeError(
        losses,
        given.losses.map((l) => l + (regularized ? regularization : 0)),
      ),
    ).toBeLessThan(close);
    engine.dispose();
  });

  it('gradient', () => {
    const engine = engineOf(given);
    const vector = engine.gradient(samplesOf(given), { step: 0, slice: 0 });
    expect(relativeError(fullGradient(given, vector), given.gradient)).toBeLessThan(close);
    expect(vector.at(-1)).toBe(given.labels.length);
    engine.dispose();
  });

  it('ten steps', () => {
    const engine = engineOf(given);
    const losses: number[] = [];
    for (let step = 0; step < 10; step++) {
      const facts = engine.update(engine.gradient(samplesOf(given), { step, slice: 0 }), 0.1);
      expect(facts.samples).toBe(given.labels.length);
      losses.push(facts.loss);
    }
    expect(relativeError(losses, given.stepLosses)).toBeLessThan(10 * close);
    expect(relativeError(engine.state().weights, given.after)).toBeLessThan(10 * close);
    engine.dispose();
  });
});
