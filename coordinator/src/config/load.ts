import { existsSync } from 'node:fs';
import { basename, dirname, extname, join, resolve } from 'node:path';
import { Experiment } from '@crossfold/shared/config/experiment';
import type { ConfigProblem } from '@crossfold/shared/errors';
import { ConfigError } from '@crossfold/shared/errors';
import { stringify } from 'yaml';
import { withStart } from '../models/start-model.ts';
import { readUpTo } from '../read-file.ts';
import { isProblem } from '../search/space.ts';
import { makeTrials } from '../search/trials.ts';
import { checked, placeOf } from './check.ts';
import type { Problem } from './issues.ts';
import { parseOverride } from './overrides.ts';
import { isRecord } from './schema.ts';
import { maxBytes, parseSource } from './yaml.ts';

export interface LoadedExperiment {
  readonly experiment: Experiment;
  /** The file's folder: what relative paths in the experiment are relative to. */
  readonly baseDir: string;
  /** Where a field stands, for messages. */
  readonly at: (field: string) => Pick<ConfigProblem, 'file' | 'line'>;
}

/**
 * Reads an experiment file.
 * @param overrides `path=value`, applied in order before the file is checked
 * @throws ConfigError for anything wrong with file or overrides: one line that names the field, its value, what is
 * allowed, and where it stands
 */
export async function loadExperiment(file: string, overrides: readonly string[] = []): Promise<LoadedExperiment> {
  const sets = overrides.map(parseOverride);
  const source = parseSource(await readText(file), file);
  if (source.value === null || source.value === undefined)
    throw new ConfigError(`${file} is empty: an experiment needs at least dataset, model and training`);
  const named = isRecord(source.value) ? { name: nameFrom(file), ...source.value } : source.value;
  const experiment = checked(Experiment, { ...source, value: named }, file, sets, problemOfTrials);
  const baseDir = dirname(resolve(file));
  const at = (field: string) => placeOf(source, file, sets, field.split('.'));
  return { experiment: await withStart(experiment, baseDir), baseDir, at };
}

/**
 * Checks an experiment that is there as a value, as `loadExperiment` checks a file.
 * @param baseDir what relative paths in the experiment are relative to
 * @param overrides as of `loadExperiment`
 * @throws ConfigError for the first thing that is wrong
 */
export async function checkExperiment(
  value: unknown,
  baseDir: string,
  overrides: readonly string[] = [],
): Promise<LoadedExperiment> {
  const source = { value, lineOf: () => undefined };
  const experiment = checked(Experiment, source, 'the experiment', overrides.map(parseOverride), problemOfTrials);
  return { experiment: await withStart(experiment, baseDir), baseDir, at: () => ({}) };
}

function problemOfTrials(experiment: Experiment): Problem | undefined {
  // The layers of a net of Keras' are not known yet; with the data set's images they are looked at later.
  if ('h5' in experiment.model && experiment.model.layers === undefined) return undefined;
  const trials = makeTrials(experiment);
  return isProblem(trials) ? trials : undefined;
}

/**
 * The experiment with the paths of its data written out from the root, so that it can be run from anywhere.
 * @param baseDir what its paths are relative to
 */
export function rooted(experiment: Experiment, baseDir: string): Experiment {
  const { path, table, ...rest } = experiment.dataset;
  const dataset = {
    ...rest,
    ...(path === undefined ? {} : { path: resolve(baseDir, path) }),
    ...(table === undefined ? {} : { table: resolve(baseDir, table) }),
  };
  return { ...experiment, dataset };
}

/** The experiment as YAML, with every default written out; loading it gives the same experiment. */
export function resolvedYaml(experiment: Experiment): string {
  return stringify(experiment, { lineWidth: 120, aliasDuplicateObjects: false });
}

async function readText(file: string): Promise<string> {
  const inside = join(file, 'experiment.yaml');
  const hint = existsSync(inside)
    ? `its experiment is ${inside}`
    : 'name an experiment file, as in crossfold run examples/mnist-kfold.yaml';
  // A shell may hand a pipe over.
  const bytes = await readUpTo(file, maxBytes, (why) => new ConfigError(`${file}: ${why}; ${hint}`));
  return bytes.toString('utf8');
}

/** A name from a file's name: `My experiment.yaml` is `My-experiment`. */
function nameFrom(file: string): string {
  const stem = basename(file, extname(file)).replace(/[^A-Za-z0-9_-]+/g, '-');
  return stem.replace(/^[-_]+/, '').slice(0, 64) || 'experiment';
}
