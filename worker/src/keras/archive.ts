import { mkdtemp, open, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { ConfigError, CrossfoldError, DamagedDataError } from '@crossfold/shared/errors';
import type { TrainedModel } from '@crossfold/shared/model/model-file';
import { unzipSync, zipSync } from 'fflate';
import type { Group } from 'h5wasm/node';
import h5wasm from 'h5wasm/node';
import { z } from 'zod';
import { kerasLayers } from './config.ts';
import { archiveConfig, archiveVersion } from './config3.ts';
import { endOf, headBytes, isHdf5, withH5File } from './open-h5.ts';
import type { Stored } from './saved-net.ts';
import { assemble, extrasName, extrasOf } from './saved-net.ts';
import { checksumsOf, matches } from './zip-checksums.ts';

/** Keras 3's own format: a ZIP archive of the net's description, something about the file, and the weights as HDF5. */
const names = { config: 'config.json', metadata: 'metadata.json', weights: 'model.weights.h5' } as const;

const maxBytes = 2 ** 31 - 1;
/** Descriptions have some kilobytes. */
const maxTextBytes = 2 ** 24;
/** Keras packs without compressing. All of an archive together may be so many times as long as its file, and this more. */
const maxGrowth = { times: 8, more: 2 ** 26 };

/**
 * Writes a net as Keras 3's `.keras` file, with its layers, weights, loss and optimizer's settings. The file appears
 * whole or not at all.
 */
export async function writeKerasArchive(path: string, model: TrainedModel): Promise<void> {
  await h5wasm.ready;
  const aside = join(dirname(path), `.${basename(path)}.${process.pid}`);
  try {
    writeWeights(aside, model);
    const json = (value: unknown): Uint8Array => Buffer.from(JSON.stringify(value));
    const archive = zipSync(
      {
        [names.metadata]: json({ keras_version: archiveVersion, [extrasName]: extrasOf(model) }),
        [names.config]: json(archiveConfig(model.plan, model.training)),
        [names.weights]: await readFile(aside),
      },
      // As Keras does: weights hardly become smaller.
      { level: 0 },
    );
    await writeFile(aside, archive);
    await rename(aside, path);
  } catch (error) {
    await rm(aside, { force: true });
    throw error;
  }
}

function writeWeights(path: string, { plan, weights }: TrainedModel): void {
  const layers = kerasLayers(plan).slice(1);
  const places = placesOf(layers.map(({ object }) => object.class_name));
  const file = new h5wasm.File(path, 'w');
  try {
    const all = file.create_group('layers');
    layers.forEach(({ object, parameters }, i) => {
      const own = all.create_group(places[i] ?? '').create_group('vars');
      own.create_attribute('name', String(object.config.name));
      parameters.forEach(({ shape, offset, length }, n) => {
        own.create_dataset({ name: String(n), data: weights.slice(offset, offset + length), shape: [...shape] });
      });
    });
  } finally {
    file.close();
  }
}

/** Where the weights of layers lie: a folder for each, by its kind, which is numbered from the second on. */
function placesOf(classNames: readonly string[]): string[] {
  const used = new Map<string, number>();
  return classNames.map((name) => {
    const snake = snakeCase(name);
    const before = used.get(snake) ?? 0;
    used.set(snake, before + 1);
    return before === 0 ? snake : `${snake}_${before}`;
  });
}

/** Keras' `to_snake_case`. */
const snakeCase = (name: string): string =>
  name
    .replaceAll(/\W+/g, '')
    .replaceAll(/(.)([A-Z][a-z]+)/g, '$1_$2')
    .replaceAll(/([a-z])([A-Z])/g, '$1_$2')
    .toLowerCase();

const KerasObject = z.object({ class_name: z.string(), config: z.record(z.string(), z.unknown()) });
const Net = z.object({
  class_name: z.string(),
  config: z.object({ layers: z.array(KerasObject).max(2000) }),
  compile_config: z.object({ loss: z.unknown().optional(), optimizer: z.unknown().optional() }).nullish(),
});

/**
 * Reads a net that Keras 3 saved as `.keras`.
 *
 * @throws ConfigError where it is no such file, or holds a net that cannot be had here
 * @throws DamagedDataError where it is damaged
 */
export async function readKerasArchive(path: string): Promise<TrainedModel> {
  const { config, metadata, weights } = await unzip(path);
  const parsed = Net.safeParse(parse(config));
  if (!parsed.success) throw new ConfigError(`${path} has a ${names.config} that is not of a net of Keras 3`);
  const net = parsed.data;
  const layers = net.config.layers.filter(
    ({ class_name }) => net.class_name !== 'Sequential' || class_name !== 'InputLayer',
  );
  const places = placesOf(layers.map(({ class_name }) => class_name));
  const placeOf = new Map(layers.map(({ class_name, config: own }, i) => [String(own.name ?? class_name), places[i]]));
  const folder = await mkdtemp(join(tmpdir(), 'crossfold-keras-'));
  try {
    const inner = join(folder, names.weights);
    await writeFile(inner, weights);
    const { compile_config: compiled } = net;
    const saved = {
      config,
      training: compiled ? JSON.stringify({ loss: compiled.loss, optimizer_config: compiled.optimizer }) : undefined,
      extras: z.record(z.string(), z.unknown()).catch({}).parse(parse(metadata))[extrasName],
    };
    return await withH5File(
      inner,
      (file: Group) =>
        assemble(
          {
            ...saved,
            stored: (layer, _, place) => storedOf(file, `layers/${placeOf.get(layer)}/vars/${place}`, path),
          },
          path,
        ),
      (cause) => new DamagedDataError(`${path} is damaged: its ${names.weights} cannot be read as HDF5`, { cause }),
    );
  } finally {
    await rm(folder, { recursive: true });
  }
}

function storedOf(file: Group, place: string, path: string): Stored | undefined {
  const dataset = file.get(place);
  if (!(dataset instanceof h5wasm.Dataset)) return undefined;
  const { value, shape } = dataset;
  if (!(value instanceof Float32Array) || shape === null)
    throw new DamagedDataError(`${path}: ${place} is not of float32 numbers`);
  return { shape, data: value };
}

/** The parts of an archive; nothing else in it is looked at. */
async function unzip(path: string): Promise<{ config: string; metadata: string; weights: Uint8Array }> {
  const bytes = await readArchive(path);
  const wanted: readonly string[] = Object.values(names);
  let found: Record<string, Uint8Array>;
  // What an archive says of its parts is taken for memory before they are unpacked; one part may be listed many times.
  let left = Math.min(maxBytes, maxGrowth.times * bytes.length + maxGrowth.more);
  try {
    found = unzipSync(bytes, {
      filter({ name, originalSize }) {
        if (!wanted.includes(name)) return false;
        left -= originalSize;
        if (left < 0 || (name !== names.weights && originalSize > maxTextBytes))
          throw new ConfigError(
            `${path}: ${name} unpacks to ${originalSize} bytes, more than there can be in this file`,
          );
        return true;
      },
    });
  } catch (error) {
    if (error instanceof CrossfoldError) throw error;
    throw new DamagedDataError(`${path} is damaged: it cannot be unpacked`, { cause: error });
  }
  const checksums = checksumsOf(bytes);
  for (const [name, part] of Object.entries(found)) {
    const checksum = checksums.get(name);
    if (checksum !== undefined && !matches(part, checksum))
      throw new DamagedDataError(`${path} is damaged: its ${name} is not what its checksum says`);
  }
  const { [names.config]: config, [names.metadata]: metadata, [names.weights]: weights } = found;
  if (config === undefined || weights === undefined)
    throw new ConfigError(
      `${path} has no ${config === undefined ? names.config : names.weights}; Keras 3 writes one with model.save('name.keras')`,
    );
  const head = Buffer.from(weights.subarray(0, headBytes));
  if (!isHdf5(head) || endOf(head) > BigInt(weights.length))
    throw new DamagedDataError(`${path} is damaged: its ${names.weights} cannot be read as HDF5`);
  return { config: textOf(config), metadata: textOf(metadata ?? new Uint8Array()), weights };
}

async function readArchive(path: string): Promise<Uint8Array> {
  try {
    const found = await stat(path);
    // A pipe would have to be waited for.
    if (!found.isFile()) throw new ConfigError(`${path} is not a file`);
    const { size } = found;
    if (size > maxBytes) throw new ConfigError(`${path} has ${size} bytes, more than a model may have`);
    const file = await open(path);
    try {
      const { buffer, bytesRead } = await file.read(Buffer.alloc(4), 0, 4, 0);
      if (bytesRead < 4 || buffer.toString('latin1') !== 'PK\x03\x04')
        throw new ConfigError(`${path} is no .keras file; Keras 3 writes one with model.save('name.keras')`);
      return await file.readFile();
    } finally {
      await file.close();
    }
  } catch (error) {
    if (error instanceof CrossfoldError) throw error;
    const { code, message } = error as NodeJS.ErrnoException;
    throw new ConfigError(`${path} ${code === 'ENOENT' ? 'is not there' : `cannot be read: ${message}`}`);
  }
}

const textOf = (bytes: Uint8Array): string => Buffer.from(bytes).toString('utf8');

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
