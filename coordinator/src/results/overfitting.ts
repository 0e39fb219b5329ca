import { meanOf } from '@crossfold/shared/metrics/summary';
import type { CompletedFold } from '@crossfold/shared/results';

/** A rise of the validation loss by less than this share of its lowest value is none. */
export const leastRise = 0.05;

/**
 * The epoch, from 0, from which on a net overfits: where the mean over the folds of the validation loss is lowest, if it
 * has risen by the end while that of the training loss has gone on falling. Epochs count as far as all folds have them.
 */
export function overfitsFrom(folds: readonly Pick<CompletedFold, 'history'>[]): number | undefined {
  if (folds.length === 0) return undefined;
  const epochs = Math.min(...folds.map(({ history }) => history.valLoss.length));
  const meanAt = (of: 'loss' | 'valLoss', epoch: number): number =>
    meanOf(folds.map(({ history }) => history[of][epoch] ?? Number.NaN));
  const validation = Array.from({ length: epochs }, (_, epoch) => meanAt('valLoss', epoch));
  const lowest = validation.indexOf(Math.min(...validation));
  const last = epochs - 1;
  const [least = Number.NaN, end = Number.NaN] = [validation[lowest], validation[last]];
  return end >= least * (1 + leastRise) && meanAt('loss', last) < meanAt('loss', lowest) ? lowest : undefined;
}
