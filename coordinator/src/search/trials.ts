import { Experiment } from '@crossfold/shared/config/experiment';
import { canonicalJson, sha256 } from '@crossfold/shared/data/digest';
import type { ImageShape } from '@crossfold/shared/data/manifest';
import { ConfigError } from '@crossfold/shared/errors';
import { planModel } from '@crossfold/shared/model/plan';
import { presetLayers } from '@crossfold/shared/model/presets';
import type { Path, Problem } from '../config/issues.ts';
import { parseOptions, problemsOf, show, valueAt } from '../config/issues.ts';
import { isRecord, knownKeys, tagsAt } from '../config/schema.ts';
import { imageShapeOf } from '../data/image-shape.ts';
import type { Parameters } from './space.ts';
import { isProblem, trialParameters } from './space.ts';

/** One configuration of an experiment. */
export interface Trial {
  readonly trial: number;
  readonly parameters: Parameters;
  /** The experiment with the parameters applied, and without its search: what the trial's jobs compute. */
  readonly experiment: Experiment;
}

/**
 * The trials of an experiment whose data set is known, each with a net that takes its images.
 *
 * @param image the data set's own shape; of pictures, trials may have others
 * @throws ConfigError naming the parameter, or the trial, that is wrong
 */
export function fittingTrials(experiment: Experiment, image: ImageShape, classes: number): Trial[] {
  const trials = makeTrials(experiment, classes);
  if (isProblem(trials)) throw new ConfigError({ ...trials, field: trials.path.map(String).join('.') });
  for (const { trial, parameters, experiment: own } of trials)
    try {
      planModel(own.model, imageShapeOf(own.dataset, image), classes, own.training.loss);
    } catch (error) {
      if (!(error instanceof ConfigError) || Object.keys(parameters).length === 0) throw error;
      throw new ConfigError(`trial ${trial} (${describe(parameters)}): ${error.message}`);
    }
  return trials;
}

/** What trials may differ in: all else they share, so that they can be compared. */
const searchable = ['model', 'training', 'augment', 'seed'];
/** Of `dataset.image`, too: the pictures, and so the samples and their split, are the same. */
const searchableOfImages = ['height', 'width', 'channels', 'fit', 'kernel'];
/** What of it decides which pictures can be used, or how they are kept. */
const sharedOfImages = ['maxPixels', 'store'] as const;

/**
 * The trials of an experiment, each checked against the schema before anything starts.
 *
 * @param classes number of classes of the data set, where it is known; presets' last layers follow from it
 * @returns what is wrong with the search, naming the parameter
 */
export function makeTrials(experiment: Experiment, classes = 10): Trial[] | Problem {
  const { search, ...base } = experiment;
  if (search === undefined) {
    if (experiment.evaluation.method !== 'nested') return [{ trial: 0, parameters: {}, experiment }];
    return {
      path: ['evaluation', 'method'],
      value: 'nested',
      allowed: 'needs a search: the inner folds are there to choose between configurations; without one, use kfold',
    };
  }
  const wrong = Object.keys(search.parameters)
    .map((name) => checkPath(name, experiment))
    .find((problem) => problem);
  if (wrong !== undefined) return wrong;
  const parameters = trialParameters(search, experiment.seed);
  if (isProblem(parameters)) return parameters;
  const trials: Trial[] = [];
  const seen = new Map<string, number>();
  for (const [trial, values] of parameters.entries()) {
    const applied = applyParameters(base, values, trial, classes);
    if (isProblem(applied)) return applied;
    const unlike = unlikeImages(experiment, applied, values, trial);
    if (unlike !== undefined) return unlike;
    const digest = sha256(canonicalJson(applied));
    const twin = seen.get(digest);
    if (twin !== undefined)
      return {
        path: ['search', 'parameters'],
        allowed: `make the same configuration twice, as trials ${twin} (${describe(parameters[twin] ?? {})}) and ${trial} (${describe(values)})`,
      };
    seen.set(digest, trial);
    trials.push({ trial, parameters: values, experiment: applied });
  }
  return trials;
}

const describe = (parameters: Parameters): string =>
  Object.entries(parameters)
    .map(([path, value]) => `${path}=${show(value)}`)
    .join(', ');

const problem = (name: string, allowed: string, value?: unknown): Problem => ({
  path: ['search', 'parameters', name],
  ...(value === undefined ? {} : { value: show(value) }),
  allowed,
});

function checkPath(name: string, { search, dataset }: Experiment): Problem | undefined {
  const [root = '', second, third, ...rest] = name.split('.');
  if (root === 'dataset' && second === 'image') {
    if (rest.length > 0 || (third !== undefined && !searchableOfImages.includes(third)))
      return problem(name, `cannot be searched: of dataset.image ${listOf(searchableOfImages)} can, or all of it`);
    if (dataset.image === undefined)
      return problem(
        name,
        'cannot be searched here: must be of a data set of pictures, a folder with dataset.image; others have their own size',
      );
    return undefined;
  }
  if (!searchable.includes(root))
    return problem(
      name,
      `cannot be searched: must be a field below model, training, augment or dataset.image, or seed; trials share ${root === 'evaluation' || root === 'dataset' ? 'the samples and their split' : 'all else'} so that they can be compared`,
    );
  if (name === 'training.epochs' && search?.method === 'halving')
    return problem(name, 'cannot be searched by halving, which decides on epochs itself');
  return undefined;
}

const listOf = (names: readonly string[]): string => `${names.slice(0, -1).join(', ')} and ${names.at(-1)}`;

/** Where a trial's pictures would not be the same ones as the others'. */
function unlikeImages(
  { dataset: { image: own } }: Experiment,
  { dataset: { image } }: Experiment,
  values: Parameters,
  trial: number,
): Problem | undefined {
  if (own === undefined) return undefined;
  const name = 'dataset.image';
  if (image === undefined) return problem(name, `must be there in every trial (trial ${trial})`, null);
  const other = sharedOfImages.find((field) => image[field] !== own[field]);
  if (other === undefined) return undefined;
  const allowed = `${other} is ${show(image[other])}: must be ${show(own[other])}, as it is in dataset.image, in every trial (trial ${trial})`;
  return problem(name, allowed, values[name]);
}

/**
 * The experiment with a trial's parameters in their places, as if they had been written there:
 * - a field that chooses a kind (`training.optimizer.name`, a layer's `type`) takes along the fields that both kinds
 *   have; those that only the old one has go
 * - a path into a preset's layers turns the preset into its layers
 * - `null` takes the field, or the layer, away
 */
function applyParameters(
  base: Omit<Experiment, 'search'>,
  parameters: Parameters,
  trial: number,
  classes: number,
): Experiment | Problem {
  let value: unknown = base;
  // What is nearer the root first: { training.optimizer: ..., training.optimizer.learningRate: ... }.
  const entries = Object.entries(parameters)
    .map(([name, set]) => ({ name, path: name.split('.'), set }))
    .sort((a, b) => a.path.length - b.path.length);
  for (const entry of entries) {
    if (entry.set === null) continue;
    value = withLayers(value, entry.path, classes);
    const next = setAt(value, entry.path, entry.set);
    if (typeof next === 'string') return problem(entry.name, `${next} (trial ${trial})`);
    value = next.value;
  }
  value = entries.reduce((all, { path, set }) => (set === null ? all : forgetOtherKinds(all, path, parameters)), value);
  // Entries of lists from the last to the first, so that none moves before its turn.
  for (const { name, path } of entries.filter(({ set }) => set === null).sort((a, b) => comparePaths(b.path, a.path))) {
    value = withLayers(value, path, classes);
    const next = removeAt(value, path);
    if (typeof next === 'string') return problem(name, `${next} (trial ${trial})`);
    value = next.value;
  }
  const parsed = Experiment.safeParse(value, parseOptions);
  if (parsed.success) return parsed.data;
  const [wrong] = problemsOf(Experiment, value, parsed.error.issues);
  if (wrong === undefined) throw parsed.error;
  return blame(wrong, entries, trial);
}

interface Entry {
  readonly name: string;
  readonly path: readonly string[];
  readonly set: unknown;
}

/** Puts what is wrong with a trial's experiment down to the parameter that lies there. */
function blame(wrong: Problem, entries: readonly Entry[], trial: number): Problem {
  const related = (path: readonly string[]): boolean => {
    const shared = Math.min(path.length, wrong.path.length);
    return path.slice(0, shared).every((key, i) => String(wrong.path[i]) === key);
  };
  const at = wrong.path.map(String).join('.');
  const culprit = entries.toReversed().find(({ path }) => related(path));
  if (culprit === undefined) {
    const values = describe(Object.fromEntries(entries.map(({ name, set }) => [name, set])));
    return {
      path: ['search', 'parameters'],
      allowed: `do not go together in trial ${trial} (${values}): ${at}${wrong.value === undefined ? '' : ` is ${wrong.value}`}: ${wrong.allowed}`,
    };
  }
  const inside = at === culprit.name ? '' : `${at}${wrong.value === undefined ? '' : ` is ${wrong.value}`}: `;
  return problem(culprit.name, `${inside}${wrong.allowed} (trial ${trial})`, culprit.set);
}

/** Where a path leads into the layers of a net that is given by a preset: the net by its layers. */
function withLayers(value: unknown, path: readonly string[], classes: number): unknown {
  if (path[0] !== 'model' || path[1] !== 'layers' || path.length < 3) return value;
  const { model } = value as Experiment;
  if (!('preset' in model)) return value;
  return { ...(value as Experiment), model: { layers: presetLayers(model.preset, classes) } };
}

/** A copy with the value set, or why it cannot be. Mappings on the way are made where they are missing. */
function setAt(value: unknown, path: readonly string[], set: unknown): { readonly value: unknown } | string {
  const [head, ...rest] = path;
  if (head === undefined) return { value: set };
  if (Array.isArray(value)) {
    const index = indexIn(value, head);
    if (typeof index === 'string') return index;
    const inner = setAt(value[index], rest, set);
    return typeof inner === 'string' ? inner : { value: value.with(index, inner.value) };
  }
  if (value !== undefined && !isRecord(value)) return `there is nothing below a ${typeof value} (before .${head})`;
  const inner = setAt(value?.[head], rest, set);
  return typeof inner === 'string' ? inner : { value: { ...value, [head]: inner.value } };
}

/** A copy without what lies at the path, or why there is nothing. */
function removeAt(value: unknown, path: readonly string[]): { readonly value: unknown } | string {
  const [head = '', ...rest] = path;
  if (Array.isArray(value)) {
    const index = indexIn(value, head);
    if (typeof index === 'string') return index;
    if (rest.length === 0) return { value: value.toSpliced(index, 1) };
    const inner = removeAt(value[index], rest);
    return typeof inner === 'string' ? inner : { value: value.with(index, inner.value) };
  }
  if (!isRecord(value) || !Object.hasOwn(value, head)) return { value };
  if (rest.length === 0) {
    const { [head]: _, ...others } = value;
    return { value: others };
  }
  const inner = removeAt(value[head], rest);
  return typeof inner === 'string' ? inner : { value: { ...value, [head]: inner.value } };
}

function indexIn(list: readonly unknown[], key: string): number | string {
  const index = Number(key);
  return /^\d+$/.test(key) && index < list.length
    ? index
    : `${key} is not one of the list's entries 0 to ${list.length - 1}`;
}

/** Where a path has chosen another kind of thing: without the fields that the new kind does not know. */
function forgetOtherKinds(value: unknown, path: readonly string[], parameters: Parameters): unknown {
  const parent = path.slice(0, -1);
  const tag = path.at(-1) ?? '';
  const object = valueAt(value, parent as Path);
  if (!isRecord(object) || !tagsAt(Experiment, value, parent).includes(tag)) return value;
  const known = new Set(knownKeys(Experiment, value, parent));
  const kept = Object.fromEntries(
    // What the search itself asks for stays, to be refused by name.
    Object.entries(object).filter(([key]) => known.has(key) || [...parent, key].join('.') in parameters),
  );
  const next = setAt(value, parent, kept);
  return typeof next === 'string' ? value : next.value;
}

/** By place, entries of lists by number. */
function comparePaths(a: readonly string[], b: readonly string[]): number {
  for (let i = 0; i < Math.max(a.length, b.length); i++) {
    const [x = '', y = ''] = [a[i], b[i]];
    if (x !== y) return /^\d+$/.test(x) && /^\d+$/.test(y) ? Number(x) - Number(y) : x < y ? -1 : 1;
  }
  return 0;
}
