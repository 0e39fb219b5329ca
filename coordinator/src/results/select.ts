import type { CompletedFold, FoldResult, Scores, TrialResult } from '@crossfold/shared/results';

export const isCompleted = (fold: FoldResult): fold is CompletedFold => fold.status === 'completed';

/** The folds of a trial that were trained to their end. */
export const completedFolds = (trial: Pick<TrialResult, 'folds'>): CompletedFold[] => trial.folds.filter(isCompleted);

/** A fold with scores: trained to its end, or stopped by a search that had seen some. */
export type ScoredFold = FoldResult & { readonly validation: Scores };

export const scoredFolds = (trial: Pick<TrialResult, 'folds'>): ScoredFold[] =>
  trial.folds.filter((fold): fold is ScoredFold => fold.validation !== undefined);

/** The trial with the highest mean accuracy, of those that completed; ties go to the lower loss, then to the first. */
export function bestTrial(trials: readonly TrialResult[]): TrialResult | undefined {
  return best(
    trials.filter(({ status }) => status === 'completed'),
    ({ summary }) => ({ accuracy: summary?.accuracy.mean ?? 0, loss: summary?.loss.mean ?? 0 }),
  );
}

/**
 * Trials by mean accuracy, the highest first, those without any last. While some are under way, these come after those
 * that are whole, and before those that were stopped.
 */
export const ranked = (trials: readonly TrialResult[]): TrialResult[] => {
  const isUnderWay = trials.some(({ status }) => status === 'running');
  const place = ({ status }: TrialResult): number =>
    !isUnderWay || status === 'completed' ? 0 : status === 'running' ? 1 : 2;
  const mean = ({ summary }: TrialResult): number => summary?.accuracy.mean ?? -1;
  const last = ({ summary }: TrialResult): number => Number(summary === null);
  return [...trials].sort((a, b) => last(a) - last(b) || place(a) - place(b) || mean(b) - mean(a) || a.trial - b.trial);
};

/** The fold with the highest validation accuracy; ties go to the lower loss, then to the first. */
export const bestFold = (folds: readonly CompletedFold[]): CompletedFold | undefined =>
  best(folds, ({ validation }) => validation);

function best<T>(
  candidates: readonly T[],
  scoresOf: (candidate: T) => { readonly accuracy: number; readonly loss: number },
): T | undefined {
  const order = (a: T, b: T): number =>
    scoresOf(b).accuracy - scoresOf(a).accuracy || scoresOf(a).loss - scoresOf(b).loss;
  return [...candidates].sort(order)[0];
}
