import type { LoadedExperiment } from '@crossfold/coordinator/config/load';
import { checkExperiment, loadExperiment as loadFile } from '@crossfold/coordinator/config/load';
import { describeDataset } from '@crossfold/coordinator/data/describe';
import { located, preflight } from '@crossfold/coordinator/data/preflight';
import { readImported } from '@crossfold/coordinator/datasets/imported';
import type { DryRun } from '@crossfold/coordinator/estimate/dry-run';
import { measuredDryRun } from '@crossfold/coordinator/estimate/measured';
import { dryRunText } from '@crossfold/coordinator/estimate/text';
import { formatModelTable, modelDocument } from '@crossfold/coordinator/results/model-table';
import type { Experiment } from '@crossfold/shared/config/experiment';
import type { ImageShape } from '@crossfold/shared/data/manifest';
import type { ModelPlan } from '@crossfold/shared/model/plan';
import { planModel } from '@crossfold/shared/model/plan';
import type { z } from 'zod';
import { Datasets } from './datasets.ts';

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

/** What a net is for; the experiment's data set says so where it is not given. */
export interface NetFor {
  readonly image?: ImageShape;
  readonly classes?: number;
}

/**
 * The layers of an experiment's net as a table: what comes out of each, and how many parameters it has.
 *
 * @param of other images or classes than the data set's; where both are given that need not be there
 * @throws ConfigError where the net does not take such images, or there is no such data set
 */
export const summarize = async (loaded: LoadedExperiment, of: NetFor = {}): Promise<string> =>
  formatModelTable(await planOf(loaded, of));

/** The same as a document, each layer with its fields, as `inspect summary --json` prints it. @throws as `summarize` */
export const layersOf = async (loaded: LoadedExperiment, of: NetFor = {}): Promise<ReturnType<typeof modelDocument>> =>
  modelDocument(await planOf(loaded, of));

async function planOf({ experiment, baseDir, at }: LoadedExperiment, of: NetFor): Promise<ModelPlan> {
  const { dataset, model, training } = experiment;
  const { image, classes } =
    of.image === undefined || of.classes === undefined
      ? { ...(await describeDataset(dataset, baseDir)), ...of }
      : { image: of.image, classes: of.classes };
  return located(at, async () => planModel(model, image, classes, training.loss));
}

export interface EstimateOptions {
  /** Workers that there will be; its time on them all is left open where not given. */
  readonly workers?: number;
  /** Imported data sets that it may use besides those of this machine: `cluster.datasets`. */
  readonly datasets?: Datasets;
}

/**
 * What an experiment comes to, as `--dry-run` says it: trials, folds and jobs, parameters, memory, and time by a few
 * batches that are trained in this process. Starts and writes nothing.
 *
 * @throws ConfigError where its data set, net or split cannot be
 */
export async function estimate(loaded: LoadedExperiment, { workers, datasets }: EstimateOptions = {}): Promise<DryRun> {
  const checked = await preflight(loaded, (spec) => readImported(spec, Datasets.librariesOf(datasets)));
  return measuredDryRun(loaded.experiment, checked, workers, () => performance.now());
}

/** An estimate for a terminal. */
export const estimateText = dryRunText;

// JSON is YAML.
const overrides = (settings: Settings): string[] =>
  Object.entries(settings).map(([path, value]) => `${path}=${JSON.stringify(value)}`);
