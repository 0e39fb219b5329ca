import { join } from 'node:path';
import type { ExperimentClient, Outcome } from '@crossfold/coordinator/client/types';
import { resolvedYaml } from '@crossfold/coordinator/config/load';
import type { ExperimentStanding } from '@crossfold/coordinator/metrics/standing';
import { listenMs, standingOf } from '@crossfold/coordinator/metrics/standing';
import type { Place } from '@crossfold/coordinator/models/find-model';
import { chosen, chosenNets, modelAt, readModelFile } from '@crossfold/coordinator/models/find-model';
import { formatFoldTable } from '@crossfold/coordinator/results/fold-table';
import { foldsCsv } from '@crossfold/coordinator/results/folds-csv';
import { reportMarkdown } from '@crossfold/coordinator/results/markdown';
import { readRun } from '@crossfold/coordinator/results/read-run';
import { reportHtml } from '@crossfold/coordinator/results/report/report';
import { modelFile, writeRunFolder } from '@crossfold/coordinator/results/run-folder';
import type { TimelineRecording } from '@crossfold/coordinator/timeline/recorder';
import { ConfigError, ExperimentFailedError } from '@crossfold/shared/errors';
import type { ExperimentRecord, PublicJob, Selection } from '@crossfold/shared/jobs/records';
import { isFinal } from '@crossfold/shared/jobs/records';
import type { LogLine } from '@crossfold/shared/log-line';
import type { TrainedModel } from '@crossfold/shared/model/model-file';
import type { ProgressEvent } from '@crossfold/shared/progress';
import type { Results } from '@crossfold/shared/results';
import type { LogsOf } from './logs.ts';
import { filterFor, linesOf } from './logs.ts';
import type { ModelOf } from './model.ts';
import { Model } from './model.ts';
import type { Nets, NetsOf } from './nets.ts';
import { openNets } from './nets.ts';

export interface RefitOptions {
  /** Of this trial rather than the best one. */
  readonly trial?: number;
  /** The nets of all folds together, rather than one that is trained anew. */
  readonly ensemble?: boolean;
}

/** An experiment on a cluster, under way or over. */
export class Run {
  readonly id: string;
  readonly #client: ExperimentClient;
  /** Aborts when the cluster can no longer go on. */
  readonly #broken: AbortSignal;

  /** Made by `Cluster.submit` and `Cluster.run`. */
  constructor(id: string, client: ExperimentClient, broken: AbortSignal) {
    this.id = id;
    this.#client = client;
    this.#broken = broken;
  }

  /**
   * First how everything stands, then changes; ends with the experiment, or when the signal aborts.
   *
   * @throws whatever the cluster broke by, or the signal aborted for
   */
  async *events(signal?: AbortSignal): AsyncGenerator<ProgressEvent> {
    const end = signal === undefined ? this.#broken : AbortSignal.any([signal, this.#broken]);
    yield* this.#client.follow(this.id, end);
    end.throwIfAborted();
  }

  /**
   * Waits for the end.
   *
   * @param onEvent told of everything meanwhile
   * @throws ExperimentFailedError where it fails or is cancelled with nothing to show
   */
  async finished(
    onEvent: (event: ProgressEvent) => void = () => undefined,
    signal?: AbortSignal,
  ): Promise<FinishedRun> {
    for await (const event of this.events(signal)) onEvent(event);
    const outcome = await this.#client.outcome(this.id);
    const { record, results } = outcome;
    if (results === undefined) {
      const reason = record.error === null ? '' : `: ${record.error}`;
      if (record.badConfiguration) throw new ConfigError(`${this.id} cannot be run${reason}`);
      throw new ExperimentFailedError(`${this.id} ${record.state === 'failed' ? 'failed' : 'was cancelled'}${reason}`);
    }
    return FinishedRun.of(outcome, results);
  }

  /** @throws ConfigError where it has been removed */
  async record(): Promise<ExperimentRecord> {
    const found = (await this.#client.list()).find(({ id }) => id === this.id);
    if (found === undefined) throw new ConfigError(`there is no experiment ${this.id} any more`);
    return found;
  }

  /** Its jobs, in order of trial, repeat and fold. */
  jobs(): Promise<readonly PublicJob[]> {
    return this.#client.jobs(this.id);
  }

  /**
   * How far it and its folds are, and how long it still takes if it goes on as it went: what running jobs say within
   * 0.7 s is in it.
   * @throws ConfigError where it has been removed
   */
  async standing(): Promise<ExperimentStanding> {
    const record = await this.record();
    const news = isFinal(record.state) ? new Map() : await this.#client.listen(listenMs, this.id);
    return standingOf(record, await this.jobs(), news, Date.now());
  }

  /**
   * Ends it where it is, or some of its jobs: those of a trial, of a fold, of a trial on a fold. What is over stays as it
   * is. Gives its record, unchanged where it was over already.
   *
   * @throws ConfigError where there is no such trial or fold
   */
  cancel(selection: Selection = {}): Promise<ExperimentRecord> {
    return this.#client.cancel(this.id, selection);
  }

  /**
   * Tries again what failed, or was cancelled, of it or of some of its jobs, from their last checkpoints; `finished` waits
   * for what comes of it. Gives its record, unchanged where it completed without any.
   *
   * @throws ConfigError where there is no such trial or fold, or the cluster has no room for an experiment more
   */
  resume(selection: Selection = {}): Promise<ExperimentRecord> {
    return this.#client.resume(this.id, selection);
  }

  /**
   * Has it leave the net to be used, scored on the test set: the configuration of its best trial trained anew on all
   * training samples, or the nets of its folds together. `finished` waits for it, and gives the results anew.
   *
   * @throws ConfigError where it has not completed, or there is no such trial that has
   */
  refit({ trial, ensemble = false }: RefitOptions = {}): Promise<ExperimentRecord> {
    return this.#client.refit(this.id, ensemble ? 'ensemble' : 'refit', trial);
  }

  /**
   * What services said about it or one of its jobs, in order of time. A cluster keeps the lines of a week.
   *
   * @throws ConfigError where the job is not one of it, or it has been removed
   */
  async logs(of: LogsOf = {}): Promise<LogLine[]> {
    return linesOf(await this.#client.logs(filterFor(this.id, of)));
  }

  /**
   * The same, and then what they say from now on; ends with the experiment, or when the signal aborts.
   *
   * @throws as `logs`, and whatever the cluster broke by
   */
  async *followLogs(of: LogsOf = {}, signal?: AbortSignal): AsyncGenerator<LogLine> {
    const end = signal === undefined ? this.#broken : AbortSignal.any([signal, this.#broken]);
    for await (const texts of this.#client.followLogs(filterFor(this.id, of), end)) yield* linesOf(texts);
    this.#broken.throwIfAborted();
  }

  /**
   * Records from now on what every worker does for it, on one clock, until the recording is stopped, which ends the file:
   * a trace that ui.perfetto.dev opens.
   *
   * @throws ConfigError where the file cannot be written
   */
  recordTimeline(file: string): Promise<TimelineRecording> {
    return this.#client.recordTimeline(this.id, file);
  }
}

/** What an experiment has come to. */
export class FinishedRun {
  /** As in `results.json`; every score, of every fold of every trial. */
  readonly results: Results;
  /** The experiment with every default written out. */
  readonly yaml: string;
  /** What it is called in messages: its id, or its folder. */
  readonly #name: string;
  readonly #read: (place: Place) => Promise<TrainedModel>;
  readonly #outcome: Outcome | undefined;

  private constructor(
    { results, yaml }: { readonly results: Results; readonly yaml: string },
    name: string,
    read: (place: Place) => Promise<TrainedModel>,
    outcome?: Outcome,
  ) {
    this.results = results;
    this.yaml = yaml;
    this.#name = name;
    this.#read = read;
    this.#outcome = outcome;
  }

  static of(outcome: Outcome, results: Results): FinishedRun {
    const read = async (place: Place): Promise<TrainedModel> => modelAt(outcome.models, place, results.id);
    return new FinishedRun({ results, yaml: resolvedYaml(outcome.experiment) }, results.id, read, outcome);
  }

  static async read(folder: string): Promise<FinishedRun> {
    const run = await readRun(folder);
    const { repeats } = run.results.split;
    return new FinishedRun(run, folder, ({ trial, repeat, fold }) =>
      readModelFile(join(folder, modelFile(trial, repeat, fold, repeats))),
    );
  }

  /** The table of folds that the command line ends with. */
  table(): string {
    return formatFoldTable(this.results, { color: false });
  }

  /** The report as one page, which needs no network. */
  html(): string {
    return reportHtml({ results: this.results, yaml: this.yaml });
  }

  /** The report as Markdown. */
  markdown(): string {
    return reportMarkdown(this.results, this.yaml);
  }

  /** A table of the folds as CSV, a line for each fold of each trial. */
  csv(): string {
    return foldsCsv(this.results);
  }

  /**
   * A net of it: its refit where it has one, else the best fold's of the best trial, where nothing else is asked for. To be
   * closed after use.
   * @throws ConfigError where there is none such
   */
  async model(choice: ModelOf = {}): Promise<Model> {
    return Model.open(await this.#read(chosen(this.results, choice, this.#name)));
  }

  /**
   * What answers for it, to predict and to be scored: one net, or with `fold: 'ensemble'` those of all folds of a trial
   * together. To be closed after use.
   * @throws ConfigError where there is none such
   */
  async nets(choice: NetsOf = {}): Promise<Nets> {
    const places = chosenNets(this.results, choice, this.#name);
    return openNets(await Promise.all(places.map((place) => this.#read(place))));
  }

  /**
   * Writes the run's folder, as the command line does: resolved experiment, folds, results, history, report, models.
   *
   * @throws ConfigError where this was read from a folder itself
   */
  async save(folder: string): Promise<void> {
    if (this.#outcome === undefined) throw new ConfigError('this run was read from a folder: it is saved already');
    await writeRunFolder(this.#outcome, folder);
  }
}

/**
 * A finished run out of its folder.
 *
 * @throws ConfigError where there are no results in it; DamagedDataError where they are not what they should be
 */
export const openRun = (folder: string): Promise<FinishedRun> => FinishedRun.read(folder);
