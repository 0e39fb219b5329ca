import type { Experiment } from '@crossfold/shared/config/experiment';
import { planModel } from '@crossfold/shared/model/plan';
import { describeDataset } from './describe.ts';

/**
 * What can be told of an experiment before anything is started or uploaded: that its data set is there, and that its net
 * takes such images. The nets of a search are checked with its trials.
 *
 * @param baseDir what a relative path is relative to
 * @throws ConfigError where that is not so
 */
export async function preflight(experiment: Experiment, baseDir: string): Promise<void> {
  const { image, classes } = await describeDataset(experiment.dataset, baseDir);
  if (experiment.search === undefined) planModel(experiment.model, image, classes, experiment.training.loss);
}
