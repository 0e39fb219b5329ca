import type { Broker } from '@crossfold/shared/broker/broker';
import { openBroker } from '@crossfold/shared/broker/broker';
import { getJson, putJson } from '@crossfold/shared/broker/json-blobs';
import { experimentProgress } from '@crossfold/shared/broker/subjects';
import { Experiment } from '@crossfold/shared/config/experiment';
import { ConfigError } from '@crossfold/shared/errors';
import { FoldsDocument } from '@crossfold/shared/folds/folds';
import { TrainJobResult } from '@crossfold/shared/jobs/job-result';
import type { ExperimentRecord, JobRecord } from '@crossfold/shared/jobs/records';
import { isFinal } from '@crossfold/shared/jobs/records';
import type { JobProgress, ProgressEvent } from '@crossfold/shared/progress';
import { ProgressEvent as ProgressEventSchema } from '@crossfold/shared/progress';
import { Results } from '@crossfold/shared/results';
import { uploadSource } from '../data/upload.ts';
import { uploadStart } from '../models/start-model.ts';
import type { ExperimentClient, Outcome } from './types.ts';

const maxModelBytes = 2 ** 31;

/**
 * A client of the cluster behind a broker.
 *
 * @throws UnreachableError where the broker does not answer.
 */
export async function connectClient(url: string): Promise<ExperimentClient> {
  return brokerClient(await openBroker(url, 'client', { role: 'client' }));
}

function brokerClient(broker: Broker): ExperimentClient {
  const recordOf = async (id: string): Promise<ExperimentRecord> => {
    const stored = await broker.experiments.get(id);
    if (stored === undefined)
      throw new ConfigError(`there is no experiment ${JSON.stringify(id)}; \`crossfold list\` shows those there are`);
    return stored.value;
  };
  const jobsOf = async (id: string): Promise<JobRecord[]> => {
    const keys = await broker.jobs.keys(`${id}.>`);
    const stored = await Promise.all(keys.map((key) => broker.jobs.get(key)));
    return stored.flatMap((s) => (s === undefined ? [] : [s.value])).sort(jobOrder);
  };
  return {
    async submit(experiment, baseDir, id, onProgress) {
      await uploadStart(experiment, broker.artifacts);
      const source = await uploadSource(experiment.dataset, baseDir, broker.data, onProgress);
      const record: ExperimentRecord = {
        schema: 1,
        id,
        name: experiment.name,
        state: 'submitted',
        spec: await putJson(broker.artifacts, experiment),
        source,
        manifest: null,
        folds: null,
        plan: null,
        results: null,
        jobs: 0,
        priority: experiment.priority,
        maxConcurrentJobs: experiment.maxConcurrentJobs ?? null,
        fresh: false,
        cancelled: [],
        resumes: 0,
        error: null,
        badConfiguration: false,
        createdAt: Date.now(),
        startedAt: null,
        finishedAt: null,
      };
      await broker.experiments.create(id, record);
    },
    async *follow(id, signal) {
      await recordOf(id);
      yield* followExperiment(broker, id, signal);
    },
    async outcome(id, { models: wanted } = { models: true }) {
      const record = await recordOf(id);
      const models: Outcome['models'][number][] = [];
      for (const job of wanted ? await jobsOf(id) : []) {
        if (job.kind !== 'train' || job.result === null) continue;
        const result = await getJson(broker.artifacts, job.result, TrainJobResult);
        const bytes = await broker.artifacts.get(result.model.digest, maxModelBytes);
        models.push({ trial: job.trial, repeat: job.repeat, fold: job.fold, bytes });
      }
      return {
        record,
        experiment: await getJson(broker.artifacts, record.spec, Experiment),
        results: record.results === null ? undefined : await getJson(broker.artifacts, record.results, Results),
        folds: record.folds === null ? undefined : await getJson(broker.artifacts, record.folds, FoldsDocument),
        models,
      };
    },
    async list() {
      const keys = await broker.experiments.keys('>');
      const stored = await Promise.all(keys.map((key) => broker.experiments.get(key)));
      return stored.flatMap((s) => (s === undefined ? [] : [s.value])).sort((a, b) => b.createdAt - a.createdAt);
    },
    jobs: jobsOf,
    async cancel(id) {
      await recordOf(id);
      const cancelled = await broker.experiments.transition(id, (current) =>
        isFinal(current.state) ? undefined : { ...current, state: 'cancelled', finishedAt: Date.now() },
      );
      return cancelled ?? recordOf(id);
    },
    close: () => broker.close(),
  };
}

const jobOrder = (a: JobRecord, b: JobRecord): number =>
  a.kind.localeCompare(b.kind) * -1 || a.trial - b.trial || a.repeat - b.repeat || a.fold - b.fold;

/**
 * Events of an experiment, from three sources: its record, its jobs' records, and the progress that workers publish.
 * Ends once the record is final (the records of its jobs were final before).
 */
async function* followExperiment(broker: Broker, id: string, signal: AbortSignal): AsyncIterable<ProgressEvent> {
  const over = new AbortController();
  const queue: ProgressEvent[] = [];
  let wake: () => void = () => undefined;
  const push = (event: ProgressEvent): void => {
    queue.push(event);
    wake();
  };
  signal.addEventListener('abort', () => wake(), { once: true });
  const damaged = (error: Error): void => push({ type: 'log', level: 'error', message: error.message });
  const subscription = broker.nats.subscribe(experimentProgress(id), {
    callback: (error, message) => {
      if (error !== null || message.data.length > 16_384) return;
      const event = ProgressEventSchema.safeParse(parse(message.string()));
      if (event.success) push(event.data);
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
          ...(value.error === null ? {} : { message: value.error }),
        }),
      damaged,
    );
    while (!signal.aborted) {
      const event = queue.shift();
      if (event === undefined) {
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
  ...(job.error === null ? {} : { error: job.error }),
});

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
