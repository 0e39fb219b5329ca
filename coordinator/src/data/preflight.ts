import type { Experiment } from '@crossfold/shared/config/experiment';
import { fittingTrials } from '../search/trials.ts';
import { describeDataset } from './describe.ts';

/**
 * What can be told of an experiment before anything is started or uploaded: that its data set is there, and that its net,
 * or each one of a search, takes such images.
 *
 * @param baseDir what a relative path is relative to
 * @throws ConfigError where that is not so
 */
export async function preflight(experiment: Experiment, baseDir: string): Promise<void> {
  const { image, classes } = await describeDataset(experiment.dataset, baseDir);
  fittingTrials(experiment, image, classes);
}
