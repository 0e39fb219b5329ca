/**
 * What the command line does, from TypeScript; docs/library.md shows how. Everything here is a thin layer over the very
 * modules that the commands run.
 */
export type { SubmitOptions } from '@crossfold/coordinator/client/types';
export type { DryRun as Estimate } from '@crossfold/coordinator/estimate/dry-run';
export type { ExperimentStanding as Standing } from '@crossfold/coordinator/metrics/standing';
export type { Labelled as Dataset, PartName } from '@crossfold/coordinator/models/labelled-pictures';
export type { PictureFile } from '@crossfold/coordinator/models/picture-files';
export { pictureFiles } from '@crossfold/coordinator/models/picture-files';
export type { Prediction } from '@crossfold/coordinator/models/predictions';
export type { ModelFormat } from '@crossfold/coordinator/models/write-model';
export type { Removal, RemoveOptions, Unwanted } from '@crossfold/coordinator/removal/remove-experiments';
export type { TimelineRecording } from '@crossfold/coordinator/timeline/recorder';
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
export type { ExperimentRecord, PublicJob, Selection } from '@crossfold/shared/jobs/records';
export type { LogLine } from '@crossfold/shared/log-line';
export type { ProgressEvent } from '@crossfold/shared/progress';
export type { FoldResult, Results, Scores, TrialResult } from '@crossfold/shared/results';
export type { Activation } from '@crossfold/worker/engine/predictor';
export type { Cluster, ClusterOptions } from './cluster.ts';
export { connect, startCluster } from './cluster.ts';
export type { DatasetOptions } from './dataset.ts';
export { openDataset, readPicture, variedSamples } from './dataset.ts';
export type { DatasetDocument, DatasetRemoval, Datasets, ImportOptions, Verification } from './datasets.ts';
export { localDatasets } from './datasets.ts';
export type { EstimateOptions, ExperimentInput, LoadedExperiment, NetFor, Settings } from './experiment.ts';
export { defineExperiment, estimate, estimateText, layersOf, loadExperiment, summarize } from './experiment.ts';
export type { LogsOf } from './logs.ts';
export { followLogs, logText, readLogs } from './logs.ts';
export type { ModelOf } from './model.ts';
export { evaluationTable, loadModel, Model } from './model.ts';
export type { EvaluateOptions, Evaluation, NetsOf } from './nets.ts';
export { Nets } from './nets.ts';
export { contactSheet, featureMaps, plotCurves, plotFolds } from './pictures.ts';
export type { RefitOptions, Run } from './run.ts';
export { FinishedRun, openRun } from './run.ts';
