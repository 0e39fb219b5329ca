import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import type { Experiment } from '@crossfold/shared/config/experiment';
import type { BlobStore } from '@crossfold/shared/data/blob-store';
import { sha256 } from '@crossfold/shared/data/digest';
import { ConfigError, CrossfoldError } from '@crossfold/shared/errors';
import { encodeModel } from '@crossfold/shared/model/model-file';

/**
 * An experiment that begins with a net of Keras' (`model: { h5: file }`), with its layers and the digest of its weights
 * filled in; any other as it is. Where the file is gone and both were filled in before, they stay.
 *
 * @param baseDir what a relative path is relative to
 * @throws ConfigError where the file is not there, or holds a net that cannot be had here
 */
export async function withStart(experiment: Experiment, baseDir: string): Promise<Experiment> {
  const { model } = experiment;
  if (!('h5' in model)) return experiment;
  const file = resolve(baseDir, model.h5);
  if (model.layers !== undefined && model.weights !== undefined && !existsSync(file)) return experiment;
  const { bytes, layers, image } = await readStart(file);
  return { ...experiment, model: { h5: file, image, layers, weights: { digest: sha256(bytes), bytes: bytes.length } } };
}

/**
 * Uploads the weights that an experiment begins with, where it begins with any.
 *
 * @throws ConfigError where the file has changed since the experiment was read
 */
export async function uploadStart({ model }: Experiment, blobs: BlobStore): Promise<void> {
  if (!('h5' in model) || model.weights === undefined || (await blobs.keep(model.weights.digest))) return;
  const { bytes } = await readStart(model.h5);
  if ((await blobs.put(bytes)) !== model.weights.digest)
    throw new ConfigError({ field: 'model.h5', value: model.h5, allowed: 'has changed since the experiment was read' });
}

async function readStart(file: string) {
  try {
    // Brings libraries that other experiments do without.
    const model = await (/\.keras$/i.test(file)
      ? (await import('@crossfold/worker/keras/archive')).readKerasArchive(file)
      : (await import('@crossfold/worker/keras/h5')).readKerasH5(file));
    const [height = 1, width = 1, channels = 1] = model.plan.inputShape;
    return {
      bytes: encodeModel(model),
      image: { height, width, channels },
      layers: model.plan.layers.map(({ name, spec }) => ({ ...spec, name })),
    };
  } catch (error) {
    if (!(error instanceof CrossfoldError)) throw error;
    throw new ConfigError({
      field: 'model.h5',
      value: file,
      allowed: error.message.replace(file, '').replace(/^:? /, ''),
    });
  }
}
