import type { RacingSpec } from '@crossfold/shared/config/search';
import { studentTTwoSided } from '@crossfold/shared/metrics/student-t';
import { isNoSpread, signTestOfEquals } from '@crossfold/shared/metrics/summary';
import type { Contest, Decision, Dropped, Evidence, Round, Standing, Want } from './contest.ts';
import { conclude, contestants, gather } from './contest.ts';

/**
 * Racing over folds, in the way of F-Race (M. Birattari et al., "A Racing Algorithm for Configuring Metaheuristics",
 * GECCO 2002), with a test for the few folds that a cross-validation has; see `compare`.
 */
export function racing(contest: Contest, spec: RacingSpec, evidence: Evidence): Decision {
  const folds = new Map(contestants(contest).map((trial) => [trial, 0]));
  const dropped = new Set<number>();
  const rounds: Round[] = [];
  const epochsOf = (trial: number): number => contest.epochs[trial] ?? 0;
  const wants = (): Want[] =>
    [...folds].flatMap(([trial, count]) =>
      Array.from({ length: count }, (_, fold) => ({ trial, fold, epochs: epochsOf(trial) })),
    );
  let left: readonly number[] = [...folds.keys()];
  let standing: readonly Standing[] = [];
  for (
    let round = Math.min(spec.minFolds, contest.folds);
    round <= contest.folds;
    round = after(round, contest.folds)
  ) {
    // Whoever is alone has won, and is trained on all folds for its own estimate.
    if (left.length === 1) round = contest.folds;
    for (const trial of left) folds.set(trial, round);
    const known = gather(left, round, epochsOf, evidence);
    if (known === undefined) return { wants: wants(), dropped, rounds, over: false };
    standing = known.standing;
    const last = round === contest.folds;
    const out: Dropped[] = last ? [] : compare(standing, contest, 1 - spec.confidence);
    out.push(...known.lost.map((trial) => ({ trial, reason: 'lost' as const })));
    rounds.push({
      folds: round,
      epochs: Math.max(0, ...left.map(epochsOf)),
      scores: standing.map(({ trial, accuracy, loss }) => ({ trial, accuracy, loss })),
      dropped: out,
    });
    for (const { trial } of out) dropped.add(trial);
    left = standing.filter(({ trial }) => !dropped.has(trial)).map(({ trial }) => trial);
    if (left.length === 0) break;
  }
  return conclude({ wants: wants(), dropped, rounds, over: true }, standing);
}

/**
 * Folds that the next round is about. With many folds one more tells little, and every round is decided anew whenever
 * the search is asked: so that they are few, later rounds are an eighth longer each.
 */
const after = (round: number, folds: number): number =>
  round === folds ? folds + 1 : Math.min(folds, round + Math.max(1, round >> 3));

/** Weight, in degrees of freedom, of what all pairs say about the noise against what one pair says itself. */
const priorFreedom = 4;

/**
 * Those that are behind the leader by a paired test on the folds that both were trained on.
 *
 * With two or three folds a pair's own spread says little, and by chance next to nothing. So each pair's variance is
 * drawn towards that of all pairs (their median), weighted as in a moderated t test (G. Smyth, "Linear Models and
 * Empirical Bayes Methods for Assessing Differential Expression", 2004); and the variance of the mean is Nadeau and
 * Bengio's, since the folds' training sets overlap. The test is two-sided: it is chance, too, which of two leads.
 * Where there is no spread at all, as there often is with few samples, only the signs count. Repeats of one and the same
 * split count once, by their mean: nets that were validated on the same samples are no evidence about other ones (see
 * `averagedOverRepeats`).
 *
 * @param standing best first
 */
export function compare(
  standing: readonly Standing[],
  { validationShare, splits }: Pick<Contest, 'validationShare' | 'splits'>,
  level: number,
): Dropped[] {
  const [leader, ...others] = standing;
  if (leader === undefined) return [];
  const n = new Set(leader.accuracies.map((_, fold) => splits?.[fold] ?? fold)).size;
  // A single split has no spread to judge by.
  if (n < 2) return [];
  const pairs = others.map(({ trial, accuracies }) => {
    const differences = bySplit(
      accuracies.map((accuracy, fold) => (leader.accuracies[fold] ?? 0) - accuracy),
      splits,
    );
    const mean = differences.reduce((sum, d) => sum + d, 0) / n;
    const variance = differences.reduce((sum, d) => sum + (d - mean) ** 2, 0) / (n - 1);
    return { trial, mean, variance };
  });
  const common = medianOf(pairs.map(({ variance }) => variance));
  const prior = pairs.length > 1 ? priorFreedom : 0;
  return pairs.flatMap(({ trial, mean, variance }) => {
    const freedom = prior + n - 1;
    const moderated = (prior * common + (n - 1) * variance) / freedom;
    const error = Math.sqrt(moderated * (1 / n + validationShare));
    const isConstant = isNoSpread(error);
    const pValue = mean <= 0 ? 1 : isConstant ? signTestOfEquals(n) : studentTTwoSided(mean / error, freedom);
    if (pValue >= level) return [];
    return [{ trial, versus: leader.trial, behind: mean, pValue, reason: 'behind' as const }];
  });
}

/** The mean of the values of each split. */
function bySplit(values: readonly number[], splits: Contest['splits']): number[] {
  const own = new Map<number, number[]>();
  for (const [fold, value] of values.entries()) {
    const split = splits?.[fold] ?? fold;
    own.set(split, [...(own.get(split) ?? []), value]);
  }
  return [...own.values()].map((of) => of.reduce((sum, value) => sum + value, 0) / of.length);
}

function medianOf(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? (sorted[middle] ?? 0) : ((sorted[middle - 1] ?? 0) + (sorted[middle] ?? 0)) / 2;
}
