import type { HoldoutSpec } from '../config/evaluation.ts';
import { ConfigError } from '../errors.ts';
import type { KeyedRandom } from '../rng.ts';
import { membersByClass } from './kfold.ts';

/**
 * Which samples are held out for validation (1) and which are trained on (0). Sizes, overall and of each class, are
 * scikit-learn's (`ShuffleSplit`, `StratifiedShuffleSplit`, 1.9.1): the validation share is rounded up.
 *
 * @throws ConfigError where either part would be empty or lack a class; `field` is where it was asked for
 */
export function holdout(
  { validation, stratified }: HoldoutSpec,
  labels: ArrayLike<number>,
  random: KeyedRandom,
  className: (label: number) => string,
  field = 'evaluation',
): Uint8Array {
  const held = Math.ceil(validation * labels.length);
  const classes = stratified ? byLabel(labels) : [];
  const least = Math.max(1, classes.length);
  if (held < least || labels.length - held < least)
    throw new ConfigError({
      field: `${field}.validation`,
      value: String(validation),
      allowed: `must leave at least ${least} samples on either side${stratified ? ' (one of each class)' : ''}, and gives ${labels.length - held} to train on and ${held} to validate on`,
    });
  const isHeld = new Uint8Array(labels.length);
  const order = Uint32Array.from({ length: labels.length }, (_, i) => i);
  if (!stratified) {
    for (const index of random.shuffle(order).subarray(0, held)) isHeld[index] = 1;
    return isHeld;
  }
  for (const [label, members] of classes)
    if (members.length < 2)
      throw new ConfigError({
        field: `${field}.stratified`,
        value: 'true',
        allowed: `needs at least 2 samples of each class, and class ${className(label)} has ${members.length}; more samples, or stratified: false`,
      });
  const trained = approximateMode(
    classes.map(([, members]) => members.length),
    labels.length - held,
    random,
  );
  classes.forEach(([, members], i) => {
    for (const index of random.shuffle(members).slice(trained[i])) isHeld[index] = 1;
  });
  return isHeld;
}

const byLabel = (labels: ArrayLike<number>): [number, number[]][] =>
  [...membersByClass(labels)].sort(([a], [b]) => a - b);

/**
 * How many of each class to draw so that the draw is as likely as any (mode of the multivariate hypergeometric
 * distribution): shares rounded down, what is missing given to the largest remainders, ties at random. scikit-learn's
 * `_approximate_mode`.
 */
export function approximateMode(counts: readonly number[], draws: number, random: KeyedRandom): number[] {
  const total = counts.reduce((sum, count) => sum + count, 0);
  const shares = counts.map((count) => (count / total) * draws);
  const drawn = shares.map(Math.floor);
  const remainders = shares.map((share, i) => share - (drawn[i] ?? 0));
  let missing = draws - drawn.reduce((sum, count) => sum + count, 0);
  for (const value of [...new Set(remainders)].sort((a, b) => b - a)) {
    const tied = remainders.flatMap((remainder, i) => (remainder === value ? [i] : []));
    for (const i of random.shuffle(tied).slice(0, missing)) {
      drawn[i] = (drawn[i] ?? 0) + 1;
      missing--;
    }
  }
  return drawn;
}
