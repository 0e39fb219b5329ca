import { copyFile, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { loadExperiment, resolvedYaml } from '@crossfold/coordinator/config/load';
import { uploadStart } from '@crossfold/coordinator/models/start-model';
import { LayerSpec } from '@crossfold/shared/config/layers';
import { TrainingSpec } from '@crossfold/shared/config/training';
import { ConfigError, DamagedDataError } from '@crossfold/shared/errors';
import type { TrainedModel } from '@crossfold/shared/model/model-file';
import { decodeModel, encodeModel } from '@crossfold/shared/model/model-file';
import { planModel } from '@crossfold/shared/model/plan';
import { Engine } from '@crossfold/worker/engine/engine';
import { initialWeights } from '@crossfold/worker/engine/initial-weights';
import { Predictor } from '@crossfold/worker/engine/predictor';
import { writeSavedModel } from '@crossfold/worker/export/saved-model';
import { writeTfjs } from '@crossfold/worker/export/tfjs';
import { readKerasArchive, writeKerasArchive } from '@crossfold/worker/keras/archive';
import { readKerasH5, writeKerasH5 } from '@crossfold/worker/keras/h5';
import { readModelConfig } from '@crossfold/worker/keras/read-config';
import * as tf from '@tensorflow/tfjs';
import { unzipSync, zipSync } from 'fflate';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { tensorFlow } from '../support/engine.ts';
import { memoryBlobs } from '../support/memory-blobs.ts';

let folder = '';
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'crossfold-keras-'));
});
afterEach(() => rm(folder, { recursive: true }));

const fixtures = new URL('../fixtures/keras-h5/', import.meta.url);
const image = { height: 14, width: 10, channels: 3 };
const pixels = Float32Array.from({ length: 3 * 420 }, (_, i) => ((i * 31) % 255) / 255);

/** One of each kind of layer, and of each activation. */
function everything(): TrainedModel {
  const layers = [
    { type: 'conv2d', filters: 4, kernelSize: 3, activation: 'relu', kernelRegularizer: { l1: 0.1, l2: 0.2 } },
    { type: 'batchNormalization', momentum: 0.9 },
    { type: 'maxPooling2d' },
    {
      type: 'separableConv2d',
      filters: 5,
      kernelSize: 3,
      padding: 'same',
      depthMultiplier: 2,
      activation: 'leakyRelu',
    },
    { type: 'conv2d', filters: 3, kernelSize: [3, 2], dilation: 2, padding: 'same', activation: 'elu', useBias: false },
    { type: 'averagePooling2d', poolSize: 2, strides: 1, padding: 'same' },
    { type: 'activation', activation: 'leakyRelu' },
    { type: 'flatten' },
    { type: 'dropout', rate: 0.5 },
    { type: 'dense', units: 7, activation: 'gelu', biasRegularizer: { l2: 0.3 } },
    { type: 'activation', activation: 'swish' },
    { type: 'dense', units: 6, activation: 'tanh', name: 'my_own' },
    { type: 'dense', units: 4, activation: 'softmax' },
  ].map((layer) => LayerSpec.parse(layer));
  const training = TrainingSpec.parse({
    epochs: 3,
    optimizer: { name: 'adamw', weightDecay: 0.01 },
    loss: 'categoricalCrossentropy',
    clip: { norm: 1.5 },
    average: { momentum: 0.95 },
  });
  const plan = planModel({ layers }, image, 4, training.loss);
  const weights = new Float32Array(plan.weightCount);
  initialWeights(plan, { seed: 1, repeat: 0 }, weights);
  weights.forEach((value, i) => {
    weights[i] = value + ((i * 7919) % 97) / 970;
  });
  const decoding = { fit: 'cover', kernel: 'cubic', maxPixels: 1000 } as const;
  return { plan, training, classes: ['猫', 'собака', 'c', 'd'], decoding, weights };
}

/** Layers and weights of two nets are the same, whatever was a default. */
function expectSame(actual: TrainedModel, expected: TrainedModel): void {
  expect(actual.plan.parameters).toEqual(expected.plan.parameters);
  expect(actual.plan.layers.map(({ name, outputShape }) => [name, outputShape])).toEqual(
    expected.plan.layers.map(({ name, outputShape }) => [name, outputShape]),
  );
  expect(actual).toMatchObject({ training: expected.training, classes: expected.classes, decoding: expected.decoding });
  expect(Buffer.from(actual.weights.buffer).equals(Buffer.from(expected.weights.buffer))).toBe(true);
}

const predict = (model: TrainedModel): Float32Array => {
  const predictor = new Predictor(tensorFlow(), model);
  const outputs = predictor.predict(pixels);
  predictor.dispose();
  return outputs;
};
const largest = (a: ArrayLike<number>, b: ArrayLike<number>): number =>
  Math.max(...Array.from(a, (value, i) => Math.abs(value - (b[i] ?? Number.NaN))));

describe("Keras' archive", () => {
  it.each(['keras-sequential', 'keras-functional'])('that %s wrote is read, and predicts the same', async (name) => {
    const model = await readKerasArchive(new URL(`${name}.keras`, fixtures).pathname);
    const json: unknown = JSON.parse(await readFile(new URL(`${name}.json`, fixtures), 'utf8'));
    const { predictions } = z.object({ predictions: z.array(z.array(z.number())) }).parse(json);
    expect(largest(predict(model), predictions.flat())).toBeLessThan(1e-6);
    const h5 = await readKerasH5(new URL(`${name}.h5`, fixtures).pathname);
    // Keras leaves its optimizers out of archives where they have a setting that is none of JSON's.
    expect(model.training.loss).toBe(h5.training.loss);
    expect([...model.weights]).toEqual([...h5.weights]);
  });

  it('that is written is read again with all that it is about, and is laid out as Keras has it', async () => {
    const model = everything();
    const file = join(folder, 'net.keras');
    await writeKerasArchive(file, model);
    expectSame(await readKerasArchive(file), model);
    const bytes = await readFile(file);
    // Layers, objects within them and the optimizer have the fields that Keras gave its own.
    const ofKeras = await readFile(new URL('keras-sequential.keras', fixtures));
    const layout = (archive: Uint8Array) => {
      const { 'config.json': config = new Uint8Array(), ...others } = unzipSync(archive);
      const net = JSON.parse(Buffer.from(config).toString());
      const byKind = new Map<string, string[]>();
      for (const layer of net.config.layers) byKind.set(layer.class_name, Object.keys(layer.config));
      return { files: Object.keys(others).sort(), fields: Object.keys(net).sort(), byKind, net };
    };
    const [ours, theirs] = [layout(bytes), layout(ofKeras)];
    expect(ours.files).toEqual(theirs.files);
    expect(theirs.fields).toEqual(expect.arrayContaining(ours.fields));
    let kinds = 0;
    for (const [kind, fields] of ours.byKind) {
      const known = theirs.byKind.get(kind);
      if (known === undefined) continue;
      kinds++;
      // What Keras no longer writes, it still takes.
      const legacy = ['ragged', 'activity_regularizer', 'keepdims'];
      expect(known).toEqual(expect.arrayContaining(fields.filter((field) => !legacy.includes(field))));
    }
    expect(kinds).toBeGreaterThan(8);
    expect(ours.net.compile_config.optimizer).toMatchObject({ module: 'keras.optimizers', class_name: 'AdamW' });
    expect(ours.net.compile_config.optimizer.config).toMatchObject({
      weight_decay: 0.01,
      global_clipnorm: 1.5,
      use_ema: true,
      ema_momentum: 0.95,
    });
  });

  it('is refused in words where it is something else', async () => {
    const file = join(folder, 'x.keras');
    await writeFile(file, 'no archive at all');
    await expect(readKerasArchive(file)).rejects.toThrow(/is no \.keras file; Keras 3 writes one with/);
    await expect(readKerasArchive(join(folder, 'y.keras'))).rejects.toThrow(/y\.keras is not there/);
    const whole = await readFile(new URL('keras-sequential.keras', fixtures));
    await writeFile(file, whole.subarray(0, 5000));
    await expect(readKerasArchive(file)).rejects.toThrow(DamagedDataError);
    const { 'model.weights.h5': _, ...others } = unzipSync(whole);
    await writeFile(file, zipSync(others));
    await expect(readKerasArchive(file)).rejects.toThrow(/has no model\.weights\.h5/);
    await writeFile(file, zipSync({ ...others, 'model.weights.h5': new Uint8Array(100) }));
    await expect(readKerasArchive(file)).rejects.toThrow(DamagedDataError);
  });
});

describe("Keras' HDF5", () => {
  it.each(['keras-sequential', 'keras-functional', 'tf_keras-sequential', 'tf_keras-functional'])(
    'that %s wrote is read, and predicts the same',
    async (name) => {
      const model = await readKerasH5(new URL(`${name}.h5`, fixtures).pathname);
      const json: unknown = JSON.parse(await readFile(new URL(`${name}.json`, fixtures), 'utf8'));
      const { predictions } = z.object({ predictions: z.array(z.array(z.number())) }).parse(json);
      expect(largest(predict(model), predictions.flat())).toBeLessThan(1e-6);
      if (name.endsWith('sequential'))
        expect(model.training).toMatchObject({ loss: 'binaryCrossentropy', optimizer: { name: 'rmsprop', rho: 0.8 } });
    },
  );

  it('that is written is read again with all that it is about', async () => {
    const model = everything();
    const file = join(folder, 'net.h5');
    await writeKerasH5(file, model);
    const again = await readKerasH5(file);
    expectSame(again, model);
    expect(largest(predict(again), predict(model))).toBe(0);
  });

  it('is refused in words where it is something else', async () => {
    await writeFile(join(folder, 'x.h5'), 'no HDF5 at all');
    await expect(readKerasH5(join(folder, 'x.h5'))).rejects.toThrow(/is no HDF5 file; Keras writes one with/);
    await expect(readKerasH5(join(folder, 'y.h5'))).rejects.toThrow(ConfigError);
    const whole = await readFile(new URL('keras-sequential.h5', fixtures));
    await writeFile(join(folder, 'z.h5'), whole.subarray(0, 5000));
    await expect(readKerasH5(join(folder, 'z.h5'))).rejects.toThrow(DamagedDataError);
  });

  const net = (
    ...layers: readonly { readonly class_name: string; readonly config: object; inbound_nodes?: unknown }[]
  ) =>
    JSON.stringify({
      class_name: layers.some((layer) => 'inbound_nodes' in layer) ? 'Functional' : 'Sequential',
      config: {
        layers: [{ class_name: 'InputLayer', config: { batch_input_shape: [null, 8, 8, 3], name: 'in' } }, ...layers],
      },
    });
  it.each([
    [net({ class_name: 'LSTM', config: { name: 'l' } }), /layer l \(LSTM\) is of a kind that cannot be had here/],
    [
      net({ class_name: 'Conv2D', config: { name: 'c', data_format: 'channels_first' } }),
      /layer c .* has its channels first/,
    ],
    [net({ class_name: 'Dense', config: { name: 'd', units: 3, activation: 'softplus' } }), /activation "softplus"/],
    [net({ class_name: 'LeakyReLU', config: { name: 'r', alpha: 0.1 } }), /has a slope of 0.1; only 0.3/],
    [
      net(
        { class_name: 'Flatten', config: { name: 'f' }, inbound_nodes: [[['in', 0, 0, {}]]] },
        {
          class_name: 'Add',
          config: { name: 'a' },
          inbound_nodes: [
            [
              ['f', 0, 0, {}],
              ['in', 0, 0, {}],
            ],
          ],
        },
      ),
      /branches at layer a/,
    ],
    ['{"class_name": "Bidirectional"}', /model_config that is not Keras'/],
    ['{', /not JSON/],
  ])('is refused where it holds what cannot be had: %#', (json, message) => {
    expect(() => readModelConfig(json, 'x.h5')).toThrow(message);
  });
});

describe('an experiment that begins with a net of Keras', () => {
  const yaml = (size: number): string => `dataset: { path: set, image: { height: ${size}, width: 10 } }
model: { h5: keras-sequential.h5 }
training: { epochs: 1, optimizer: { name: sgd }, loss: binaryCrossentropy }
`;

  it('has its layers and its weights filled in, uploads them, and begins to compute with them', async () => {
    await copyFile(new URL('keras-sequential.h5', fixtures), join(folder, 'keras-sequential.h5'));
    await writeFile(join(folder, 'x.yaml'), yaml(14));
    const { experiment } = await loadExperiment(join(folder, 'x.yaml'));
    if (!('h5' in experiment.model)) throw new Error('the net is not from a file');
    expect(experiment.model).toMatchObject({ h5: join(folder, 'keras-sequential.h5'), image });
    expect(experiment.model.layers?.map(({ type }) => type).slice(0, 3)).toEqual([
      'conv2d',
      'batchNormalization',
      'maxPooling2d',
    ]);
    const blobs = memoryBlobs();
    await uploadStart(experiment, blobs);
    const { weights } = decodeModel(await blobs.get(experiment.model.weights?.digest ?? '', 1e6), 'it');
    expect([...weights]).toEqual([...(await readKerasH5(join(folder, 'keras-sequential.h5'))).weights]);
    const model = planModel(experiment.model, image, 2, 'binaryCrossentropy');
    const keys = { seed: 1, repeat: 0, fold: 0 };
    const engine = new Engine(tensorFlow(), { model, training: experiment.training, keys, initialWeights: weights });
    expect([...engine.state().weights]).toEqual([...weights]);
    engine.dispose();
    // The experiment stays what it was when the file is gone, and says so when there never was one.
    await writeFile(join(folder, 'resolved.yaml'), resolvedYaml(experiment));
    await rm(join(folder, 'keras-sequential.h5'));
    expect((await loadExperiment(join(folder, 'resolved.yaml'))).experiment).toEqual(experiment);
    await expect(loadExperiment(join(folder, 'x.yaml'))).rejects.toThrow(
      /model\.h5 is .*keras-sequential\.h5: is not there/,
    );
  });

  it('needs images of the size that its weights are for', async () => {
    await copyFile(new URL('keras-sequential.h5', fixtures), join(folder, 'keras-sequential.h5'));
    await writeFile(join(folder, 'x.yaml'), yaml(30));
    const { experiment } = await loadExperiment(join(folder, 'x.yaml'));
    expect(() => planModel(experiment.model, { ...image, height: 30 }, 2, 'binaryCrossentropy')).toThrow(
      "model.h5: takes images of 14 x 10 x 3, and the data set's are 30 x 10 x 3; set dataset.image to the former",
    );
  });
});

describe('other formats', () => {
  it("have a net's own file with everything in it", () => {
    const model = everything();
    expectSame(decodeModel(encodeModel(model), 'it'), model);
  });

  it('have TensorFlow.js read and predict the same', async () => {
    const model = everything();
    // TensorFlow.js has no gelu; all else is there.
    const layers = model.plan.layers.map(({ name, spec }) =>
      spec.type === 'dense' && spec.activation === 'gelu'
        ? { ...spec, name, activation: 'relu' as const }
        : { ...spec, name },
    );
    const without = { ...model, plan: planModel({ layers }, image, 4, 'categoricalCrossentropy') };
    const out = join(folder, 'tfjs');
    await writeTfjs(out, without);
    const manifest = z
      .object({
        modelTopology: z.record(z.string(), z.unknown()),
        weightsManifest: z.tuple([
          z.object({ paths: z.array(z.string()), weights: z.array(z.custom<tf.io.WeightsManifestEntry>()) }),
        ]),
      })
      .parse(JSON.parse(await readFile(join(out, 'model.json'), 'utf8')));
    const [{ paths, weights }] = manifest.weightsManifest;
    const bytes = Buffer.concat(await Promise.all(paths.map((path) => readFile(join(out, path)))));
    await tf.setBackend('cpu');
    const loaded = await tf.loadLayersModel(
      tf.io.fromMemory({
        modelTopology: manifest.modelTopology,
        weightSpecs: weights,
        weightData: Uint8Array.from(bytes).buffer,
      }),
    );
    const outputs = loaded.predict(tf.tensor(pixels, [3, 14, 10, 3])) as tf.Tensor;
    expect(largest(await outputs.data(), predict(without))).toBeLessThan(1e-6);
  });

  it('have TensorFlow load a SavedModel by its signature, and predict the same', async () => {
    const model = everything();
    const out = join(folder, 'saved');
    await writeSavedModel(out, model);
    const graph = await readFile(join(out, 'saved_model.pb'), 'latin1');
    const [result = ''] = /\w+_\d+:0/.exec(graph.slice(graph.indexOf('serving_default'))) ?? [];
    const { binding } = tensorFlow();
    const session = binding.loadSavedModel(out, 'serve');
    const x = binding.createTensor([3, 14, 10, 3], 1, pixels);
    const [outputs] = binding.runSavedModel(session, [x], 'x:0', result);
    expect(largest(binding.tensorDataSync(outputs?.id ?? -1) as Float32Array, predict(model))).toBeLessThan(1e-6);
    binding.deleteSavedModel(session);
  });

  it('do not overwrite a folder that has something in it', async () => {
    await writeFile(join(folder, 'mine'), 'x');
    await expect(writeTfjs(folder, everything())).rejects.toThrow(/is not empty/);
  });
});
