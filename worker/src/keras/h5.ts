import { open, rename, rm, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { ConfigError, DamagedDataError } from '@crossfold/shared/errors';
import type { TrainedModel } from '@crossfold/shared/model/model-file';
import type { Group } from 'h5wasm/node';
import h5wasm from 'h5wasm/node';
import { z } from 'zod';
import { kerasLayers, kerasModelConfig, kerasTrainingConfig, kerasVersion } from './config.ts';
import { endOf, headBytes, isHdf5, withH5File } from './open-h5.ts';
import type { Stored } from './saved-net.ts';
import { assemble, extrasName, extrasOf } from './saved-net.ts';

/**
 * Writes a net as Keras' HDF5 file, with its layers, weights, loss and optimizer's settings, for `load_model` of Keras 2
 * and 3. The file appears whole or not at all.
 */
export async function writeKerasH5(path: string, model: TrainedModel): Promise<void> {
  await h5wasm.ready;
  const aside = join(dirname(path), `.${basename(path)}.${process.pid}`);
  try {
    write(aside, model);
    await rename(aside, path);
  } catch (error) {
    await rm(aside, { force: true });
    throw error;
  }
}

function write(path: string, model: TrainedModel): void {
  const { plan, training, weights } = model;
  const layers = kerasLayers(plan);
  const file = new h5wasm.File(path, 'w');
  try {
    const version = (group: Group): void => {
      group.create_attribute('backend', 'tensorflow');
      group.create_attribute('keras_version', kerasVersion);
    };
    version(file);
    file.create_attribute('model_config', JSON.stringify(kerasModelConfig(layers)));
    file.create_attribute('training_config', JSON.stringify(kerasTrainingConfig(training)));
    file.create_attribute(extrasName, JSON.stringify(extrasOf(model)));
    const all = file.create_group('model_weights');
    version(all);
    // The input is no layer of a sequential net.
    const own = layers.slice(1).map(({ object, parameters }) => ({ name: String(object.config.name), parameters }));
    all.create_attribute(
      'layer_names',
      own.map(({ name }) => name),
    );
    for (const { name, parameters } of own) {
      const group = all.create_group(name);
      const names = parameters.map((parameter) => `${parameter.name}:0`);
      if (names.length === 0) group.create_attribute('weight_names', new Float64Array(0), [0]);
      else group.create_attribute('weight_names', names);
      const inner = parameters.length === 0 ? group : group.create_group(name);
      for (const { name: full, shape, offset, length } of parameters)
        inner.create_dataset({
          name: `${full.slice(full.lastIndexOf('/') + 1)}:0`,
          data: weights.slice(offset, offset + length),
          shape: [...shape],
        });
    }
  } finally {
    file.close();
  }
}

/**
 * Reads a net that Keras saved as HDF5 (`model.save('x.h5')`).
 *
 * @throws ConfigError where it is no such file, or holds a net that cannot be had here
 * @throws DamagedDataError where weights are missing or of another size
 */
export async function readKerasH5(path: string): Promise<TrainedModel> {
  await checkSignature(path);
  return withH5File(
    path,
    (file) => read(file, path),
    (cause) => new DamagedDataError(`${path} is damaged: it cannot be read as HDF5`, { cause }),
  );
}

async function checkSignature(path: string): Promise<void> {
  const cannot = (error: NodeJS.ErrnoException): never => {
    throw new ConfigError(`${path} ${error.code === 'ENOENT' ? 'is not there' : `cannot be read: ${error.message}`}`);
  };
  // A pipe would have to be waited for.
  if (!(await stat(path).catch(cannot)).isFile()) throw new ConfigError(`${path} is not a file`);
  const file = await open(path).catch(cannot);
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(headBytes), 0, headBytes, 0);
    if (!isHdf5(buffer.subarray(0, bytesRead)))
      throw new ConfigError(`${path} is no HDF5 file; Keras writes one with model.save('name.h5')`);
    const end = endOf(buffer);
    const { size } = await file.stat();
    if (end > BigInt(size)) throw new DamagedDataError(`${path} is cut off: it has ${size} of ${end} bytes`);
  } finally {
    await file.close();
  }
}

function read(file: Group, path: string): TrainedModel {
  const config = text(file, 'model_config');
  if (config === undefined)
    throw new ConfigError(`${path} has weights but no net; save it in Keras with model.save, not save_weights`);
  const layers = new Map<string, ReadonlyMap<string, Stored>>();
  return assemble(
    {
      config,
      training: text(file, 'training_config'),
      extras: JSON.parse(text(file, extrasName) ?? 'null'),
      stored(layer, parameter) {
        const own = layers.get(layer) ?? storedOf(file, layer, path);
        layers.set(layer, own);
        return own.get(parameter);
      },
    },
    path,
  );
}

/** The weights of a layer by the last part of their names. */
function storedOf(file: Group, layer: string, path: string): Map<string, Stored> {
  const group = file.get(`model_weights/${layer}`);
  const names =
    group instanceof h5wasm.Group
      ? z.array(z.string()).safeParse(group.get_attribute('weight_names', true))
      : undefined;
  if (!(group instanceof h5wasm.Group) || names === undefined || !names.success)
    throw new DamagedDataError(`${path} has no weights of layer ${layer}`);
  const stored = new Map<string, Stored>();
  for (const name of names.data) {
    const dataset = group.get(name);
    if (!(dataset instanceof h5wasm.Dataset)) throw new DamagedDataError(`${path} lacks ${name} of layer ${layer}`);
    const { value, shape } = dataset;
    if (!(value instanceof Float32Array) || shape === null)
      throw new DamagedDataError(`${path}: ${name} of layer ${layer} is not of float32 numbers`);
    stored.set(name.slice(name.lastIndexOf('/') + 1).replace(/:\d+$/, ''), { shape, data: value });
  }
  return stored;
}

function text(group: Group, name: string): string | undefined {
  if (!Object.hasOwn(group.attrs, name)) return undefined;
  const value = group.get_attribute(name, true);
  return typeof value === 'string' ? value : undefined;
}
