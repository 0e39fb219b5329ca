import type { Broker } from '@crossfold/shared/broker/broker';
import { openBroker } from '@crossfold/shared/broker/broker';
import { connectTimeoutMs } from '@crossfold/shared/broker/connection';
import { getExperiment, getJson, putJson } from '@crossfold/shared/broker/json-blobs';
import { readQuotas } from '@crossfold/shared/broker/quotas';
import { allProgress, experimentProgress } from '@crossfold/shared/broker/subjects';
import { plateauNeedsValidation } from '@crossfold/shared/config/experiment';
import { ConfigError } from '@crossfold/shared/errors';
import { FoldsDocument } from '@crossfold/shared/folds/folds';
import { RefitJobResult, TrainJobResult } from '@crossfold/shared/jobs/job-result';
import { SweepPlan } from '@crossfold/shared/jobs/plan';
import type { BlobRef, ExperimentRecord, JobRecord, Selection } from '@crossfold/shared/jobs/records';
import { covers, epochsDone, isFinal, publicJob } from '@crossfold/shared/jobs/records';
import type { JobProgress, ProgressEvent } from '@crossfold/shared/progress';
import { decodeProgress } from '@crossfold/shared/progress';
import type { Quotas } from '@crossfold/shared/quotas';
import { tooManyExperiments } from '@crossfold/shared/quotas';
import { Results } from '@crossfold/shared/results';
import { pause } from '@crossfold/shared/wait';
import { rooted } from '../config/load.ts';
import { inLines } from '../data/count-progress.ts';
import { clusterLibrary } from '../datasets/library.ts';
import { keptFromRemoval } from '../datasets/removals.ts';
import { uploadDataset } from '../datasets/upload-dataset.ts';
import { checkDemand, demandOf } from '../estimate/demand.ts';
import { clusterLogs, followCluster } from '../logs/cluster.ts';
import type { JobNews } from '../metrics/standing.ts';
import { newsAfter } from '../metrics/standing.ts';
import { uploadStart } from '../models/start-model.ts';
import { removeExperiments } from '../removal/remove-experiments.ts';
import { recordTimeline } from '../timeline/recorder.ts';
import { TraceFile } from '../timeline/trace-file.ts';
import { cancel, makeFinal, resume } from './control.ts';
import type { ExperimentClient, Outcome } from './types.ts';

const maxModelBytes = 2 ** 31;
/** Events from workers that wait to be shown; those from records come in any case. */
const maxQueued = 10_000;

/**
 * A client of the cluster behind a broker.
 *
 * @throws UnreachableError where the broker does not answer.
 */
export async function connectClient(url: string, patienceMs = connectTimeoutMs): Promise<ExperimentClient> {
  return brokerClient(await openBroker(url, 'client', { role: 'client', patienceMs }));
}

/** The same over a connection that is there already; closing it closes that. */
export function brokerClient(broker: Broker): ExperimentClient {
  const recordOf = async (id: string): Promise<ExperimentRecord> => {
    const stored = await broker.experiments.get(id);
    if (stored === undefined)
      throw new ConfigError(`there is no experiment ${JSON.stringify(id)}; \`crossfold list\` shows those there are`);
    return stored.value;
  };
  const jobsOf = async (id: string): Promise<JobRecord[]> =>
    (await broker.jobs.list(`${id}.>`, leftOut)).sort(jobOrder);
  const checkSelection = async ({ plan }: ExperimentRecord, { trial, fold }: Selection): Promise<void> => {
    if (plan === null || (trial === undefined && fold === undefined)) return;
    const { trials, folds } = await getJson(broker.artifacts, plan, SweepPlan);
    const wrong = (field: string, value: number, last: number | undefined): ConfigError =>
      new ConfigError({ field: `--${field}`, value: String(value), allowed: `must be from 0 to ${last ?? 0}` });
    if (trial !== undefined && trials[trial] === undefined) throw wrong('trial', trial, trials.at(-1)?.trial);
    if (fold !== undefined && !folds.some((one) => one.fold === fold))
      throw wrong('fold', fold, Math.max(...folds.map((one) => one.fold)));
  };
  /** The cluster's quotas. @throws ConfigError where this experiment is one too many that is not over */
  const checkRoom = async (id: string): Promise<Quotas | undefined> => {
    const quotas = await readQuotas(broker);
    if (quotas === undefined) return undefined;
    const others = (await broker.experiments.list('>', leftOut)).filter((one) => one.id !== id && !isFinal(one.state));
    const refused = tooManyExperiments(others.length, quotas);
    if (refused !== undefined) throw refused;
    return quotas;
  };
  const datasets = clusterLibrary(broker);
  return {
    datasets,
    async submit(experiment, baseDir, id, { fresh = false, onProgress, checked } = {}) {
      const quotas = await checkRoom(id);
      if (quotas !== undefined && checked !== undefined) checkDemand(demandOf(experiment, checked), quotas);
      const recordFor = (spec: BlobRef, source: BlobRef): ExperimentRecord => ({
        schema: 1,
        id,
        name: experiment.name,
        state: 'submitted',
        spec,
        source,
        manifest: null,
        folds: null,
        plan: null,
        results: null,
        jobs: 0,
        priority: experiment.priority,
        maxConcurrentJobs: experiment.maxConcurrentJobs ?? null,
        fresh,
        final: experiment.final,
        cancelled: [],
        resumed: [],
        error: null,
        badConfiguration: false,
        createdAt: Date.now(),
        startedAt: null,
        finishedAt: null,
      });
      await datasets.uploading(() =>
        keptFromRemoval(
          datasets,
          async () => {
            const source = await uploadDataset(experiment.dataset, baseDir, datasets, inLines(onProgress));
            // Last, so that they are young when the record refers to them.
            await uploadStart(experiment, broker.artifacts);
            return [await putJson(broker.artifacts, rooted(experiment, baseDir)), source] as const;
          },
          ([spec, source]) => broker.experiments.create(id, recordFor(spec, source)),
        ),
      );
    },
    async *follow(id, signal) {
      await recordOf(id);
      yield* followExperiment(broker, id, signal);
    },
    async outcome(id, { models: wanted } = { models: true }) {
      const record = await recordOf(id);
      const results = record.results === null ? undefined : await getJson(broker.artifacts, record.results, Results);
      const models: Outcome['models'][number][] = [];
      // Of a search, the models of what it has found.
      const found = new Set([results?.best?.trial, results?.final?.trial]);
      for (const { kind, trial, repeat, fold, result } of wanted ? await jobsOf(id) : []) {
        if (kind === 'test' || result === null) continue;
        const isWanted =
          kind === 'refit'
            ? results?.final?.of === 'refit' && trial === results.final.trial
            : results?.search === undefined || found.has(trial);
        if (!isWanted) continue;
        const { model } = await (kind === 'refit'
          ? getJson(broker.artifacts, result, RefitJobResult)
          : getJson(broker.artifacts, result, TrainJobResult));
        const bytes = await broker.artifacts.get(model.digest, maxModelBytes);
        models.push({ trial, repeat, fold: kind === 'refit' ? 'refit' : fold, bytes });
      }
      return {
        record,
        experiment: await getExperiment(broker.artifacts, record.spec),
        results,
        folds: record.folds === null ? undefined : await getJson(broker.artifacts, record.folds, FoldsDocument),
        models,
      };
    },
    async list() {
      return (await broker.experiments.list('>', leftOut)).sort((a, b) => b.createdAt - a.createdAt);
    },
    async listen(ms, id) {
      const news = new Map<string, JobNews>();
      const subscription = broker.nats.subscribe(id === undefined ? allProgress : experimentProgress(id), {
        callback: (error, message) => {
          const decoded = error === null ? decodeProgress(message.data, message.subject) : { why: error.message };
          const event = 'value' in decoded ? decoded.value : undefined;
          if (event?.type === 'job') news.set(event.job, newsAfter(news.get(event.job), event));
        },
      });
      await pause(ms, new AbortController().signal);
      subscription.unsubscribe();
      return news;
    },
    jobs: async (id) => (await jobsOf(id)).map(publicJob),
    async cancel(id, selection = {}) {
      await checkSelection(await recordOf(id), selection);
      const cancelled = await broker.experiments.transition(id, (current) => cancel(current, selection, Date.now()));
      return cancelled ?? recordOf(id);
    },
    async resume(id, selection = {}) {
      const record = await recordOf(id);
      await checkSelection(record, selection);
      const states = (await jobsOf(id)).filter((job) => covers(selection, job)).map(({ state }) => state);
      if (record.state === 'completed' && !states.some((state) => state === 'failed' || state === 'cancelled'))
        return record;
      if (isFinal(record.state)) await checkRoom(id);
      return (await broker.experiments.transition(id, (current) => resume(current, selection))) ?? recordOf(id);
    },
    async refit(id, final, trial) {
      const record = await recordOf(id);
      if (record.state !== 'completed' || record.results === null)
        throw new ConfigError(
          `${id} is ${record.state}: a net is made of what was found once it has completed, or by final: ${final} in its file`,
        );
      const { trials } = await getJson(broker.artifacts, record.results, Results);
      const completed = trials.filter(({ status }) => status === 'completed').map((one) => one.trial);
      if (trial !== undefined && !completed.includes(trial))
        throw new ConfigError({
          field: '--trial',
          value: String(trial),
          allowed: `must be one of those that completed: ${completed.join(', ')}`,
        });
      const { schedule } = (await getExperiment(broker.artifacts, record.spec)).training;
      if (final === 'refit' && schedule?.name === 'plateau') throw new ConfigError(`${id}: ${plateauNeedsValidation}`);
      await checkRoom(id);
      return (
        (await broker.experiments.transition(id, (current) => makeFinal(current, final, trial))) ?? (await recordOf(id))
      );
    },
    remove: (unwanted, options) => removeExperiments(broker, unwanted, Date.now(), options),
    async logs(filter) {
      await recordOf(filter.experiment);
      return clusterLogs(broker, filter);
    },
    async *followLogs(filter, signal) {
      await recordOf(filter.experiment);
      yield* followCluster(broker, filter, signal);
    },
    async recordTimeline(id, file) {
      const now = (): number => performance.timeOrigin + performance.now();
      return recordTimeline(broker.nats, id, await TraceFile.create(file), now);
    },
    close: () => broker.close(),
  };
}

/** Records that nobody can read are nobody's: those that can be are shown without them. */
const leftOut = (): void => undefined;

const jobOrder = (a: JobRecord, b: JobRecord): number =>
  a.kind.localeCompare(b.kind) * -1 || a.trial - b.trial || a.repeat - b.repeat || a.fold - b.fold;

/**
 * Events of an experiment, from three sources: its record, its jobs' records, and the progress that workers publish.
 * Ends once the record is final (the records of its jobs were final before).
 */
async function* followExperiment(broker: Broker, id: string, signal: AbortSignal): AsyncIterable<ProgressEvent> {
  const over = new AbortController();
  const queue: ProgressEvent[] = [];
  let removed = false;
  let wake: () => void = () => undefined;
  const push = (event: ProgressEvent): void => {
    queue.push(event);
    wake();
  };
  const end = (): void => wake();
  signal.addEventListener('abort', end, { once: true });
  const stopListening = broker.link.onChange((connected) => {
    const message = connected ? 'the broker is back' : 'the broker is away: waiting for it';
    push({ type: 'log', level: connected ? 'info' : 'warn', message });
  });
  const damaged = (error: Error): void => push({ type: 'log', level: 'error', message: error.message });
  const subscription = broker.nats.subscribe(experimentProgress(id), {
    callback: (error, message) => {
      const decoded = error === null ? decodeProgress(message.data, message.subject) : { why: error.message };
      // For show alone: where nobody reads as fast as they come, the newest have to wait their turn or go.
      if ('value' in decoded && queue.length < maxQueued) push(decoded.value);
    },
  });
  try {
    await broker.jobs.watch(`${id}.>`, over.signal, ({ value }) => push(jobEvent(value)), damaged);
    await broker.experiments.watch(
      id,
      over.signal,
      ({ value }) =>
        push({
          type: 'experiment',
          state: value.state,
          ...(value.jobs > 0 ? { jobs: value.jobs } : {}),
          ...(value.work === undefined ? {} : { work: value.work }),
          ...(value.error === null ? {} : { message: value.error }),
        }),
      damaged,
      () => {
        removed = true;
        wake();
      },
    );
    while (!signal.aborted) {
      const event = queue.shift();
      if (event === undefined) {
        if (removed) throw new ConfigError(`${id} has been removed`);
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
        continue;
      }
      yield event;
      if (event.type === 'experiment' && isFinal(event.state)) return;
    }
  } finally {
    over.abort();
    stopListening();
    signal.removeEventListener('abort', end);
    subscription.unsubscribe();
  }
}

/** A job's record as an event: where it stands within its epochs is known to its workers alone. */
const jobEvent = (job: JobRecord): JobProgress => ({
  type: 'job',
  job: job.id,
  kind: job.kind,
  trial: job.trial,
  fold: job.fold,
  repeat: job.repeat,
  state: job.state,
  workers: job.members.map((m) => m.worker),
  epoch: 0,
  epochs: 0,
  step: 0,
  steps: 0,
  imagesPerSecond: 0,
  done: epochsDone(job),
  ...(job.error === null ? {} : { error: job.error }),
});
