import { z } from 'zod';
import type { EvaluationSpec, NestedSpec } from '../config/evaluation.ts';
import { canonicalJson, sha256 } from '../data/digest.ts';
import { ConfigError } from '../errors.ts';
import { Digest } from '../jobs/records.ts';
import { keyedRandom } from '../rng.ts';
import { checkFolds } from './check.ts';
import type { Marks, PlainSpec } from './methods.ts';
import { split } from './methods.ts';
import type { SplitSamples } from './samples.ts';
import { groupsOf } from './samples.ts';

/** One split of the training samples; indices ascend and are the data set's own. */
export interface Fold {
  /** Unique within its repeat. */
  readonly fold: number;
  readonly repeat: number;
  /** Nested: the outer fold whose training samples this inner one splits. */
  readonly within?: number;
  readonly train: Uint32Array;
  readonly validation: Uint32Array;
}

/** Indices that all folds together may hold: what a document of some hundred megabytes has room for. */
export const maxIndices = 20_000_000;

/**
 * Splits an experiment's samples, once for all of its trials, and checks that nothing leaks. The same for everyone:
 * chance comes from (seed, repeat, "split") alone.
 *
 * @throws ConfigError where the samples cannot be split so
 */
export function makeFolds(evaluation: EvaluationSpec, samples: SplitSamples, seed: number): Fold[] {
  const field = 'evaluation';
  const count = samples.labels.length;
  let folds: Fold[];
  if (evaluation.method === 'nested') folds = nested(evaluation, samples, seed, field);
  else {
    const repeats = evaluation.method === 'repeated-kfold' ? evaluation.repeats : 1;
    folds = Array.from({ length: repeats }, (_, repeat) => {
      const key = evaluation.method === 'repeated-kfold' && !evaluation.resplit ? 0 : repeat;
      return plain(evaluation, samples, keyedRandom(seed, key, 'split'), field, { repeat, first: 0, times: repeats });
    }).flat();
  }
  const outer = evaluation.method === 'nested' ? evaluation.outer : evaluation;
  const groups = outer.method === 'group-kfold' ? groupsOf(samples, outer.groupBy, field) : undefined;
  if (evaluation.method === 'nested' && groups !== undefined) checkInner(evaluation, folds, groups, `${field}.inner`);
  checkFolds(folds, count, { partial: evaluation.method === 'predefined', groups });
  return folds;
}

/** What the outer split keeps together the inner one has to: not a fault of the split, but of what was asked for. */
function checkInner({ inner }: NestedSpec, folds: readonly Fold[], groups: readonly string[], field: string): void {
  for (const { within, train, validation } of folds) {
    if (within === undefined) continue;
    const trained = new Set(Array.from(train, (sample) => groups[sample]));
    const parted = validation.find((sample) => trained.has(groups[sample]));
    if (parted === undefined) continue;
    throw new ConfigError({
      field: `${field}.method`,
      value: inner.method,
      allowed: `must keep together what evaluation.outer does, and parts the group ${JSON.stringify(groups[parted])} (method: group-kfold, with the groupBy of evaluation.outer, does not)`,
    });
  }
}

/** Outer folds first, then those within the first of them, and so on. */
function nested({ outer, inner }: NestedSpec, samples: SplitSamples, seed: number, field: string): Fold[] {
  const perOuter = inner.method === 'holdout' ? 1 : inner.folds;
  const place = { repeat: 0, first: 0, times: 1 + perOuter };
  const outers = plain(outer, samples, keyedRandom(seed, 0, 'split'), `${field}.outer`, place);
  const inners = outers.flatMap(({ fold, train }, i) => {
    const random = keyedRandom(seed, 0, 'split', 'inner', fold);
    const place = { repeat: 0, first: outers.length + i * perOuter, within: fold, times: 1 };
    return plain(inner, subset(samples, train), random, `${field}.inner`, place, train);
  });
  return [...outers, ...inners];
}

interface Place {
  readonly repeat: number;
  /** Number of the first fold. */
  readonly first: number;
  readonly within?: number;
  /** How many such splits there are in all. */
  readonly times: number;
}

/**
 * The folds of one split.
 * @param indices the data set's index of each of `samples`; undefined: they are all of the data set
 */
function plain(
  spec: PlainSpec,
  samples: SplitSamples,
  random: ReturnType<typeof keyedRandom>,
  field: string,
  { repeat, first, within, times }: Place,
  indices?: Uint32Array,
): Fold[] {
  const { marks, splits } = split(spec, samples, random, field);
  checkSize(spec, splits * times, samples.labels.length, field);
  return Array.from({ length: splits }, (_, i) => ({
    fold: first + i,
    repeat,
    ...(within === undefined ? {} : { within }),
    ...sides(marks, i, indices),
  }));
}

function sides(
  marks: Marks['marks'],
  which: number,
  indices: Uint32Array | undefined,
): Pick<Fold, 'train' | 'validation'> {
  const train: number[] = [];
  const validation: number[] = [];
  marks.forEach((mark, i) => {
    (mark === which ? validation : train).push(indices === undefined ? i : (indices[i] ?? 0));
  });
  return { train: Uint32Array.from(train), validation: Uint32Array.from(validation) };
}

/** Some of the samples, as a set of their own. */
function subset(samples: SplitSamples, indices: Uint32Array): SplitSamples {
  const pick = (values: readonly string[]): string[] => Array.from(indices, (i) => values[i] ?? '');
  const { labels, classes, names, columns } = samples;
  return {
    labels: Int32Array.from(indices, (i) => labels[i] ?? 0),
    ...(classes === undefined ? {} : { classes }),
    names: names === undefined ? undefined : pick(names),
    columns:
      columns === undefined
        ? undefined
        : Object.fromEntries(Object.entries(columns).map(([name, values]) => [name, pick(values)])),
  };
}

function checkSize(spec: PlainSpec, folds: number, samples: number, field: string): void {
  if (folds * samples <= maxIndices) return;
  const [what, value] = 'folds' in spec ? ['folds', String(spec.folds)] : ['method', spec.method];
  throw new ConfigError({
    field: `${field}.${what}`,
    value,
    allowed: `makes ${folds} folds of ${samples} samples, more than can be written down (folds x samples up to ${maxIndices}); fewer folds, or fewer samples (dataset.limit)`,
  });
}

const Indices = z.array(z.int().min(0).max(0xffffffff)).readonly();

const FoldDocument = z
  .strictObject({
    fold: z.int().min(0),
    /** Left out where there is one repeat only. */
    repeat: z.int().min(0).optional(),
    /** Nested: the outer fold whose training samples this inner one splits. */
    within: z.int().min(0).optional(),
    train: Indices,
    validation: Indices,
  })
  .readonly();

/** `folds.json`. */
export const FoldsDocument = z
  .strictObject({ digest: Digest, folds: z.array(FoldDocument).min(1).readonly() })
  .readonly();
export type FoldsDocument = z.infer<typeof FoldsDocument>;

/**
 * The folds as they are written down. The digest is the SHA-256 of the canonical JSON (keys in order, no white space)
 * of `folds`; in Python: `sha256(json.dumps(d['folds'], sort_keys=True, separators=(',', ':')).encode()).hexdigest()`.
 */
export function foldsDocument(folds: readonly Fold[]): FoldsDocument {
  const repeated = folds.some(({ repeat }) => repeat > 0);
  const written = folds.map(({ fold, repeat, within, train, validation }) => ({
    fold,
    ...(repeated ? { repeat } : {}),
    ...(within === undefined ? {} : { within }),
    train: Array.from(train),
    validation: Array.from(validation),
  }));
  return { digest: sha256(canonicalJson(written)), folds: written };
}
