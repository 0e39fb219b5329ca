import type { SearchSpec } from '@crossfold/shared/config/search';
import { rungsOf } from '../search/halving.ts';

/** Share of training every configuration to its end on every fold that a search takes: the least, and the most. */
export interface SearchShare {
  readonly least: number;
  readonly most: number;
}

/**
 * What a search will take of what all of its configurations would: known beforehand for halving, within bounds for racing.
 *
 * @param folds folds that the configurations are compared on
 */
export function searchShare(
  search: SearchSpec | undefined,
  trials: number,
  folds: number,
  epochs: number,
): SearchShare {
  switch (search?.method) {
    case 'halving': {
      let before = 0;
      let trained = 0;
      for (const rung of rungsOf(search, trials, epochs)) {
        trained += rung.trials * (rung.epochs - before);
        before = rung.epochs;
      }
      const share = trained / (trials * epochs);
      return { least: share, most: share };
    }
    case 'racing': {
      const first = Math.min(search.minFolds, folds);
      return { least: (trials * first + (folds - first)) / (trials * folds), most: 1 };
    }
    case 'grid':
    case 'random':
    case undefined:
      return { least: 1, most: 1 };
  }
}
