import { compareTrials, falseDiscovery } from '@crossfold/shared/metrics/comparison';
import { averagedOverRepeats, type PlacedScore } from '@crossfold/shared/metrics/repeats';
import { correctedError, meanOf } from '@crossfold/shared/metrics/summary';
import type { Comparison, CompletedFold, NestedResult, Results, TrialResult } from '@crossfold/shared/results';
import { mostFound } from './nested.ts';
import { bestTrial, completedFolds, type ScoredFold, scoredFolds } from './select.ts';

/** Two trials are told apart where chance alone would set them so far apart less often than this. */
export const significance = 0.05;

export interface Verdict {
  readonly best: Results['best'];
  /** The trials, each compared with the best. */
  readonly trials: readonly TrialResult[];
}

/**
 * Which trial is best, how sure that is, and whether a smaller net would do as well.
 *
 * Nested, trials were chosen within the outer folds, each by other samples: the best is the one that was chosen most
 * often, and there is nothing to compare.
 *
 * The last is the one-standard-error rule (L. Breiman et al., "Classification and Regression Trees", 1984): of the
 * trials whose mean is no further below the best than one standard error of the best's mean, the one with the fewest
 * weights; then the one with the fewest epochs, then the better one.
 */
export function judge(trials: readonly TrialResult[], nested?: NestedResult, sharedSplit = false): Verdict {
  if (nested !== undefined) return { best: found(trials, nested), trials };
  const best = bestTrial(trials);
  if (best === undefined) return { best: null, trials };
  const comparisons = trials.map((trial) =>
    trial.trial === best.trial ? undefined : compareWith(best, trial, sharedSplit),
  );
  const adjusted = falseDiscovery(
    comparisons.flatMap((comparison) => (comparison === undefined ? [] : [comparison.p])),
  );
  let next = 0;
  const compared = trials.map((trial, i): TrialResult => {
    const comparison = comparisons[i];
    if (comparison === undefined) return trial;
    return { ...trial, comparison: { ...comparison, pAdjusted: adjusted[next++] ?? 1 } };
  });
  const undecided = compared.filter(
    ({ status, comparison }) =>
      status === 'completed' && comparison !== undefined && comparison.pAdjusted >= significance,
  );
  return {
    best: {
      trial: best.trial,
      by: 'accuracy',
      undecided: undecided.map(({ trial }) => trial),
      oneStandardError: smallestWithin(trials, best, sharedSplit).trial,
    },
    trials: compared,
  };
}

/** The best against a trial on whole folds; where the search left it none, as both were after its last epoch. */
function compareWith(
  best: TrialResult,
  trial: TrialResult,
  sharedSplit: boolean,
): Omit<Comparison, 'pAdjusted'> | undefined {
  const whole = compareTrials(placedScores(best), placedScores(trial), sharedSplit);
  if (whole !== undefined || trial.status !== 'pruned') return whole;
  const epoch = Math.max(0, ...scoredFolds(trial).map(({ history }) => history?.valAccuracy.length ?? 0));
  const theirs = scoresAfter(epoch, scoredFolds(trial));
  const compared = compareTrials(scoresAfter(epoch, completedFolds(best)), theirs, sharedSplit);
  if (compared === undefined) return undefined;
  const mean = meanOf(theirs.map(({ value }) => value));
  return { ...compared, at: { epoch, best: mean + compared.difference, trial: mean } };
}

/** Accuracies on validation samples after an epoch, from 1, or after the last where the training had ended before. */
const scoresAfter = (epoch: number, folds: readonly ScoredFold[]): PlacedScore[] =>
  folds.flatMap(({ repeat, fold, history, trainSamples, validationSamples }) => {
    const value = history?.valAccuracy.slice(0, epoch).at(-1);
    return value === undefined ? [] : [{ repeat, fold, value, trainSamples, validationSamples }];
  });

function found(trials: readonly TrialResult[], nested: NestedResult): Results['best'] {
  const most = mostFound(trials, nested);
  if (most === undefined) return null;
  return { trial: most.trial, by: 'accuracy', undecided: [], oneStandardError: most.trial };
}

export const placedScores = (trial: TrialResult): PlacedScore[] =>
  completedFolds(trial).map(({ repeat, fold, validation, trainSamples, validationSamples }) => ({
    repeat,
    fold,
    value: validation.accuracy,
    trainSamples,
    validationSamples,
  }));

function smallestWithin(trials: readonly TrialResult[], best: TrialResult, sharedSplit: boolean): TrialResult {
  const least = (best.summary?.accuracy.mean ?? 0) - standardError(best, sharedSplit);
  const cost = (trial: TrialResult): number[] => [
    trial.weights ?? Number.POSITIVE_INFINITY,
    Math.max(0, ...completedFolds(trial).map(({ epochs }: CompletedFold) => epochs)),
    -(trial.summary?.accuracy.mean ?? 0),
    trial.trial,
  ];
  return trials
    .filter(({ status, summary }) => status === 'completed' && summary !== null && summary.accuracy.mean >= least)
    .reduce((smallest, trial) => (isLess(cost(trial), cost(smallest)) ? trial : smallest), best);
}

/** Standard error of a trial's mean accuracy, corrected as its interval is; 0 for a single fold. */
function standardError(trial: TrialResult, sharedSplit: boolean): number {
  const scores = placedScores(trial);
  return correctedError(trial.summary?.accuracy.std ?? 0, sharedSplit ? averagedOverRepeats(scores) : scores);
}

function isLess(a: readonly number[], b: readonly number[]): boolean {
  const at = a.findIndex((value, i) => value !== b[i]);
  return at >= 0 && (a[at] ?? 0) < (b[at] ?? 0);
}
