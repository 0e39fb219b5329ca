import type { Broker } from '@crossfold/shared/broker/broker';
import { getJson } from '@crossfold/shared/broker/json-blobs';
import type { Roster } from '@crossfold/shared/broker/presence';
import { allProgress } from '@crossfold/shared/broker/subjects';
import { SweepPlan } from '@crossfold/shared/jobs/plan';
import type { JobRecord } from '@crossfold/shared/jobs/records';
import { isFinal, JobState, placeName } from '@crossfold/shared/jobs/records';
import type { Logger } from '@crossfold/shared/logger';
import { exposeWaits } from '@crossfold/shared/metrics/connection';
import type { Instruments, ServiceMetrics } from '@crossfold/shared/metrics/registry';
import { decodeProgress } from '@crossfold/shared/progress';
import { pause } from '@crossfold/shared/wait';
import type { Waits } from '@crossfold/shared/waits';
import type { LeaderObserver, View } from '../leader/context.ts';
import { parametersText } from '../results/text.ts';
import type { Parameters } from '../search/space.ts';
import { RefusedLogins, storageLimit } from './broker-monitor.ts';
import type { JobNews } from './standing.ts';
import { newsAfter, newsOfEnded, shownOf, standingOf } from './standing.ts';

/** How long the series of an experiment stay after it is over; its history lives in the run's folder. */
export const seriesKeptMs = 15 * 60_000;
const readPlansEveryMs = 500;
const readStorageEveryMs = 10_000;
const readLoginsEveryMs = 5000;

/** Gauges that are worked out anew at each reading. */
const remade = [
  'jobs',
  'workers',
  'workerInfo',
  'experimentInfo',
  'experimentCreated',
  'experimentProgress',
  'experimentElapsed',
  'experimentRemaining',
  'trialInfo',
  'trialParameter',
  'trialMean',
  'trialStddev',
  'trialFolds',
  'foldState',
  'foldProgress',
  'foldImages',
  'foldGeneration',
  'foldMembers',
  'foldAttempts',
  'foldAccuracy',
  'foldLoss',
  'foldEpoch',
  'foldValidatedEpoch',
  'foldEpochAccuracy',
] as const satisfies readonly (keyof Instruments<'coordinator'>)[];

export interface ExporterParts {
  readonly metrics: ServiceMetrics<'coordinator'>;
  readonly broker: Broker;
  /**
   * Monitoring ports of the broker's servers, `http://host:port`: asked for the limit that an account has not, and for
   * whom they did not let in.
   */
  readonly monitors?: readonly string[];
  readonly roster: Roster;
  readonly waits: Waits;
  readonly logger: Logger;
  readonly now: () => number;
}

/**
 * What a coordinator exposes. All gauges about experiments are worked out anew at each reading from what the leader
 * mirrors, so that none can be left behind: a coordinator that does not lead exposes none.
 */
export class Exporter implements LeaderObserver {
  readonly #parts: ExporterParts;
  readonly #set: Instruments<'coordinator'>;
  #view: View | undefined;
  readonly #news = new Map<string, JobNews>();
  /** Trials of experiments, once they have been read. */
  readonly #trials = new Map<string, SweepPlan['trials']>();
  readonly #waits: Waits;
  /** Experiments that the leader says wait for a worker. */
  readonly #unserved = new Set<string>();
  #served: (() => void) | undefined;

  constructor(parts: ExporterParts) {
    this.#parts = parts;
    this.#set = parts.metrics.instruments;
    this.#waits = parts.waits;
    parts.metrics.onRead(() => this.#update());
  }

  lead(view: View, signal: AbortSignal): void {
    const { broker, logger } = this.#parts;
    this.#view = view;
    this.#news.clear();
    this.#unserved.clear();
    const subscription = broker.nats.subscribe(allProgress, {
      callback: (error, message) => {
        if (error !== null) return;
        const decoded = decodeProgress(message.data, message.subject);
        if ('why' in decoded) {
          broker.border.dropped('progress', message.subject, decoded.why);
          return;
        }
        const event = decoded.value;
        // What is said of a job that is not known concerns nobody, and would be kept for ever.
        if (event.type === 'job' && view.jobs.has(event.job))
          this.#news.set(event.job, newsAfter(this.#news.get(event.job), event));
      },
    });
    signal.addEventListener(
      'abort',
      () => {
        this.#view = undefined;
        if (!broker.nats.isClosed()) subscription.unsubscribe();
      },
      { once: true },
    );
    const failed = (error: unknown): void => logger.debug({ err: error }, 'metrics could not be brought up to date');
    void repeat(readPlansEveryMs, signal, () => this.#readPlans(view), failed);
    void repeat(readStorageEveryMs, signal, () => this.#readStorage(), failed);
    const { monitors = [] } = this.#parts;
    const logins = new RefusedLogins(monitors, broker.border);
    if (monitors.length > 0) void repeat(readLoginsEveryMs, signal, () => logins.look(), failed);
  }

  lost(again: boolean): void {
    this.#set.generationChanges.inc({ reason: 'lost' });
    if (again) this.#set.retries.inc({ what: 'job' });
  }

  waits(experiment: string, waiting: boolean): void {
    if (waiting) this.#unserved.add(experiment);
    else this.#unserved.delete(experiment);
  }

  /** The parameters of an experiment's trials lie in the object store: they are read once. */
  async #readPlans(view: View): Promise<void> {
    const shown = this.#shownExperiments(view);
    for (const id of shown) {
      const plan = view.experiments.get(id)?.plan ?? null;
      if (plan === null || this.#trials.has(id)) continue;
      this.#trials.set(id, (await getJson(this.#parts.broker.artifacts, plan, SweepPlan)).trials);
    }
    for (const id of this.#trials.keys()) if (!shown.has(id)) this.#trials.delete(id);
    // What a group said goes once it has no more to say: the record knows what it came to, but for its last epoch.
    for (const [id, news] of this.#news) {
      const job = view.jobs.get(id);
      if (job === undefined || !shown.has(job.experiment)) this.#news.delete(id);
      else if (isFinal(job.state)) this.#news.set(id, newsOfEnded(news));
    }
  }

  async #readStorage(): Promise<void> {
    const { broker, monitors = [] } = this.#parts;
    const { storage } = await (await broker.nats.jetstreamManager()).getAccountInfo();
    this.#set.brokerStorage.set({ kind: 'used' }, storage);
    const limit = await storageLimit(broker, monitors);
    if (limit !== undefined) this.#set.brokerStorage.set({ kind: 'limit' }, limit);
  }

  #shownExperiments(view: View): Set<string> {
    const now = this.#parts.now();
    const shown = [...view.experiments.values()].filter(
      ({ state, finishedAt }) => !isFinal(state) || now - (finishedAt ?? now) < seriesKeptMs,
    );
    return new Set(shown.map(({ id }) => id));
  }

  #shownJobs(view: View): JobRecord[] {
    const experiments = this.#shownExperiments(view);
    return [...view.jobs.values()].filter((job) => job.kind === 'train' && experiments.has(job.experiment));
  }

  #update(): void {
    const { leader, brokerStorage } = this.#set;
    const view = this.#view;
    leader.set({}, view === undefined ? 0 : 1);
    for (const gauge of remade) this.#set[gauge].reset();
    if (view === undefined) {
      brokerStorage.reset();
      this.#stopWaiting();
    } else this.#showView(view);
    exposeWaits(this.#set, this.#waits, 0);
  }

  #stopWaiting(): void {
    this.#served?.();
    this.#served = undefined;
  }

  #showView(view: View): void {
    this.#showWorkers(view);
    const shown = this.#shownExperiments(view);
    const jobs = new Map([...shown].map((id) => [id, [] as JobRecord[]]));
    for (const job of this.#shownJobs(view)) jobs.get(job.experiment)?.push(job);
    for (const [id, own] of jobs) this.#showExperiment(view, id, own);
  }

  #showWorkers(view: View): void {
    const { workers, workerInfo } = this.#set;
    const alive = this.#parts.roster.alive();
    for (const state of ['idle', 'busy', 'draining', 'aside'] as const)
      workers.set({ state }, alive.filter((worker) => worker.state === state).length);
    for (const { worker, state, job } of alive) {
      const known = job === null ? undefined : view.jobs.get(job);
      const { experiment = '', trial = '' } = known ?? {};
      const labels = { experiment, trial: `${trial}`, fold: known === undefined ? '' : placeName(known) };
      workerInfo.set({ worker, state, ...labels }, 1);
    }
    const identities = new Set(alive.map(({ identity }) => identity));
    const running = (id: string): boolean => !isFinal(view.experiments.get(id)?.state ?? 'failed');
    const unserved =
      [...view.jobs.values()].some((job) => job.state === 'queued' && !identities.has(job.identity)) ||
      [...this.#unserved].some(running);
    // The leader says so to whoever follows the experiment.
    if (unserved) this.#served ??= this.#waits.begin(undefined, 'a matching worker');
    else this.#stopWaiting();
  }

  #showExperiment(view: View, experiment: string, jobs: readonly JobRecord[]): void {
    const set = this.#set;
    const record = view.experiments.get(experiment);
    if (record === undefined) return;
    const standing = standingOf(record, jobs, this.#news, this.#parts.now());
    set.experimentInfo.set({ experiment, name: record.name, state: record.state }, 1);
    set.experimentCreated.set({ experiment }, record.createdAt / 1000);
    set.experimentProgress.set({ experiment }, standing.progress);
    if (standing.elapsedSeconds !== undefined) set.experimentElapsed.set({ experiment }, standing.elapsedSeconds);
    if (standing.remainingSeconds !== undefined) set.experimentRemaining.set({ experiment }, standing.remainingSeconds);
    for (const state of JobState.options) set.jobs.set({ experiment, state }, standing.states.get(state) ?? 0);
    const shown = shownOf(standing);
    for (const { trial: number, states, accuracy } of shown.trials) {
      const trial = `${number}`;
      for (const state of JobState.options) set.trialFolds.set({ experiment, trial, state }, states.get(state) ?? 0);
      if (accuracy !== undefined) {
        set.trialMean.set({ experiment, trial }, accuracy.mean);
        set.trialStddev.set({ experiment, trial }, accuracy.std);
      }
      this.#showParameters(experiment, trial, this.#trials.get(experiment)?.[number]?.parameters);
    }
    for (const { fold, trial: number, ...at } of shown.folds) {
      const of = { experiment, trial: `${number}`, fold };
      set.foldState.set({ ...of, state: at.state }, 1);
      set.foldEpoch.set(of, at.epoch);
      set.foldProgress.set(of, at.progress);
      set.foldGeneration.set(of, at.generation);
      set.foldMembers.set(of, at.members);
      set.foldAttempts.set(of, at.attempts);
      if (at.imagesPerSecond !== undefined) set.foldImages.set(of, at.imagesPerSecond);
      if (at.validated !== undefined) set.foldValidatedEpoch.set(of, at.validated.epoch);
      for (const split of ['train', 'validation'] as const) {
        if (at.validated !== undefined) set.foldEpochAccuracy.set({ ...of, split }, at.validated.accuracy[split]);
        const scored = at[split];
        if (scored === undefined) continue;
        set.foldAccuracy.set({ ...of, split }, scored.accuracy);
        set.foldLoss.set({ ...of, split }, scored.loss);
      }
    }
  }

  #showParameters(experiment: string, trial: string, parameters: Parameters | undefined): void {
    if (parameters === undefined) return;
    this.#set.trialInfo.set({ experiment, trial, parameters: parametersText(parameters).slice(0, 400) }, 1);
    for (const [parameter, value] of Object.entries(parameters))
      if (typeof value === 'number') this.#set.trialParameter.set({ experiment, trial, parameter }, value);
  }
}

/** Does something now and then until the signal aborts, one time after the other. */
async function repeat(
  everyMs: number,
  signal: AbortSignal,
  work: () => Promise<void>,
  failed: (error: unknown) => void,
): Promise<void> {
  while (!signal.aborted) {
    await work().catch(failed);
    await pause(everyMs, signal);
  }
}
