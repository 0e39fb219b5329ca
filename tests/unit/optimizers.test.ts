import { createOptimizer } from '@crossfold/worker/engine/optimizers';
import { clipGradient } from '@crossfold/worker/engine/update';
import { describe, expect, it } from 'vitest';
import { relativeError } from '../support/engine.ts';
import { kerasOptimizers } from '../support/keras.ts';

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
