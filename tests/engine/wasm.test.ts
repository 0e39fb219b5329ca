import { LayerSpec } from '@crossfold/shared/config/layers';
import { TrainingSpec } from '@crossfold/shared/config/training';
import { planModel } from '@crossfold/shared/model/plan';
import { keyedRandom } from '@crossfold/shared/rng';
import { Engine } from '@crossfold/worker/engine/engine';
import { chosenEngine, engineNotice } from '@crossfold/worker/engine/load';
import type { LoadedTensorFlow } from '@crossfold/worker/engine/tensorflow';
import { loadWasm } from '@crossfold/worker/engine/wasm/binding';
import { beforeAll, describe, expect, it } from 'vitest';
import { part } from '../support/digits.ts';
import { relativeError, tensorFlow } from '../support/engine.ts';

let wasm: LoadedTensorFlow;
beforeAll(async () => {
  wasm = await loadWasm({ threads: 1 });
});

const image = { height: 13, width: 10, channels: 3 };
const random = keyedRandom(7, 'samples');
const samples = {
  x: Float32Array.from({ length: 8 * 390 }, () => random.uniform()),
  labels: Int32Array.from({ length: 8 }, () => random.below(3)),
};
const head = [{ type: 'flatten' }, { type: 'dense', units: 3, activation: 'softmax' }];
const conv = { type: 'conv2d', filters: 4, kernelSize: 3 };

const nets: readonly (readonly [name: string, layers: readonly object[], training: object])[] = (
  [
    ['a convolution', [{ ...conv, activation: 'relu' }, ...head]],
    ['with strides and the same size', [{ ...conv, kernelSize: [3, 2], strides: 2, padding: 'same' }, ...head]],
    ['two in a row', [conv, { ...conv, padding: 'same', activation: 'tanh' }, ...head]],
    ['dilated', [{ ...conv, dilation: 2, padding: 'same', activation: 'elu' }, ...head]],
    ['max pooling', [conv, { type: 'maxPooling2d' }, ...head]],
    ['overlapping max pooling', [conv, { type: 'maxPooling2d', poolSize: 3, strides: 2, padding: 'same' }, ...head]],
    ['average pooling', [conv, { type: 'averagePooling2d', poolSize: 3, strides: 2, padding: 'same' }, ...head]],
    ['global pooling', [conv, { type: 'globalAveragePooling2d' }, ...head.slice(1)]],
    ['separable', [{ ...conv, type: 'separableConv2d', depthMultiplier: 2, strides: 2, padding: 'same' }, ...head]],
    ['BatchNorm', [conv, { type: 'batchNormalization' }, { type: 'activation', activation: 'relu' }, ...head]],
    ['dropout', [{ type: 'dropout', rate: 0.3 }, ...head]],
    [
      'other curves',
      [
        { ...conv, activation: 'gelu' },
        { ...conv, activation: 'swish' },
        { ...conv, activation: 'leakyRelu' },
        { type: 'flatten' },
        { type: 'dense', units: 5, activation: 'sigmoid' },
        { type: 'dense', units: 3, activation: 'softmax' },
      ],
    ],
    [
      'binary crossentropy',
      [conv, { type: 'flatten' }, { type: 'dense', units: 3, activation: 'sigmoid' }],
      { loss: 'binaryCrossentropy' },
    ],
    [
      'mean squared error',
      [conv, { type: 'flatten' }, { type: 'dense', units: 3, activation: 'softmax' }],
      { loss: 'meanSquaredError' },
    ],
  ] satisfies readonly (readonly [string, readonly object[], object?])[]
).map(([name, layers, training = {}]) => [name, layers, training]);

function open(loaded: LoadedTensorFlow, layers: readonly object[], given: object = {}): Engine {
  const training = TrainingSpec.parse({ epochs: 1, batchSize: 8, optimizer: { name: 'rmsprop' }, ...given });
  const specs = layers.map((layer) => LayerSpec.parse(layer));
  const model = planModel({ layers: specs }, image, 3, training.loss);
  return new Engine(
    loaded,
    { model, training, keys: { seed: 3, repeat: 0, fold: 0 } },
    { onFallback: (program, reason) => expect.fail(`${program}: ${String(reason)}`) },
  );
}

describe('the WebAssembly engine', () => {
  it('says who it is', () => {
    expect(wasm.identity).toMatchObject({ backend: 'wasm', device: 'cpu', version: expect.stringMatching(/^4\./) });
  });

  it.each(nets)('computes what TensorFlow does: %s', (_, layers, training) => {
    const [ours, theirs] = [open(wasm, layers, training), open(tensorFlow(), layers, training)];
    const at = { step: 0, slice: 0 };
    expect(relativeError(ours.gradient(samples, at), theirs.gradient(samples, at))).toBeLessThan(1e-5);
    expect(relativeError(ours.evaluate(samples), theirs.evaluate(samples))).toBeLessThan(1e-5);
    for (const engine of [ours, theirs]) engine.dispose();
  });

  it('repeats itself to the bit, and leaves no tensors behind', () => {
    const [, layers] = nets[5] ?? ['', []];
    const before = wasm.binding.getNumOfTensors();
    const run = (): Float32Array => {
      const engine = open(wasm, layers);
      for (let step = 0; step < 3; step++) {
        const total = engine.gradient(part(samples, 0, 5), { step, slice: 0 });
        const other = engine.gradient(part(samples, 5, 8), { step, slice: 1 });
        engine.update(
          total.map((v, i) => v + (other[i] ?? 0)),
          0.01,
        );
      }
      const { weights } = engine.state();
      engine.dispose();
      return weights;
    };
    expect(run()).toEqual(run());
    expect(wasm.binding.getNumOfTensors()).toBe(before);
  });
});

describe('which engine', () => {
  it.each([
    [{}, true, 'tensorflow'],
    [{}, false, 'wasm'],
    [{ CROSSFOLD_ENGINE: 'wasm' }, true, 'wasm'],
    [{ CROSSFOLD_ENGINE: 'tensorflow' }, false, 'tensorflow'],
  ])('%o, TensorFlow there: %s', (env, there, expected) => {
    expect(chosenEngine(env, () => there)).toBe(expected);
  });

  it('must be one that there is', () => {
    expect(() => chosenEngine({ CROSSFOLD_ENGINE: 'webgl' })).toThrow(
      'CROSSFOLD_ENGINE is webgl: must be auto, tensorflow, wasm',
    );
  });

  it('is told of where it is the slow one', () => {
    expect(engineNotice('tensorflow')).toBeUndefined();
    expect(engineNotice('wasm')).toContain('slower than TensorFlow');
  });
});
