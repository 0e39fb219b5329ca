import type { Experiment } from '@crossfold/shared/config/experiment';
import type { FoldsDocument } from '@crossfold/shared/folds/folds';
import type { ExperimentRecord, JobRecord } from '@crossfold/shared/jobs/records';
import type { ProgressEvent } from '@crossfold/shared/progress';
import type { Results } from '@crossfold/shared/results';

/** What a finished experiment leaves, for the run folder and the report. */
export interface Outcome {
  readonly record: ExperimentRecord;
  readonly experiment: Experiment;
  /** Undefined where the experiment ended before there could be any. */
  readonly results: Results | undefined;
  /** Undefined where none were made. */
  readonly folds: FoldsDocument | undefined;
  /** The models that were kept: one a completed fold, as tensor files. */
  readonly models: readonly {
    readonly trial: number;
    readonly repeat: number;
    readonly fold: number;
    readonly bytes: Uint8Array;
  }[];
}

/** A client of a cluster: all that the commands ask of it. */
export interface ExperimentClient {
  /**
   * Uploads the data set and submits the experiment under `id`; doing so again under the same id changes nothing.
   * @param baseDir what relative paths in the experiment are relative to
   * @param onProgress told how far a long upload is
   */
  submit(experiment: Experiment, baseDir: string, id: string, onProgress?: (message: string) => void): Promise<void>;
  /**
   * Events of an experiment: first how everything stands, then changes; ends with its final state or when the signal
   * aborts.
   * @throws ConfigError where no such experiment exists
   */
  follow(id: string, signal: AbortSignal): AsyncIterable<ProgressEvent>;
  /**
   * What a finished experiment left.
   * @param parts whether to fetch its models, which are large, as well; by default they are
   */
  outcome(id: string, parts?: { readonly models: boolean }): Promise<Outcome>;
  /** All experiments, newest first. */
  list(): Promise<readonly ExperimentRecord[]>;
  /** The jobs of an experiment in order of trial, repeat and fold. */
  jobs(id: string): Promise<readonly JobRecord[]>;
  /** Ends an experiment; returns its record, unchanged where it was over already. */
  cancel(id: string): Promise<ExperimentRecord>;
  close(): Promise<void>;
}
