import { LayerSpec } from '@crossfold/shared/config/layers';
import { planModel } from '@crossfold/shared/model/plan';
import { createOptimizer } from '@crossfold/worker/engine/optimizers';
import { clipGradient, moveAverage } from '@crossfold/worker/engine/update';
import { describe, expect, it } from 'vitest';
import { relativeError } from '../support/engine.ts';
import { kerasAverages, kerasOptimizers } from '../support/keras.ts';

describe('ten updates, as in Keras', () => {
  it.each(kerasOptimizers().map((given) => [JSON.stringify({ ...given.optimizer, ...given.clip }), given] as const))(
    '%s',
    (_, { optimizer: spec, clip, weights: initial, gradients, steps }) => {
      const optimizer = createOptimizer(spec);
      const weights = Float32Array.from(initial);
      const state = new Float32Array(optimizer.slots * weights.length).fill(optimizer.initial);
      const everything = { from: 0, to: weights.length };
      gradients.forEach((given, i) => {
        const gradient = Float32Array.from(given);
        if (clip !== undefined) clipGradient(gradient, [everything], clip);
        optimizer.apply(
          { weights, gradient, divisor: 1, state, learningRate: spec.learningRate, step: i + 1 },
          everything,
        );
        // Keras rounds to float32 after every operation, ours once an update.
        expect(relativeError(weights, steps[i] ?? [])).toBeLessThan(2e-6);
      });
    },
  );
});

describe("an average of the weights, as Keras' use_ema", () => {
  // Nine weights, as the fixture has.
  const layers = [{ type: 'flatten' } as const, LayerSpec.parse({ type: 'dense', units: 1, activation: 'sigmoid' })];
  const plan = planModel({ layers }, { height: 2, width: 4, channels: 1 }, 2, 'binaryCrossentropy');
  it.each(kerasAverages())('of momentum $momentum', ({ momentum, weights, averages }) => {
    const average = new Float32Array(plan.weightCount);
    weights.forEach((now, i) => {
      moveAverage(plan, average, Float32Array.from(now), new Float32Array(now.length), 1, momentum, i === 0);
      expect(relativeError(average, averages[i] ?? [])).toBeLessThan(1e-6);
    });
  });
});
