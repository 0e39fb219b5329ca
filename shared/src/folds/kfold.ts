import type { EvaluationSpec, KFoldSpec } from '../config/evaluation.ts';
import { ConfigError } from '../errors.ts';
import type { KeyedRandom } from '../rng.ts';

/**
 * The fold that each sample is validated in, by k-fold; `random` undefined keeps the data set's order. Sizes and, where
 * nothing is shuffled, members are scikit-learn's (`KFold`, `StratifiedKFold`, 1.9.1).
 *
 * @throws ConfigError where there are too few samples for so many folds or, stratified, too few of every class; `field`
 * is where they were asked for
 */
export function kFold(
  { folds, stratified }: Pick<KFoldSpec, 'folds' | 'stratified'>,
  labels: ArrayLike<number>,
  random: KeyedRandom | undefined,
  className: (label: number) => string,
  field = 'evaluation',
): Uint32Array {
  if (folds > labels.length)
    throw new ConfigError({
      field: `${field}.folds`,
      value: String(folds),
      allowed: `must be at most the number of samples, which is ${labels.length}`,
    });
  return stratified
    ? stratifiedFolds(folds, labels, random, field, className)
    : plainFolds(folds, labels.length, random);
}

/** The first `samples % folds` folds have one sample more than the others. */
function plainFolds(folds: number, samples: number, random: KeyedRandom | undefined): Uint32Array {
  const order = Uint32Array.from({ length: samples }, (_, i) => i);
  random?.shuffle(order);
  const foldOf = new Uint32Array(samples);
  let at = 0;
  for (let fold = 0; fold < folds; fold++) {
    const size = Math.floor(samples / folds) + (fold < samples % folds ? 1 : 0);
    for (const end = at + size; at < end; at++) foldOf[order[at] ?? 0] = fold;
  }
  return foldOf;
}

/**
 * scikit-learn's allocation: with the samples sorted by class (classes in order of first appearance), fold i is given
 * every `folds`-th from i on. So both a fold's size and its count of each class differ by at most one between folds.
 * Then each class deals its own samples out, in the data set's order or shuffled. A class with fewer samples than folds is
 * missing from some of them, as there; `scarceClasses` tells of it. Where all classes are so, nothing is left of the
 * stratification, and it is refused, as there.
 */
function stratifiedFolds(
  folds: number,
  labels: ArrayLike<number>,
  random: KeyedRandom | undefined,
  field: string,
  className: (label: number) => string,
): Uint32Array {
  const classes = membersByClass(labels);
  const [label, most] = [...classes].reduce((a, b) => (b[1].length > a[1].length ? b : a));
  if (most.length < folds)
    throw new ConfigError({
      field: `${field}.folds`,
      value: String(folds),
      allowed: `must be at most ${most.length}, the number of samples of the largest class, ${className(label)}, where folds are stratified (fewer folds, more samples, or stratified: false)`,
    });
  const foldOf = new Uint32Array(labels.length);
  let sorted = 0;
  for (const members of classes.values()) {
    const perFold = new Uint32Array(folds);
    for (const end = sorted + members.length; sorted < end; sorted++)
      perFold[sorted % folds] = (perFold[sorted % folds] ?? 0) + 1;
    const dealt = new Uint32Array(members.length);
    let at = 0;
    perFold.forEach((count, fold) => {
      dealt.fill(fold, at, at + count);
      at += count;
    });
    random?.shuffle(dealt);
    members.forEach((index, i) => {
      foldOf[index] = dealt[i] ?? 0;
    });
  }
  return foldOf;
}

/** Classes with fewer samples than stratified folds, each with their number: some folds are validated without any of them. */
export function scarceClasses(
  evaluation: EvaluationSpec,
  labels: ArrayLike<number>,
): readonly { readonly label: number; readonly samples: number; readonly folds: number }[] {
  const spec = evaluation.method === 'nested' ? evaluation.outer : evaluation;
  if (spec.method !== 'kfold' && spec.method !== 'repeated-kfold') return [];
  const { folds, stratified } = spec;
  if (!stratified) return [];
  return [...membersByClass(labels)].flatMap(([label, { length }]) =>
    length < folds ? [{ label, samples: length, folds }] : [],
  );
}

/** Indices of each class's samples, ascending; classes in order of first appearance. */
export function membersByClass(labels: ArrayLike<number>): Map<number, number[]> {
  const classes = new Map<number, number[]>();
  for (let i = 0; i < labels.length; i++) {
    const label = labels[i] ?? 0;
    const members = classes.get(label);
    if (members === undefined) classes.set(label, [i]);
    else members.push(i);
  }
  return classes;
}
