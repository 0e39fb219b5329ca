import { ConfigError } from '@crossfold/shared/errors';
import type { Fold } from '@crossfold/shared/folds/folds';
import { makeFolds } from '@crossfold/shared/folds/folds';
import type { LoadedExperiment } from '../config/load.ts';
import type { ReadImported } from '../datasets/imported.ts';
import { importedName } from '../datasets/imported.ts';
import { readHere } from '../datasets/read-here.ts';
import type { Trial } from '../search/trials.ts';
import { fittingTrials } from '../search/trials.ts';
import type { LocalData } from './local-data.ts';
import { localData } from './local-data.ts';

/** What an experiment comes to. */
export interface Preflight {
  readonly data: LocalData;
  readonly trials: readonly Trial[];
  readonly folds: readonly Fold[];
}

/**
 * What can be told of an experiment before anything is started or uploaded: that its data set is there, that its net, or
 * each one of a search, takes such images, and that its samples can be split as it says.
 *
 * @param read how to look at an imported data set: on this machine where not given
 * @throws ConfigError where that is not so
 */
export function preflight(
  { experiment, baseDir, at }: LoadedExperiment,
  read: ReadImported = readHere(process.env),
): Promise<Preflight> {
  return located(at, async () => {
    const { dataset } = experiment;
    const data = await (importedName(dataset) === undefined ? localData(dataset, baseDir) : read(dataset));
    const trials = fittingTrials(experiment, data.image, data.classes);
    return { data, trials, folds: makeFolds(experiment.evaluation, data.samples, experiment.seed) };
  });
}

/** Says of what is wrong with a field of an experiment where in its file that stands. */
export async function located<T>(at: LoadedExperiment['at'], act: () => Promise<T>): Promise<T> {
  try {
    return await act();
  } catch (error) {
    if (!(error instanceof ConfigError) || error.problem === undefined) throw error;
    throw new ConfigError({ ...at(error.problem.field), ...error.problem });
  }
}
