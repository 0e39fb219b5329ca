import type { EvaluationSpec, GroupKFoldSpec, HoldoutSpec, KFoldSpec, NestedSpec } from '../config/evaluation.ts';
import { ConfigError } from '../errors.ts';
import type { KeyedRandom } from '../rng.ts';
import { groupKFold } from './groups.ts';
import { holdout } from './holdout.ts';
import { kFold } from './kfold.ts';
import type { SplitSamples } from './samples.ts';
import { columnOf, groupsOf } from './samples.ts';

/** Which of some samples each split validates on: `marks[i]` is the number of the split, or `never`. */
export interface Marks {
  readonly marks: Int32Array | Uint32Array;
  readonly splits: number;
}

/** A method that splits a set of samples once. */
export type PlainSpec = KFoldSpec | HoldoutSpec | GroupKFoldSpec | Exclude<EvaluationSpec, NestedSpec>;

const never = -1;

/**
 * Splits samples by one method, once.
 *
 * @param field where in the experiment the method stands, for messages
 * @throws ConfigError where the samples cannot be split so
 */
export function split(spec: PlainSpec, samples: SplitSamples, random: KeyedRandom, field: string): Marks {
  const { labels, classes = [] } = samples;
  const className = (label: number): string => JSON.stringify(classes[label] ?? String(label));
  switch (spec.method) {
    case 'kfold':
      return { marks: kFold(spec, labels, spec.shuffle ? random : undefined, className, field), splits: spec.folds };
    case 'repeated-kfold':
      return { marks: kFold(spec, labels, random, className, field), splits: spec.folds };
    case 'holdout':
      return { marks: Int32Array.from(holdout(spec, labels, random, className, field), (held) => held - 1), splits: 1 };
    case 'group-kfold': {
      const groups = groupsOf(samples, spec.groupBy, `${field}.groupBy`);
      const marks = groupKFold(spec, labels, groups, spec.shuffle ? random : undefined, field);
      return { marks, splits: spec.folds };
    }
    case 'leave-one-out':
      if (labels.length < 2)
        throw new ConfigError({ field, value: spec.method, allowed: 'needs at least 2 samples, and there is one' });
      return { marks: Uint32Array.from({ length: labels.length }, (_, i) => i), splits: labels.length };
    case 'predefined':
      return spec.column === undefined ? ownParts(samples, field) : byColumn(samples, spec.column, `${field}.column`);
  }
}

/** The data set's own train and validation parts. */
function ownParts({ labels, classes, validationFrom }: SplitSamples, field: string): Marks {
  if (validationFrom === undefined)
    throw new ConfigError({
      field: `${field}.method`,
      value: 'predefined',
      allowed:
        'needs a data set that comes with a validation part (a folder named validation), or the column of a table that numbers the folds: column; holdout or kfold split any data set',
    });
  const marks = Int32Array.from({ length: labels.length }, (_, i) => (i < validationFrom ? never : 0));
  const only = labels[validationFrom] ?? 0;
  if (marks.every((mark, i) => mark === never || labels[i] === only))
    throw new ConfigError({
      field: `${field}.method`,
      value: 'predefined',
      allowed: `would validate on samples of one class only, ${JSON.stringify(classes?.[only] ?? String(only))}, so that a score would say nothing; add those of the other classes to the validation part (dataset.perClass takes some of each, where dataset.limit cut them off), or let holdout or kfold split the data set`,
    });
  return { marks, splits: 1 };
}

/** scikit-learn's `PredefinedSplit`: one split a number that occurs, in ascending order; -1, or nothing, is none. */
function byColumn(samples: SplitSamples, name: string, field: string): Marks {
  const wrong = (allowed: string): ConfigError => new ConfigError({ field, value: JSON.stringify(name), allowed });
  const values = columnOf(samples, name, field).map((text, i) => {
    const value = text.trim() === '' ? never : Number(text);
    if (!Number.isInteger(value) || value < never)
      throw wrong(
        `must hold the number of the fold that each sample is validated in, or -1; sample ${i} has ${JSON.stringify(text)}`,
      );
    return value;
  });
  const numbers = [...new Set(values)].filter((value) => value !== never).sort((a, b) => a - b);
  if (numbers.length === 0) throw wrong('must give at least one sample a fold to be validated in');
  const place = new Map(numbers.map((value, i) => [value, i]));
  const marks = Int32Array.from(values, (value) => place.get(value) ?? never);
  numbers.forEach((value, i) => {
    if (marks.every((mark) => mark === i))
      throw wrong(`puts every sample into fold ${value}, which leaves none to train on`);
  });
  return { marks, splits: numbers.length };
}
