import type { Summary } from '../results.ts';
import { studentTQuantile } from './student-t.ts';

/** One score of one fold, and how many samples it was trained and validated on. */
export interface FoldScore {
  readonly value: number;
  readonly trainSamples: number;
  readonly validationSamples: number;
}

/**
 * Summary of a score over the folds (and repeats) of a cross-validation; undefined where there are none.
 *
 * The interval is corrected for the folds' overlapping training sets: their scores are not independent, so that the
 * variance of their mean is not std^2 / J but (1 / J + validation / train) std^2 for J folds (C. Nadeau and Y. Bengio,
 * "Inference for the Generalization Error", Machine Learning 52, 2003; for repeated cross-validation R. Bouckaert and
 * E. Frank, PAKDD 2004), with Student's t of J - 1 degrees of freedom. It may reach beyond what the score can be.
 * Where all folds came out equal there is none: that is what few samples do to a score that is a share of them, and no
 * sign that the score is known for certain.
 */
export function summarize(folds: readonly FoldScore[]): Summary | undefined {
  const n = folds.length;
  if (n === 0) return undefined;
  const values = folds.map(({ value }) => value);
  const mean = meanOf(values);
  const std = sampleStd(values);
  const half = studentTQuantile(0.975, Math.max(1, n - 1)) * correctedError(std, folds);
  return {
    mean,
    std,
    min: Math.min(...values),
    max: Math.max(...values),
    ci95: n < 2 || isNoSpread(std) ? [] : [mean - half, mean + half],
  };
}

/** Standard error of a mean over folds by Nadeau and Bengio's correction; see `summarize`. */
export function correctedError(
  std: number,
  folds: readonly Pick<FoldScore, 'trainSamples' | 'validationSamples'>[],
): number {
  const train = folds.reduce((sum, fold) => sum + fold.trainSamples, 0);
  const validation = folds.reduce((sum, fold) => sum + fold.validationSamples, 0);
  return std * Math.sqrt(1 / folds.length + validation / train);
}

/** Whether a spread is none at all but for rounding. */
export const isNoSpread = (std: number): boolean => std < 1e-12;

/**
 * What equal differences say: a spread of zero gives a t-test nothing to go by, so only their signs count.
 *
 * @param n how many there are, all of one sign
 * @returns p-value of the two-sided sign test
 */
export const signTestOfEquals = (n: number): number => 2 ** (1 - n);

export const meanOf = (values: readonly number[]): number =>
  values.reduce((sum, value) => sum + value, 0) / values.length;

/** Sample standard deviation (n - 1); 0 for a single value. */
export function sampleStd(values: readonly number[]): number {
  if (values.length < 2) return 0;
  const mean = meanOf(values);
  return Math.sqrt(values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / (values.length - 1));
}
