import { scoreCounts } from '@crossfold/shared/metrics/scores';
import type { CompletedFold, Scores } from '@crossfold/shared/results';

export type PooledScores = Pick<Scores, 'accuracy' | 'confusionMatrix' | 'precision' | 'recall' | 'f1'>;

/** Scores of the predictions of all folds together, each made by the model that was not trained on the sample. */
export function pooledScores(folds: readonly CompletedFold[], classes: number): PooledScores {
  const sum = Array.from({ length: classes }, () => new Array<number>(classes).fill(0));
  for (const { validation } of folds)
    validation.confusionMatrix.forEach((row, actual) => {
      row.forEach((n, predicted) => {
        const to = sum[actual];
        if (to !== undefined) to[predicted] = (to[predicted] ?? 0) + n;
      });
    });
  return scoreCounts(sum);
}

/** Samples of each class. */
export const supportOf = (confusionMatrix: readonly (readonly number[])[]): number[] =>
  confusionMatrix.map((row) => row.reduce((sum, n) => sum + n, 0));

export interface Mistake {
  readonly actual: number;
  readonly predicted: number;
  readonly count: number;
  /** Samples of the true class. */
  readonly of: number;
}

/** Pairs of classes that were taken for one another, the most frequent first. */
export function mistakes(confusionMatrix: readonly (readonly number[])[]): Mistake[] {
  const support = supportOf(confusionMatrix);
  return confusionMatrix
    .flatMap((row, actual) => row.map((n, predicted) => ({ actual, predicted, count: n, of: support[actual] ?? 0 })))
    .filter(({ actual, predicted, count }) => actual !== predicted && count > 0)
    .sort((a, b) => b.count - a.count || a.actual - b.actual || a.predicted - b.predicted);
}
