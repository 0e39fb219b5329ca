/**
 * What the command line does, from TypeScript; docs/library.md shows how. Everything here is a thin layer over the very
 * modules that the commands run.
 */
export type { SubmitOptions } from '@crossfold/coordinator/client/types';
export type { EvaluationDocument as Evaluation } from '@crossfold/coordinator/models/evaluation-text';
export type { Labelled as Dataset, PartName } from '@crossfold/coordinator/models/labelled-pictures';
export type { Prediction } from '@crossfold/coordinator/models/predictions';
export type { ModelFormat } from '@crossfold/coordinator/models/write-model';
export type { Removal } from '@crossfold/coordinator/removal/remove-experiments';
export type { Experiment } from '@crossfold/shared/config/experiment';
export {
  ConfigError,
  CrossfoldError,
  ExperimentFailedError,
  InterruptedError,
  TimeoutError,
  UnreachableError,
} from '@crossfold/shared/errors';
export type { FoldsDocument as Folds } from '@crossfold/shared/folds/folds';
export type { ExperimentRecord, PublicJob } from '@crossfold/shared/jobs/records';
export type { ProgressEvent } from '@crossfold/shared/progress';
export type { FoldResult, Results, Scores, TrialResult } from '@crossfold/shared/results';
export type { Activation } from '@crossfold/worker/engine/predictor';
export type { Cluster, ClusterOptions } from './cluster.ts';
export { connect, startCluster } from './cluster.ts';
export type { DatasetOptions } from './dataset.ts';
export { openDataset, readPicture, variedSamples } from './dataset.ts';
export type { DatasetDocument, DatasetRemoval, Datasets, ImportOptions, Verification } from './datasets.ts';
export { localDatasets } from './datasets.ts';
export type { ExperimentInput, LoadedExperiment, Settings } from './experiment.ts';
export { defineExperiment, loadExperiment, summarize } from './experiment.ts';
export type { ModelOf } from './model.ts';
export { evaluationTable, loadModel, Model } from './model.ts';
export { contactSheet, featureMaps, plotCurves, plotFolds } from './pictures.ts';
export type { Run } from './run.ts';
export { FinishedRun, openRun } from './run.ts';
