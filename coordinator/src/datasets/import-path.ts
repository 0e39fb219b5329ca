import { basename, dirname, resolve } from 'node:path';
import { builtInDataset, DatasetSpec } from '@crossfold/shared/config/dataset';
import type { DatasetRecord } from '@crossfold/shared/data/dataset-record';
import { ConfigError } from '@crossfold/shared/errors';
import { z } from 'zod';
import { checked } from '../config/check.ts';
import { isRecord } from '../config/schema.ts';
import { maxBytes, parseSource } from '../config/yaml.ts';
import { readUpTo } from '../read-file.ts';
import type { ImportOptions } from './import-dataset.ts';
import { importDataset } from './import-dataset.ts';
import type { DatasetLibrary } from './library.ts';
import { localFolder } from './local-library.ts';

/** What of a path is to be imported, and how. Each comes before what a file says of it. */
export interface WhatToImport {
  /** The folder's or file's name where not given. */
  readonly name?: string;
  /** Of pictures: the size to bring them to. */
  readonly image?: { readonly height: number; readonly width: number; readonly channels?: number };
  /** The first so many training samples, or, of pictures, of each class. */
  readonly limit?: number;
  readonly perClass?: number;
  /** A CSV file that says more about the samples. */
  readonly table?: string;
  /** Of pictures: leave out those that cannot be used, and list them. */
  readonly skipUnusable?: boolean;
}

export interface HowToImport extends Pick<ImportOptions, 'now' | 'onProgress' | 'signal'> {
  readonly env: NodeJS.ProcessEnv;
}

/**
 * Imports what lies at a path: a folder of pictures (one folder a class), a folder of IDX files, `mnist`, or a YAML file
 * with a data set in it, such as an experiment.
 *
 * @throws ConfigError as `importDataset`
 */
export async function importPath(
  path: string,
  what: WhatToImport,
  library: DatasetLibrary,
  { env, ...how }: HowToImport,
): Promise<DatasetRecord> {
  const { spec, baseDir } = await specOf(path, what);
  const name = what.name ?? defaultName(path, spec);
  const source = path === builtInDataset ? path : resolve(path);
  try {
    return await importDataset(spec, library, { ...how, name, baseDir, source, scratch: localFolder(env) });
  } catch (error) {
    throw inOptions(error);
  }
}

/** The same error in words of the options, which is all that there is here. */
function inOptions(error: unknown): unknown {
  if (!(error instanceof ConfigError) || !/^dataset\.image: is missing;/.test(error.message)) return error;
  return new ConfigError({
    field: '--image',
    allowed:
      'is missing; a data set of pictures needs the size to bring them to, height x width, as in --image 150x150',
  });
}

function defaultName(path: string, { name }: DatasetSpec): string {
  if (name !== undefined)
    throw new ConfigError({
      field: '--name',
      allowed: `is missing; ${name} itself is built in: a part of it needs another name, as in --name some-${name}`,
    });
  return basename(resolve(path)).replace(/\.ya?ml$/, '');
}

const File = z.looseObject({ dataset: DatasetSpec });

/** The data set that a path, or a file, and the options describe. */
async function specOf(path: string, options: WhatToImport): Promise<{ spec: DatasetSpec; baseDir: string }> {
  const own = {
    ...(options.image === undefined ? {} : { image: options.image }),
    ...(options.limit === undefined ? {} : { limit: options.limit }),
    ...(options.perClass === undefined ? {} : { perClass: options.perClass }),
    ...(options.table === undefined ? {} : { table: resolve(options.table) }),
    ...(options.skipUnusable === true ? { onError: 'skip' } : {}),
  };
  if (!/\.ya?ml$/.test(path)) {
    const dataset = path === builtInDataset ? { name: path } : { path };
    const source = { value: { dataset: { ...dataset, ...own } }, lineOf: () => undefined };
    return { spec: checked(File, source, path).dataset, baseDir: '.' };
  }
  const text = await readUpTo(path, maxBytes, (why) => new ConfigError(`${path}: ${why}`));
  const { value, lineOf } = parseSource(text.toString('utf8'), path);
  const inside = isRecord(value) && 'dataset' in value;
  const dataset = inside ? value.dataset : value;
  const source = {
    value: { dataset: isRecord(dataset) ? { ...dataset, ...own } : dataset },
    lineOf: (at: readonly PropertyKey[]) => lineOf(inside ? at : at.slice(1)),
  };
  const spec = checked(File, source, path).dataset;
  if (spec.name !== undefined && spec.name !== builtInDataset)
    throw new ConfigError({
      field: 'dataset.name',
      value: spec.name,
      allowed: 'has been imported already',
      file: path,
    });
  return { spec, baseDir: dirname(resolve(path)) };
}
