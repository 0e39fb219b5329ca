import { join } from 'node:path';
import type { ExperimentClient, Outcome } from '@crossfold/coordinator/client/types';
import { resolvedYaml } from '@crossfold/coordinator/config/load';
import { chosen, modelAt, readModelFile } from '@crossfold/coordinator/models/find-model';
import { formatFoldTable } from '@crossfold/coordinator/results/fold-table';
import { reportMarkdown } from '@crossfold/coordinator/results/markdown';
import { readRun } from '@crossfold/coordinator/results/read-run';
import { reportHtml } from '@crossfold/coordinator/results/report/report';
import { modelFile, writeRunFolder } from '@crossfold/coordinator/results/run-folder';
import { ConfigError, ExperimentFailedError } from '@crossfold/shared/errors';
import type { ExperimentRecord, PublicJob } from '@crossfold/shared/jobs/records';
import type { TrainedModel } from '@crossfold/shared/model/model-file';
import type { ProgressEvent } from '@crossfold/shared/progress';
import type { Results } from '@crossfold/shared/results';
import type { ModelOf } from './model.ts';
import { Model } from './model.ts';

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

  async record(): Promise<ExperimentRecord> {
    const found = (await this.#client.list()).find(({ id }) => id === this.id);
    if (found === undefined) throw new ConfigError(`there is no experiment ${this.id} any more`);
    return found;
  }

  /** Its jobs, in order of trial, repeat and fold. */
  jobs(): Promise<readonly PublicJob[]> {
    return this.#client.jobs(this.id);
  }

  /** Ends it where it is. What its folds have come to stays. */
  async cancel(): Promise<void> {
    await this.#client.cancel(this.id);
  }
}

/** What an experiment has come to. */
export class FinishedRun {
  /** As in `results.json`; every score, of every fold of every trial. */
  readonly results: Results;
  /** The experiment with every default written out. */
  readonly yaml: string;
  readonly #readModel: (choice: ModelOf) => Promise<TrainedModel>;
  readonly #outcome: Outcome | undefined;

  private constructor(
    results: Results,
    yaml: string,
    readModel: (choice: ModelOf) => Promise<TrainedModel>,
    outcome?: Outcome,
  ) {
    this.results = results;
    this.yaml = yaml;
    this.#readModel = readModel;
    this.#outcome = outcome;
  }

  static of(outcome: Outcome, results: Results): FinishedRun {
    const readModel = async (choice: ModelOf): Promise<TrainedModel> => {
      const place = chosen(results, choice, results.id);
      return modelAt(outcome.models, place, results.id);
    };
    return new FinishedRun(results, resolvedYaml(outcome.experiment), readModel, outcome);
  }

  static async read(folder: string): Promise<FinishedRun> {
    const { results, yaml } = await readRun(folder);
    return new FinishedRun(results, yaml, (choice) => {
      const { trial, repeat, fold } = chosen(results, choice, folder);
      return readModelFile(join(folder, modelFile(trial, repeat, fold, results.split.repeats)));
    });
  }

  /** The table of folds that the command line ends with. */
  table(): string {
    return formatFoldTable(this.results, { color: false });
  }

  /** The report as one page, which needs no network. */
  html(): string {
    return reportHtml({ results: this.results, yaml: this.yaml });
  }

  markdown(): string {
    return reportMarkdown(this.results, this.yaml);
  }

  /** A net of it: the best fold's of the best trial where nothing else is asked for. To be closed after use. */
  async model(choice: ModelOf = {}): Promise<Model> {
    return Model.open(await this.#readModel(choice));
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
