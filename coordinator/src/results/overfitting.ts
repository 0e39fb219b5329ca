import { meanOf } from '@crossfold/shared/metrics/summary';
import type { CompletedFold } from '@crossfold/shared/results';

/** Histories of fewer epochs are not smoothed: nothing would be left of them. */
export const fewestSmoothed = 10;
/**
 * Epochs to either side of one whose median stands for it, before anything is told of a course: a noisy epoch is no sign,
 * and of a hundred the lowest is so by chance.
 */
const asideOf = (epochs: number): number => (epochs < fewestSmoothed ? 0 : Math.max(2, Math.round(epochs / 20)));
/** A rise of the validation loss by less than this share of its lowest value is none. */
const leastRise = 0.05;

/** Where a net's validation loss is lowest, and what becomes of it; histories of ten epochs and more count smoothed. */
export interface Course {
  /** Epochs that all folds have. */
  readonly epochs: number;
  /** How many epochs each value is the median of, at most. */
  readonly window: number;
  /** The epoch, from 0, at which the mean over the folds is lowest, of those around the lowest median. */
  readonly lowest: number;
  /** How many folds have their lowest value in the last epoch. */
  readonly lowestAtEnd: number;
  /** By what share of its lowest value it has risen in the end; 0: by so little that it has levelled off. */
  readonly rise: number;
  /** Whether the training loss has gone on falling meanwhile. */
  readonly overfits: boolean;
}

/** @param folds one at least */
export function courseOf(folds: readonly Pick<CompletedFold, 'history'>[]): Course {
  const epochs = Math.min(...folds.map(({ history }) => history.valLoss.length));
  const means = (series: readonly (readonly number[])[]): readonly number[] =>
    Array.from({ length: epochs }, (_, epoch) => meanOf(series.map((values) => values[epoch] ?? Number.NaN)));
  const validation = means(folds.map(({ history }) => history.valLoss));
  const training = steadied(means(folds.map(({ history }) => history.loss)));
  const medians = steadied(validation);
  const around = lowestOf(medians);
  const from = Math.max(0, around - asideOf(epochs));
  const lowest = from + lowestOf(validation.slice(from, around + asideOf(epochs) + 1));
  const [least = Number.NaN, end = Number.NaN] = [medians[around], medians.at(-1)];
  const rise = end >= least * (1 + leastRise) ? end / least - 1 : 0;
  return {
    epochs,
    window: 2 * asideOf(epochs) + 1,
    lowest,
    lowestAtEnd: folds.filter(({ history: { valLoss } }) => lowestOf(steadied(valLoss)) === valLoss.length - 1).length,
    rise,
    overfits: rise > 0 && (training.at(-1) ?? Number.NaN) < (training[lowest] ?? Number.NaN),
  };
}

/** The epoch, from 0, from which on a net overfits; undefined where it does not. */
export function overfitsFrom(folds: readonly Pick<CompletedFold, 'history'>[]): number | undefined {
  if (folds.length === 0) return undefined;
  const { overfits, lowest } = courseOf(folds);
  return overfits ? lowest : undefined;
}

/** The median of each value and those around it, fewer at both ends, where there are epochs enough. */
export function steadied(values: readonly number[]): readonly number[] {
  const aside = asideOf(values.length);
  return values.map((_, i) => median(values.slice(Math.max(0, i - aside), i + aside + 1)));
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = (sorted.length - 1) / 2;
  return ((sorted[Math.floor(middle)] ?? Number.NaN) + (sorted[Math.ceil(middle)] ?? Number.NaN)) / 2;
}

const lowestOf = (values: readonly number[]): number => values.indexOf(Math.min(...values));
