import { LayerSpec } from '@crossfold/shared/config/layers';
import { TrainingSpec } from '@crossfold/shared/config/training';
import { planModel } from '@crossfold/shared/model/plan';
import { initialWeights } from '@crossfold/worker/engine/initial-weights';
import { Predictor } from '@crossfold/worker/engine/predictor';
import { expect, it } from 'vitest';
import { tensorFlow } from '../support/engine.ts';

it('gives what leaves each layer, its bias and activation included, whatever a pooling behind it computes', () => {
  const layers = [
    { type: 'conv2d', filters: 3, kernelSize: 3, padding: 'same', activation: 'relu', name: 'found' },
    { type: 'maxPooling2d', name: 'pooled' },
    { type: 'conv2d', filters: 2, kernelSize: 1, useBias: false, name: 'mixed' },
    { type: 'batchNormalization', name: 'normed' },
    { type: 'activation', activation: 'relu', name: 'kept' },
    { type: 'maxPooling2d', name: 'last' },
    { type: 'flatten' },
    { type: 'dense', units: 2, activation: 'softmax' },
  ].map((layer) => LayerSpec.parse(layer));
  const training = TrainingSpec.parse({ epochs: 1, optimizer: { name: 'sgd' } });
  const plan = planModel({ layers }, { height: 8, width: 8, channels: 1 }, 2, training.loss);
  const weights = new Float32Array(plan.weightCount);
  initialWeights(plan, { seed: 1, repeat: 0 }, weights);
  // Biases of the first convolution, behind its 3 x 3 x 1 x 3 weights.
  weights.set([0.25, -0.25, 10], 27);
  const predictor = new Predictor(tensorFlow(), { plan, training, classes: ['a', 'b'], decoding: undefined, weights });
  const x = Float32Array.from({ length: 64 }, (_, i) => ((i * 31) % 64) / 63);
  const of = Object.fromEntries(predictor.activations(x).map((own) => [own.layer, own]));
  predictor.dispose();
  for (const [before, after] of [
    ['found', 'pooled'],
    ['kept', 'last'],
  ] as const) {
    const { shape, values } = of[before] ?? { shape: [], values: new Float32Array() };
    const [height = 0, width = 0, channels = 0] = shape;
    expect(values.length).toBe(height * width * channels);
    expect(Math.min(...values)).toBeGreaterThanOrEqual(0);
    const at = (y: number, column: number, c: number): number =>
      values[(y * width + column) * channels + c] ?? Number.NaN;
    const pooled = of[after]?.values.map((_, i) => {
      const [c, column, y] = [
        i % channels,
        2 * (Math.floor(i / channels) % (width / 2)),
        2 * Math.floor(i / channels / (width / 2)),
      ];
      return Math.max(at(y, column, c), at(y, column + 1, c), at(y + 1, column, c), at(y + 1, column + 1, c));
    });
    expect(of[after]?.values).toEqual(pooled);
  }
  // The third channel is its bias and a little.
  expect(of.found?.values[2]).toBeGreaterThan(5);
});
