import { createHash, randomBytes } from 'node:crypto';
import { hostname } from 'node:os';
import type { Broker } from '@crossfold/shared/broker/broker';
import { openBroker, servicePatienceMs } from '@crossfold/shared/broker/broker';
import { announce, Roster } from '@crossfold/shared/broker/presence';
import type { Endpoint } from '@crossfold/shared/endpoint';
import type { JobRecord, Pace, Presence } from '@crossfold/shared/jobs/records';
import { foldName, isFinal } from '@crossfold/shared/jobs/records';
import { failAttempt, takeSeat } from '@crossfold/shared/jobs/transitions';
import type { Logger } from '@crossfold/shared/logger';
import { exposeConnection } from '@crossfold/shared/metrics/connection';
import type { ServiceMetrics } from '@crossfold/shared/metrics/registry';
import type { EngineIdentity } from '@crossfold/shared/results';
import type { ServiceHandles } from '@crossfold/shared/service';
import { pause } from '@crossfold/shared/wait';
import { Waits } from '@crossfold/shared/waits';
import { DatasetCache } from './data/dataset-cache.ts';
import { ShardCache } from './data/shard-cache.ts';
import { EngineThread } from './engine/remote.ts';
import { DirectListener } from './exchange/listener.ts';
import type { JobParts } from './job/open-job.ts';
import { openJob } from './job/open-job.ts';
import type { JobRunner } from './job/run-job.ts';
import { runJob, stamp } from './job/run-job.ts';
import { observers } from './observe/observer.ts';
import { WorkerMetrics } from './observe/worker-metrics.ts';

export interface WorkerOptions {
  /** Address of the broker, credentials included. */
  readonly nats: string;
  /** TensorFlow's threads. */
  readonly threads: number;
  readonly exchange: 'auto' | 'nats' | 'direct';
  /** Unique among the workers of a cluster; made up from host and process where not given. */
  readonly name?: string;
  /** Where peers are taken on; a free port of the loopback interface where not given. */
  readonly listen?: Endpoint;
  /** What peers are told to dial, where that is not where this process listens. */
  readonly advertise?: Endpoint;
  /** Folder of the shard cache. */
  readonly cache: string;
  readonly metrics: ServiceMetrics<'worker'>;
  /** Version of Crossfold. */
  readonly version: string;
}

/** Pixels that a worker keeps in memory, for jobs on the same data; one data set may have more. */
const datasetBytes = 2 * 2 ** 30;
const seatWaitMs = 2000;
/** How often a seat that is being prepared for is told to the queue to be still wanted. */
const stillWantedMs = 1500;

/**
 * The worker service: pulls seats and carries out their jobs, one at a time, until the signal aborts.
 *
 * @throws UnreachableError where the broker does not answer at the start.
 */
export async function runWorker(options: WorkerOptions, handles: ServiceHandles): Promise<void> {
  const { logger, signal, onReady, health } = handles;
  const worker = (options.name ?? `${hostname()}-${process.pid}-${randomBytes(2).toString('hex')}`).replaceAll(
    /[^A-Za-z0-9_-]/g,
    '-',
  );
  const now = (): number => performance.timeOrigin + performance.now();
  // The library takes a second or two to load, and the broker may be slow to answer: both at once.
  const [broker, engine] = await both(
    openBroker(options.nats, `worker ${worker}`, {
      role: 'worker',
      patienceMs: servicePatienceMs,
      onWaiting: (message) => logger.warn(message),
    }),
    EngineThread.start({ threads: options.threads }, (program, reason) =>
      logger.warn(
        { program, reason },
        'TensorFlow does not take this as a graph: it runs operation by operation, slower',
      ),
    ),
  );
  const waits = new Waits(now);
  const observer = observers([new WorkerMetrics(options.metrics, waits, now)]);
  exposeBuild(options, engine.identity);
  exposeConnection(broker.nats, options.metrics.instruments, waits, logger, health);
  const identity = createHash('sha256').update(JSON.stringify(engine.identity)).digest('hex').slice(0, 16);
  const ended = new AbortController();
  let state: Presence['state'] = 'idle';
  let job: string | null = null;
  let pace: Pace | null = null;
  const shown = JSON.stringify(engine.identity).slice(0, 400);
  const presence = announce(
    broker.nats,
    () => ({ worker, identity, threads: options.threads, engine: shown, state, job, pace }),
    ended.signal,
  );
  const shards = new ShardCache({
    folder: options.cache,
    blobs: broker.data,
    onTrouble: (message) => logger.warn(message),
  });
  const listener = options.exchange === 'nats' ? undefined : await openListener(options, logger);
  const parts: JobParts = {
    broker,
    worker,
    engine,
    exchange: options.exchange,
    datasets: new DatasetCache(shards, datasetBytes),
    listener,
    roster: new Roster(broker.nats, ended.signal, now),
    logger,
    waits,
    observer,
    now,
    drain: signal,
    onPace: (measured) => {
      pace = measured ?? null;
    },
  };
  const enter = (next: Presence['state'], nextJob: string | null): void => {
    state = next;
    job = nextJob;
    pace = null;
    presence.touch();
  };

  try {
    const line = broker.seats.line(identity);
    logger.info({ worker, identity, engine: engine.identity }, 'ready for jobs');
    onReady();
    let idle: (() => void) | undefined;
    while (!signal.aborted) {
      idle ??= waits.begin(undefined, 'a seat');
      const seat = await line.next(seatWaitMs).catch(async (error: unknown) => {
        logger.warn({ err: error }, 'could not ask for a seat');
        options.metrics.instruments.retries.inc({ what: 'request' });
        await pause(seatWaitMs / 4, signal);
        return undefined;
      });
      if (seat === undefined) continue;
      idle();
      idle = undefined;
      enter('busy', seat.job);
      const wanted = setInterval(() => seat.stillWanted(), stillWantedMs);
      try {
        await sit(parts, seat.job, () => {
          clearInterval(wanted);
          seat.acknowledge();
        });
      } catch (error) {
        logger.error({ err: error, job: seat.job }, 'the seat could not be filled');
      } finally {
        clearInterval(wanted);
        enter(signal.aborted ? 'draining' : 'idle', null);
      }
    }
  } finally {
    ended.abort();
    await listener?.close();
    await engine.stop();
    await broker.close();
    logger.info({ worker }, 'left');
  }
}

/** From a seat to the end of the membership that it leads to. */
async function sit(parts: JobParts, id: string, acknowledge: () => void): Promise<void> {
  const { broker, worker, now, observer } = parts;
  const stored = await broker.jobs.get(id);
  if (stored === undefined || isFinal(stored.value.state)) return acknowledge();
  const { experiment, trial, repeat, fold } = stored.value;
  const logger = parts.logger.child({ experiment, job: id, trial, fold: foldName(repeat, fold) });
  // A seat that was given out, and then taken back before anybody came for it.
  if (stored.value.members.length >= stored.value.seats) return acknowledge();
  // Data and model first: those who are members already go on undisturbed until this worker can compute with them.
  let runner: JobRunner | undefined;
  let failure: unknown;
  try {
    runner = await parts.waits.during(
      logger,
      "the job's data and model to be ready",
      openJob({ ...parts, logger }, stored.value),
    );
  } catch (error) {
    failure = error;
  }
  const member = { worker, address: parts.listener?.address ?? null };
  let before: JobRecord['state'] = stored.value.state;
  const joined = await broker.jobs.transition(id, (job) => {
    before = job.state;
    return takeSeat(job, member, stamp(now));
  });
  acknowledge();
  if (joined?.state === 'running') observer.changed(before === 'running' ? 'joined' : 'started', false);
  if (joined === undefined) {
    await runner?.close();
    logger.debug('the seat was not free any more');
    return;
  }
  if (runner === undefined) {
    const reason = failure instanceof Error ? failure.message : String(failure);
    logger.error({ err: failure }, 'the job could not be opened');
    const failed = await broker.jobs.transition(id, (job) =>
      failAttempt(job, worker, job.generation, reason, stamp(now)),
    );
    if (failed !== undefined) observer.changed('failed', failed.state === 'queued');
    return;
  }
  await runJob({ ...parts, logger }, joined, runner);
}

function exposeBuild({ metrics, version }: WorkerOptions, { version: tensorflow, device }: EngineIdentity): void {
  const node = process.version;
  metrics.instruments.buildInfo.set({ service: 'worker', version, node, tensorflow, device }, 1);
}

function openListener(options: WorkerOptions, logger: Logger): Promise<DirectListener> {
  const { listen, advertise } = options;
  return DirectListener.open({
    ...(listen === undefined ? {} : { listen }),
    ...(advertise === undefined ? {} : { advertise }),
    onTaken: (wanted, got) => logger.warn({ wanted, got }, 'the port to listen on is taken; a free one is used'),
  });
}

/** Both outcomes; where one fails, the other is undone. */
async function both(opening: Promise<Broker>, starting: Promise<EngineThread>): Promise<[Broker, EngineThread]> {
  const [broker, engine] = await Promise.allSettled([opening, starting]);
  if (broker.status === 'fulfilled' && engine.status === 'fulfilled') return [broker.value, engine.value];
  if (broker.status === 'fulfilled') await broker.value.close();
  if (engine.status === 'fulfilled') await engine.value.stop();
  throw broker.status === 'rejected' ? broker.reason : (engine as PromiseRejectedResult).reason;
}
