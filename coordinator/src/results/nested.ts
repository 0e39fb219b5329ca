import type { FoldsDocument } from '@crossfold/shared/folds/folds';
import { averagedOverRepeats } from '@crossfold/shared/metrics/repeats';
import { summarize } from '@crossfold/shared/metrics/summary';
import type {
  CompletedFold,
  FoldResult,
  NestedResult,
  Results,
  Scores,
  Summary,
  TrialResult,
} from '@crossfold/shared/results';
import { bestFold, completedFolds, ranked } from './select.ts';

/**
 * Of a score over the folds that have one.
 * @param sharedSplit all repeats have the same split
 */
export function summaryOf(
  folds: readonly FoldResult[],
  score: (scores: Scores) => number,
  sharedSplit = false,
): Summary | undefined {
  const scores = folds.flatMap(({ repeat, fold, validation, trainSamples, validationSamples }) =>
    validation === undefined ? [] : [{ repeat, fold, value: score(validation), trainSamples, validationSamples }],
  );
  return summarize(sharedSplit ? averagedOverRepeats(scores) : scores);
}

/** What was found within each outer fold, on that fold; undefined where the folds are not nested. */
export function nestedResult(trials: readonly TrialResult[], folds: FoldsDocument): NestedResult | undefined {
  const outers = new Set(folds.folds.flatMap(({ within }) => (within === undefined ? [] : [within])));
  if (outers.size === 0) return undefined;
  const scored = trials.flatMap(({ trial, folds: of }) =>
    completedFolds({ folds: of }).flatMap((fold) => (outers.has(fold.fold) ? [{ trial, fold }] : [])),
  );
  const found = scored.sort((a, b) => a.fold.fold - b.fold.fold);
  const over = found.map(({ fold }) => fold);
  return {
    outer: found.map(({ trial, fold: { fold, validation } }) => ({
      fold,
      trial,
      accuracy: validation.accuracy,
      loss: validation.loss,
    })),
    accuracy: summaryOf(over, ({ accuracy }) => accuracy) ?? null,
    loss: summaryOf(over, ({ loss }) => loss) ?? null,
  };
}

/** The trial that was found in most outer folds; ties go to the higher accuracy in these, then to the first. */
export function mostFound(trials: readonly TrialResult[], { outer }: NestedResult): TrialResult | undefined {
  const found = trials.map((trial) => ({ trial, in: outer.filter((fold) => fold.trial === trial.trial) }));
  const mean = (folds: NestedResult['outer']): number =>
    folds.reduce((sum, { accuracy }) => sum + accuracy, 0) / folds.length;
  return found
    .filter((one) => one.in.length > 0)
    .sort((a, b) => b.in.length - a.in.length || mean(b.in) - mean(a.in) || a.trial.trial - b.trial.trial)[0]?.trial;
}

/** The completed folds whose models stand for a trial; nested, the outer ones. */
export const outerFoldsOf = (trial: TrialResult, nested: NestedResult | undefined): CompletedFold[] =>
  completedFolds(trial).filter(({ within }) => nested === undefined || within === undefined);

/** The best of them. */
export const bestFoldOf = (trial: TrialResult, nested: NestedResult | undefined): CompletedFold | undefined =>
  bestFold(outerFoldsOf(trial, nested));

/**
 * What results are mainly about, as one trial: the best, or the one that has most folds where none is; nested, what was
 * found within each outer fold, on that fold.
 */
export function subjectOf({ trials, best, nested }: Results): TrialResult | undefined {
  const furthest = (): TrialResult | undefined =>
    ranked(trials).sort((a, b) => completedFolds(b).length - completedFolds(a).length)[0];
  const trial = trials.find((each) => each.trial === best?.trial) ?? furthest();
  if (trial === undefined || nested === undefined) return trial;
  const folds = nested.outer.flatMap(({ fold, trial: found }) =>
    (trials.find((each) => each.trial === found)?.folds ?? []).filter((each) => each.fold === fold),
  );
  const { accuracy, loss } = nested;
  return {
    trial: trial.trial,
    parameters: trial.parameters,
    status: trial.status,
    folds,
    summary: accuracy === null || loss === null ? null : { accuracy, loss },
  };
}
