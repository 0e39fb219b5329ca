import type { Preset } from '@crossfold/shared/config/model';
import { ModelSpec } from '@crossfold/shared/config/model';
import type { Loss } from '@crossfold/shared/config/training';
import { TrainingSpec } from '@crossfold/shared/config/training';
import type { ImageShape } from '@crossfold/shared/data/manifest';
import { planModel } from '@crossfold/shared/model/plan';
import { keyedRandom } from '@crossfold/shared/rng';
import type { EngineSettings } from '@crossfold/worker/engine/engine';
import { initialWeights } from '@crossfold/worker/engine/initial-weights';
import { describe, expect, it } from 'vitest';
import { engineOf, samplesOf } from '../support/engine.ts';
import type { KerasCase } from '../support/keras.ts';
import { kerasLayers } from '../support/keras.ts';

/** What is not asked of Keras. */
const unasked = { outputs: [], losses: [], trainLoss: 0, gradient: [], stepLosses: [], after: [] };

const cases = [
  ...kerasLayers(),
  preset('mnist-convnet', { height: 28, width: 28, channels: 1 }, 10, 'categoricalCrossentropy'),
  preset('cats-dogs-augmented', { height: 150, width: 150, channels: 3 }, 2, 'binaryCrossentropy'),
  // What TensorFlow's optimizer would join or move: a convolution without bias and what follows, a curve and a maximum.
  preset('cats-dogs-tuned', { height: 64, width: 64, channels: 3 }, 2, 'binaryCrossentropy'),
  digitsNet('separable convolution without bias, then batch normalization', [
    { type: 'separableConv2d', filters: 8, kernelSize: 3, useBias: false },
    { type: 'batchNormalization' },
    { type: 'activation', activation: 'relu' },
  ]),
  digitsNet('sigmoid, then max pooling', [
    { type: 'activation', activation: 'sigmoid' },
    { type: 'maxPooling2d' },
    { type: 'conv2d', filters: 8, kernelSize: 3, activation: 'relu' },
  ]),
];

/** A net of usual size, on noise. */
function preset(name: Preset, image: ImageShape, classes: number, loss: Loss): KerasCase {
  return onNoise(name, { preset: name }, image, classes, loss, name === 'mnist-convnet' ? 16 : 3);
}

/** A net for digits that begins with the layers given. */
function digitsNet(name: string, layers: readonly object[]): KerasCase {
  const head = [{ type: 'flatten' }, { type: 'dense', units: 10, activation: 'softmax' }];
  const model = ModelSpec.parse({ layers: [...layers, ...head] });
  return onNoise(name, model, { height: 28, width: 28, channels: 1 }, 10, 'categoricalCrossentropy', 33);
}

function onNoise(
  name: string,
  spec: ModelSpec,
  image: ImageShape,
  classes: number,
  loss: Loss,
  samples: number,
): KerasCase {
  const model = planModel(spec, image, classes, loss);
  const training = TrainingSpec.parse({ epochs: 1, optimizer: { name: 'rmsprop' }, loss });
  const weights = new Float32Array(model.weightCount);
  initialWeights(model, { seed: 1, repeat: 0 }, weights);
  const random = keyedRandom(1, name);
  const x = Array.from({ length: samples * image.height * image.width * image.channels }, () => random.uniform());
  const labels = Array.from({ length: samples }, () => random.below(classes));
  return { ...unasked, layers: [], name, loss, classes, model, training, weights: [...weights], x, labels };
}

/** Whatever a case's net computes: evaluation, gradients of all samples and of two, three updates. */
function resultsOf(given: KerasCase, settings: EngineSettings): Map<string, Float32Array> {
  const engine = engineOf(given, settings);
  const samples = samplesOf(given);
  const pixels = samples.x.length / samples.labels.length;
  const two = { x: samples.x.slice(0, 2 * pixels), labels: samples.labels.slice(0, 2) };
  const results = new Map([['evaluation', engine.evaluate(samples)]]);
  for (let step = 0; step < 3; step++) {
    results.set(`gradient of two samples in step ${step}`, engine.gradient(two, { step, slice: 1 }));
    const total = engine.gradient(samples, { step, slice: 0 });
    results.set(`gradient in step ${step}`, total.slice());
    engine.update(total, 0.1);
  }
  results.set('weights', engine.state().weights);
  results.set('evaluation after three steps', engine.evaluate(samples));
  engine.dispose();
  return results;
}

function expectSame(actual: Map<string, Float32Array>, expected: Map<string, Float32Array>): void {
  for (const [part, values] of expected) {
    const others = actual.get(part);
    const different = values.filter((value, i) => !Object.is(value, others?.[i])).length;
    expect(`${part}: ${different} of ${values.length} numbers differ`).toBe(
      `${part}: 0 of ${others?.length} numbers differ`,
    );
  }
}

describe('the graph gives the bits of the operations one by one', () => {
  it.each(cases.map((given) => [given.name, given] as const))('%s', (_, given) => {
    const eager = resultsOf(given, { mode: 'eager' });
    expectSame(resultsOf(given, { mode: 'graph' }), eager);
    expectSame(resultsOf(given, { mode: 'graph', weights: 'kept' }), eager);
  });
});
