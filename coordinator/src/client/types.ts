import type { Experiment } from '@crossfold/shared/config/experiment';
import type { FinalNet } from '@crossfold/shared/config/final';
import type { FoldsDocument } from '@crossfold/shared/folds/folds';
import type { ExperimentRecord, PublicJob, Selection } from '@crossfold/shared/jobs/records';
import type { ProgressEvent } from '@crossfold/shared/progress';
import type { Results } from '@crossfold/shared/results';
import type { Preflight } from '../data/preflight.ts';
import type { DatasetLibrary } from '../datasets/library.ts';
import type { LogFilter } from '../logs/select.ts';
import type { JobNews } from '../metrics/standing.ts';
import type { Removal, RemoveOptions, Unwanted } from '../removal/remove-experiments.ts';
import type { TimelineRecording } from '../timeline/recorder.ts';

/** What a finished experiment leaves, for the run folder and the report. */
export interface Outcome {
  readonly record: ExperimentRecord;
  readonly experiment: Experiment;
  /** Undefined where the experiment ended before there could be any. */
  readonly results: Results | undefined;
  /** Undefined where none were made. */
  readonly folds: FoldsDocument | undefined;
  /** The models that were kept: one a completed fold, and that of a refit, as tensor files. */
  readonly models: readonly {
    readonly trial: number;
    readonly repeat: number;
    readonly fold: number | 'refit';
    readonly bytes: Uint8Array;
  }[];
}

export interface SubmitOptions {
  /** Compute everything, whatever results the cluster has of equal jobs. */
  readonly fresh?: boolean;
  /** Told how far a long upload is. */
  readonly onProgress?: (message: string) => void;
  /** What the experiment comes to: held against the cluster's quotas before anything is uploaded. */
  readonly checked?: Preflight;
}

/** A client of a cluster: all that the commands ask of it. */
export interface ExperimentClient {
  /** The data sets that were imported to the cluster. */
  readonly datasets: DatasetLibrary;
  /**
   * Uploads the data set and submits the experiment under `id`; doing so again under the same id changes nothing.
   * @param baseDir what relative paths in the experiment are relative to
   * @throws ConfigError where it, or one experiment more, goes over a quota of the cluster; the leader looks as well
   */
  submit(experiment: Experiment, baseDir: string, id: string, options?: SubmitOptions): Promise<void>;
  /**
   * Events of an experiment: first how everything stands, then changes; ends with its final state or when the signal
   * aborts.
   * @throws ConfigError where no such experiment exists, or it is removed meanwhile
   */
  follow(id: string, signal: AbortSignal): AsyncIterable<ProgressEvent>;
  /**
   * What a finished experiment left.
   * @param parts whether to fetch its models, which are large, as well; by default they are
   */
  outcome(id: string, parts?: { readonly models: boolean }): Promise<Outcome>;
  /** All experiments, newest first. */
  list(): Promise<readonly ExperimentRecord[]>;
  /** What groups say of their jobs within `ms`, of one experiment or of all: they do so twice a second. */
  listen(ms: number, id?: string): Promise<ReadonlyMap<string, JobNews>>;
  /** The jobs of an experiment in order of trial, repeat and fold. */
  jobs(id: string): Promise<readonly PublicJob[]>;
  /**
   * Ends an experiment, or some of its jobs; returns its record, unchanged where it was over already.
   * @throws ConfigError where there is no such experiment, trial or fold
   */
  cancel(id: string, selection?: Selection): Promise<ExperimentRecord>;
  /**
   * Tries again what failed, or was cancelled, of an experiment or of some of its jobs; returns its record, unchanged
   * where it completed without any.
   * @throws ConfigError where there is no such experiment, trial or fold
   */
  resume(id: string, selection?: Selection): Promise<ExperimentRecord>;
  /**
   * Has a completed experiment leave another net: the configuration of its best trial, or of another one, trained anew on
   * all training samples, or the nets of its folds together; scored on the test set. Returns its record.
   * @throws ConfigError where that cannot be
   */
  refit(id: string, final: FinalNet, trial?: number): Promise<ExperimentRecord>;
  /**
   * Removes experiments that are over, and says what each took up: their records go at once, what else was stored for them,
   * and nothing else needs, when the leader next looks.
   * @throws ConfigError where one is not there or not over, before any is removed
   */
  remove(unwanted: Unwanted, options?: RemoveOptions): Promise<readonly Removal[]>;
  /** What services said about an experiment or a job, one JSON line each, in order of time. */
  logs(filter: LogFilter): Promise<readonly string[]>;
  /** The same, and then what they say from now on, until the experiment is over or the signal aborts. */
  followLogs(filter: LogFilter, signal: AbortSignal): AsyncIterable<readonly string[]>;
  /**
   * Records what workers do for an experiment, which need not be submitted yet, to a file in Chrome's trace format.
   * @throws ConfigError where the file cannot be written
   */
  recordTimeline(id: string, file: string): Promise<TimelineRecording>;
  close(): Promise<void>;
}
