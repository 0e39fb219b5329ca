import type { LoadedExperiment } from '@crossfold/coordinator/config/load';
import { checkExperiment, loadExperiment as loadFile } from '@crossfold/coordinator/config/load';
import { describeDataset } from '@crossfold/coordinator/data/describe';
import { formatModelTable } from '@crossfold/coordinator/results/model-table';
import type { Experiment } from '@crossfold/shared/config/experiment';
import { planModel } from '@crossfold/shared/model/plan';
import type { z } from 'zod';

export type { LoadedExperiment };

/** An experiment as a file would have it: fields with a default may be left out. */
export type ExperimentInput = z.input<typeof Experiment>;

/** Fields to set, by their dotted paths: `{ 'training.epochs': 1 }`. */
export type Settings = Readonly<Record<string, unknown>>;

/**
 * Reads and checks an experiment file.
 *
 * @param settings fields to set, in this order, as `--set` does
 * @throws ConfigError for the first thing that is wrong: the field, its value, what is allowed, and the line
 */
export const loadExperiment = (file: string, settings: Settings = {}): Promise<LoadedExperiment> =>
  loadFile(file, overrides(settings));

/**
 * Checks an experiment that is written here rather than in a file.
 *
 * @param baseDir what relative paths in it are relative to; the working folder where not given
 * @throws ConfigError for the first thing that is wrong
 */
export const defineExperiment = (
  experiment: ExperimentInput,
  baseDir: string = process.cwd(),
): Promise<LoadedExperiment> => checkExperiment(experiment, baseDir);

/** The layers of an experiment's net as a table: what comes out of each, and how many parameters it has. */
export async function summarize({ experiment, baseDir }: LoadedExperiment): Promise<string> {
  const { image, classes } = await describeDataset(experiment.dataset, baseDir);
  return formatModelTable(planModel(experiment.model, image, classes, experiment.training.loss));
}

// JSON is YAML.
const overrides = (settings: Settings): string[] =>
  Object.entries(settings).map(([path, value]) => `${path}=${JSON.stringify(value)}`);
