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

/** Trials by mean accuracy, the highest first; those that are under way after the others, those without any last. */
export const ranked = (trials: readonly TrialResult[]): TrialResult[] => {
  const mean = ({ summary, status }: TrialResult): number =>
    summary === null ? -2 : summary.accuracy.mean - (status === 'running' ? 1.5 : 0);
  return [...trials].sort((a, b) => mean(b) - mean(a) || a.trial - b.trial);
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
