import type { FoldScore } from './summary.ts';

import { meanOf, sampleStd } from './summary.ts';

/** A score of one fold, and which fold of which repeat it is. */
export interface PlacedScore extends FoldScore {
  readonly repeat: number;
  readonly fold: number;
}

/**
 * Scores of repeats that share one split, each fold's averaged over them, as those of a single repeat. Nets that were
 * trained and validated on the very same samples tell of their initialisation, not of other splits: counted each by
 * itself they would make a mean look surer than it is.
 */
export function averagedOverRepeats(scores: readonly PlacedScore[]): PlacedScore[] {
  return [...byFold(scores).values()].flatMap((own) => {
    const [first] = own;
    return first === undefined ? [] : [{ ...first, repeat: 0, value: meanOf(own.map(({ value }) => value)) }];
  });
}

/** What of a spread over repeats that share one split comes of the nets' initialisation, and what of the split. */
export interface SpreadOfRepeats {
  /** Sample standard deviation between repeats of the same fold, pooled over folds. */
  readonly initialisation: number;
  /** Sample standard deviation between the folds' means. */
  readonly split: number;
}

/** @returns undefined with fewer than two folds, or where no fold has two repeats */
export function spreadOfRepeats(scores: readonly PlacedScore[]): SpreadOfRepeats | undefined {
  const folds = [...byFold(scores).values()].map((own) => own.map(({ value }) => value));
  const freedom = folds.reduce((sum, values) => sum + values.length - 1, 0);
  if (folds.length < 2 || freedom === 0) return undefined;
  const within = folds.reduce((sum, values) => sum + (values.length - 1) * sampleStd(values) ** 2, 0);
  return { initialisation: Math.sqrt(within / freedom), split: sampleStd(folds.map(meanOf)) };
}

function byFold(scores: readonly PlacedScore[]): Map<number, PlacedScore[]> {
  const folds = new Map<number, PlacedScore[]>();
  for (const score of scores) {
    const own = folds.get(score.fold);
    if (own === undefined) folds.set(score.fold, [score]);
    else own.push(score);
  }
  return folds;
}
