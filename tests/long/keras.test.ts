import { execFileSync } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { LayerSpec } from '@crossfold/shared/config/layers';
import { TrainingSpec } from '@crossfold/shared/config/training';
import type { TrainedModel } from '@crossfold/shared/model/model-file';
import { planModel } from '@crossfold/shared/model/plan';
import { initialWeights } from '@crossfold/worker/engine/initial-weights';
import { Predictor } from '@crossfold/worker/engine/predictor';
import { writeSavedModel } from '@crossfold/worker/export/saved-model';
import { writeKerasArchive } from '@crossfold/worker/keras/archive';
import { writeKerasH5 } from '@crossfold/worker/keras/h5';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { tensorFlow } from '../support/engine.ts';

/**
 * What is exported is opened by Keras itself, 2 and 3, and by TensorFlow. CROSSFOLD_KERAS_PYTHON names a Python that has
 * them; otherwise they are installed for the time of the test.
 */
const packages = ['keras==3.15.1', 'tf_keras==2.21.0', 'tensorflow-cpu==2.21.0'];

const script = `
import json, os, sys
os.environ.update(TF_CPP_MIN_LOG_LEVEL="3", CUDA_VISIBLE_DEVICES="", TF_ENABLE_ONEDNN_OPTS="0")
import keras, numpy as np, tensorflow as tf, tf_keras
folder = sys.argv[1]
x = np.array(json.load(open(f"{folder}/x.json")), np.float32).reshape(-1, 14, 10, 3)
found = {}
for name, library in (("net.h5", keras), ("net.keras", keras), ("net.h5", tf_keras)):
    net = library.models.load_model(f"{folder}/{name}")
    found[f"{name} in {library.__name__}"] = {
        "predictions": net.predict(x, verbose=0).tolist(),
        "optimizer": type(net.optimizer).__name__,
        "settings": {k: v for k, v in net.optimizer.get_config().items() if type(v) in (int, float)},
        "loss": getattr(net.loss, "__name__", net.loss),
    }
    # It can be trained on from there.
    net.fit(x, np.eye(4, dtype=np.float32)[[0, 1, 3]], epochs=1, verbose=0)
serve = tf.saved_model.load(f"{folder}/net").signatures["serving_default"]
found["net in tensorflow"] = {"predictions": serve(x=tf.constant(x))["outputs"].numpy().tolist()}
print(json.dumps(found))
`;

const Found = z.record(
  z.string(),
  z.object({
    predictions: z.array(z.array(z.number())),
    optimizer: z.string().optional(),
    settings: z.record(z.string(), z.number()).optional(),
    loss: z.string().optional(),
  }),
);

/** One of each kind of layer. */
function net(): TrainedModel {
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
    { type: 'batchNormalization', scale: false },
    { type: 'activation', activation: 'relu' },
    { type: 'averagePooling2d', poolSize: 2, strides: 1, padding: 'same' },
    { type: 'dropout', rate: 0.5 },
    { type: 'globalAveragePooling2d' },
    { type: 'dense', units: 7, activation: 'gelu', biasRegularizer: { l2: 0.3 } },
    { type: 'dense', units: 6, activation: 'swish', name: 'my_own' },
    { type: 'dense', units: 4, activation: 'softmax' },
  ].map((layer) => LayerSpec.parse(layer));
  const training = TrainingSpec.parse({
    epochs: 3,
    optimizer: { name: 'adamw', learningRate: 0.002, weightDecay: 0.01, beta1: 0.8 },
    clip: { norm: 1.5 },
    average: { momentum: 0.95 },
  });
  const plan = planModel({ layers }, { height: 14, width: 10, channels: 3 }, 4, training.loss);
  const weights = new Float32Array(plan.weightCount);
  initialWeights(plan, { seed: 1, repeat: 0 }, weights);
  weights.forEach((value, i) => {
    weights[i] = value + ((i * 7919) % 97) / 970;
  });
  return { plan, training, classes: ['a', 'b', 'c', 'd'], decoding: undefined, weights };
}

describe('a net that is exported', () => {
  let folder = '';
  let found: z.infer<typeof Found> = {};
  let expected = new Float32Array();
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'crossfold-keras-'));
    let python = process.env.CROSSFOLD_KERAS_PYTHON ?? '';
    if (python === '') {
      execFileSync('python3', ['-m', 'venv', join(folder, 'venv')]);
      python = join(folder, 'venv/bin/python');
      execFileSync(python, ['-m', 'pip', 'install', '--quiet', ...packages], {
        stdio: ['ignore', 'ignore', 'inherit'],
      });
    }
    const model = net();
    const x = Float32Array.from({ length: 3 * 420 }, (_, i) => ((i * 31) % 255) / 255);
    const predictor = new Predictor(tensorFlow(), model);
    expected = new Float32Array(predictor.predict(x));
    predictor.dispose();
    await writeFile(join(folder, 'x.json'), JSON.stringify([...x]));
    await writeKerasH5(join(folder, 'net.h5'), model);
    await writeKerasArchive(join(folder, 'net.keras'), model);
    await writeSavedModel(join(folder, 'net'), model);
    // Without the settings of the engine that runs in this very process.
    const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('TF_')));
    const out = execFileSync(python, ['-c', script, folder], {
      encoding: 'utf8',
      env,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    found = Found.parse(JSON.parse(out.trim().split('\n').at(-1) ?? ''));
  }, 600_000);
  afterAll(() => rm(folder, { recursive: true, force: true }));

  it.each(['net.h5 in keras', 'net.keras in keras', 'net.h5 in tf_keras', 'net in tensorflow'])(
    'predicts the same as %s',
    (name) => {
      const predictions = found[name]?.predictions.flat() ?? [];
      expect(predictions).toHaveLength(expected.length);
      predictions.forEach((value, i) => {
        expect(Math.abs(value - (expected[i] ?? Number.NaN))).toBeLessThan(1e-6);
      });
    },
  );

  it('brings its optimizer and loss along', () => {
    const settings = { learning_rate: expect.closeTo(0.002), beta_1: 0.8, global_clipnorm: 1.5 };
    // Keras 2 opens no file with AdamW or an average of the weights in it.
    for (const [name, optimizer] of [
      ['net.h5 in keras', 'Adam'],
      ['net.keras in keras', 'AdamW'],
      ['net.h5 in tf_keras', 'Adam'],
    ] as const)
      expect(found[name]).toMatchObject({ optimizer, settings, loss: 'categorical_crossentropy' });
    expect(found['net.keras in keras']?.settings).toMatchObject({ weight_decay: 0.01, ema_momentum: 0.95 });
  });
});
