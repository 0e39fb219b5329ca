import type { GroupKFoldSpec } from '../config/evaluation.ts';
import { ConfigError } from '../errors.ts';
import type { KeyedRandom } from '../rng.ts';

/** Samples of one group: their indices, ascending, and how many there are of each class. */
interface Group {
  readonly members: number[];
  readonly counts: number[];
}

/**
 * The fold that each sample is validated in where no group may be parted. scikit-learn's `GroupKFold` and
 * `StratifiedGroupKFold` (1.9.1), the same to the sample where nothing is shuffled, but for ties between groups that are
 * as evenly made up: there they are broken by how a floating-point number was rounded, here by name.
 *
 * @param groups name of each sample's group
 * @param random undefined: nothing is shuffled
 * @throws ConfigError where there are fewer groups than folds, or a fold would be left without any, or stratified every
 * class has fewer samples than there are folds
 */
export function groupKFold(
  { folds, stratified }: Pick<GroupKFoldSpec, 'folds' | 'stratified'>,
  labels: ArrayLike<number>,
  groups: readonly string[],
  random: KeyedRandom | undefined,
  field: string,
): Uint32Array {
  const classes = [...new Set(Array.from(labels))].sort((a, b) => a - b);
  const all = gather(labels, classes, groups);
  const wrong = (allowed: string): ConfigError =>
    new ConfigError({ field: `${field}.folds`, value: String(folds), allowed });
  if (folds > all.length) throw wrong(`must be at most the number of groups, which is ${all.length}`);
  const most = Math.max(...classes.map((_, at) => all.reduce((sum, { counts }) => sum + (counts[at] ?? 0), 0)));
  if (stratified && folds > most)
    throw wrong(
      `must be at most ${most}, the number of samples of the largest class, where folds are stratified (fewer folds, more samples, or stratified: false)`,
    );
  const foldOfGroup = stratified ? dealStratified(all, folds, random) : dealBySize(all, folds, random);
  const foldOf = new Uint32Array(labels.length);
  const filled = new Set<number>();
  all.forEach(({ members }, i) => {
    const fold = foldOfGroup[i] ?? 0;
    filled.add(fold);
    for (const index of members) foldOf[index] = fold;
  });
  if (filled.size < folds)
    throw wrong(`leaves only ${filled.size} folds with any group in them; fewer folds, or stratified: false`);
  return foldOf;
}

/** Groups in order of their names (by code point, as numpy sorts them). */
function gather(labels: ArrayLike<number>, classes: readonly number[], groups: readonly string[]): Group[] {
  const place = new Map(classes.map((label, i) => [label, i]));
  const byName = new Map<string, Group>();
  for (let index = 0; index < labels.length; index++) {
    const name = groups[index] ?? '';
    const group = byName.get(name) ?? { members: [], counts: classes.map(() => 0) };
    byName.set(name, group);
    group.members.push(index);
    const at = place.get(labels[index] ?? 0) ?? 0;
    group.counts[at] = (group.counts[at] ?? 0) + 1;
  }
  return [...byName].sort(([a], [b]) => compareCodePoints(a, b)).map(([, group]) => group);
}

/** UTF-8 keeps the order of code points; UTF-16, by which strings compare, does not. */
const compareCodePoints = (a: string, b: string): number => Buffer.compare(Buffer.from(a), Buffer.from(b));

/** The largest group first, each to the fold that has the fewest samples so far; groups of a size in random order. */
function dealBySize(groups: readonly Group[], folds: number, random: KeyedRandom | undefined): number[] {
  // numpy sorts ascending and reverses, so that of equal groups the last comes first.
  const order = groups.map((_, i) => groups.length - 1 - i);
  random?.shuffle(order);
  order.sort((a, b) => (groups[b]?.members.length ?? 0) - (groups[a]?.members.length ?? 0));
  const sizes = new Array<number>(folds).fill(0);
  const foldOf: number[] = [];
  for (const i of order) {
    const lightest = sizes.indexOf(Math.min(...sizes));
    sizes[lightest] = (sizes[lightest] ?? 0) + (groups[i]?.members.length ?? 0);
    foldOf[i] = lightest;
  }
  return foldOf;
}

/**
 * The group whose classes are spread most unevenly first, each to the fold where it leaves the classes' shares most alike
 * between folds; of folds that are as good as another, to the one with the fewest samples.
 */
function dealStratified(groups: readonly Group[], folds: number, random: KeyedRandom | undefined): number[] {
  const order = groups.map((_, i) => i);
  random?.shuffle(order);
  order.sort((a, b) => unevenness(groups[b]) - unevenness(groups[a]));
  const classes = groups[0]?.counts.length ?? 0;
  const totals = Array.from({ length: classes }, (_, c) => groups.reduce((sum, g) => sum + (g.counts[c] ?? 0), 0));
  const counts = Array.from({ length: folds }, () => new Array<number>(classes).fill(0));
  const foldOf: number[] = [];
  for (const i of order) {
    const own = groups[i]?.counts ?? [];
    let best = { fold: 0, spread: Number.POSITIVE_INFINITY, samples: Number.POSITIVE_INFINITY };
    for (let fold = 0; fold < folds; fold++) {
      const spread = spreadWith(counts, totals, fold, own);
      const samples = (counts[fold] ?? []).reduce((sum, n) => sum + n, 0);
      if (spread < best.spread || (isClose(spread, best.spread) && samples < best.samples))
        best = { fold, spread, samples };
    }
    const chosen = counts[best.fold] ?? [];
    own.forEach((n, c) => {
      chosen[c] = (chosen[c] ?? 0) + n;
    });
    foldOf[i] = best.fold;
  }
  return foldOf;
}

/** n^2 times the variance of a group's counts over the classes: an integer, so that ties are ties. */
function unevenness(group: Group | undefined): number {
  const { counts } = group ?? { counts: [] };
  const sum = counts.reduce((total, n) => total + n, 0);
  return counts.length * counts.reduce((total, n) => total + n * n, 0) - sum * sum;
}

/** Mean over the classes of the standard deviation, over the folds, of a fold's share of the class. */
function spreadWith(
  counts: readonly (readonly number[])[],
  totals: readonly number[],
  fold: number,
  added: readonly number[],
): number {
  let sum = 0;
  totals.forEach((total, c) => {
    const shares = counts.map((of, f) => ((of[c] ?? 0) + (f === fold ? (added[c] ?? 0) : 0)) / total);
    const mean = shares.reduce((a, b) => a + b, 0) / shares.length;
    sum += Math.sqrt(shares.reduce((a, b) => a + (b - mean) ** 2, 0) / shares.length);
  });
  return sum / totals.length;
}

/** numpy's `isclose` with its default tolerances. */
const isClose = (a: number, b: number): boolean => Math.abs(a - b) <= 1e-8 + 1e-5 * Math.abs(b);
