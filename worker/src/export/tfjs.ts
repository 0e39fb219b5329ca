import type { TrainedModel } from '@crossfold/shared/model/model-file';
import { kerasLayers, kerasModelConfig, kerasTrainingConfig, kerasVersion } from '../keras/config.ts';
import { writeFolder } from './write-folder.ts';

/** Browsers keep files of this size in their cache. */
const shardBytes = 4 * 1024 * 1024;

/** Writes a net as TensorFlow.js reads it (`tf.loadLayersModel`): `model.json`, and its weights in shards of 4 MiB. */
export async function writeTfjs(folder: string, model: TrainedModel): Promise<void> {
  const { plan, training, weights } = model;
  const bytes = new Uint8Array(weights.buffer, weights.byteOffset, weights.byteLength);
  const shards = Math.max(1, Math.ceil(bytes.length / shardBytes));
  const names = Array.from({ length: shards }, (_, i) => `group1-shard${i + 1}of${shards}.bin`);
  const document = {
    format: 'layers-model',
    generatedBy: 'Crossfold',
    convertedBy: null,
    modelTopology: {
      keras_version: kerasVersion,
      backend: 'tensorflow',
      model_config: kerasModelConfig(kerasLayers(plan)),
      training_config: kerasTrainingConfig(training),
    },
    weightsManifest: [
      { paths: names, weights: plan.parameters.map(({ name, shape }) => ({ name, shape, dtype: 'float32' })) },
    ],
    userDefinedMetadata: {
      classes: model.classes,
      ...(model.decoding === undefined ? {} : { decoding: model.decoding }),
    },
  };
  const files: Record<string, Uint8Array | string> = { 'model.json': `${JSON.stringify(document)}\n` };
  names.forEach((name, i) => {
    files[name] = bytes.subarray(i * shardBytes, (i + 1) * shardBytes);
  });
  await writeFolder(folder, files);
}
