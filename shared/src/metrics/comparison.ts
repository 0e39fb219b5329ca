import { averagedOverRepeats, type PlacedScore } from './repeats.ts';
import { studentTQuantile, studentTTwoSided } from './student-t.ts';
import { correctedError, isNoSpread, meanOf, sampleStd, signTestOfEquals } from './summary.ts';

/** How much higher one trial's score is than another's, on the folds that both have. */
export interface PairedComparison {
  /** Folds that both have. */
  readonly folds: number;
  /** Mean difference. */
  readonly difference: number;
  /** Its 95 % confidence interval; [] where the difference is the same on every fold, and no spread is known. */
  readonly ci95: readonly number[];
  /** Of the hypothesis that in truth there is no difference; two-sided. */
  readonly p: number;
}

/**
 * Compares two trials fold by fold: the corrected resampled t-test (C. Nadeau and Y. Bengio, "Inference for the
 * Generalization Error", Machine Learning 52, 2003; for repeated cross-validation R. Bouckaert and E. Frank, PAKDD
 * 2004). What makes a fold easy or hard is the same for both and falls out of the difference. Where that is the same on
 * every fold, as it often is with few samples, its spread of zero is no certainty: the sign test takes the t-test's place.
 *
 * @param sharedSplit all repeats have the same split: each fold counts once, see `averagedOverRepeats`
 * @returns undefined where they share fewer than two folds
 */
export function compareTrials(
  ours: readonly PlacedScore[],
  theirs: readonly PlacedScore[],
  sharedSplit = false,
): PairedComparison | undefined {
  const place = ({ repeat, fold }: PlacedScore): string => `${repeat}.${fold}`;
  const other = new Map(theirs.map((score) => [place(score), score.value]));
  const paired = ours.flatMap((score) => {
    const value = other.get(place(score));
    return value === undefined ? [] : [{ ...score, value: score.value - value }];
  });
  const shared = sharedSplit ? averagedOverRepeats(paired) : paired;
  if (shared.length < 2) return undefined;
  const differences = shared.map(({ value }) => value);
  const difference = meanOf(differences);
  const folds = shared.length;
  const std = sampleStd(differences);
  if (isNoSpread(std))
    return { folds, difference, ci95: [], p: Math.abs(difference) < 1e-12 ? 1 : signTestOfEquals(folds) };
  const error = correctedError(std, shared);
  const half = studentTQuantile(0.975, folds - 1) * error;
  const p = studentTTwoSided(difference / error, folds - 1);
  return { folds, difference, ci95: [difference - half, difference + half], p };
}

/**
 * p-values for several hypotheses at once, such that of those that are rejected at a level no larger share is expected
 * to be false alarms (Y. Benjamini and Y. Hochberg, "Controlling the False Discovery Rate", 1995). They are comparisons
 * with one and the same trial and so depend on one another positively, which it allows for. Guarding against any false
 * alarm at all (Bonferroni, Holm) would with few folds and many trials leave next to nothing told apart.
 */
export function falseDiscovery(pValues: readonly number[]): number[] {
  const order = pValues.map((p, i) => ({ p, i })).sort((a, b) => b.p - a.p);
  const adjusted = new Array<number>(pValues.length).fill(1);
  let most = 1;
  order.forEach(({ p, i }, rank) => {
    most = Math.min(most, p * (pValues.length / (pValues.length - rank)));
    adjusted[i] = most;
  });
  return adjusted;
}
