import { createHash } from 'node:crypto';
import { availableParallelism, hostname } from 'node:os';
import type { Border } from '@crossfold/shared/border';
import type { Broker } from '@crossfold/shared/broker/broker';
import { openBroker, servicePatienceMs } from '@crossfold/shared/broker/broker';
import type { LogShipper } from '@crossfold/shared/broker/log-stream';
import { announce, Roster } from '@crossfold/shared/broker/presence';
import { progressSubject } from '@crossfold/shared/broker/subjects';
import type { ExchangeMode } from '@crossfold/shared/config/exchange';
import type { Endpoint } from '@crossfold/shared/endpoint';
import type { Faults } from '@crossfold/shared/faults';
import { noFaults } from '@crossfold/shared/faults';
import type { Presence } from '@crossfold/shared/jobs/records';
import type { Logger } from '@crossfold/shared/logger';
import { exposeConnection } from '@crossfold/shared/metrics/connection';
import type { ServiceMetrics } from '@crossfold/shared/metrics/registry';
import type { LogProgress } from '@crossfold/shared/progress';
import type { EngineIdentity } from '@crossfold/shared/results';
import type { ServiceHandles } from '@crossfold/shared/service';
import { uniqueName } from '@crossfold/shared/unique-name';
import { pause, unlessEnding } from '@crossfold/shared/wait';
import { Waits } from '@crossfold/shared/waits';
import { DatasetCache } from './data/dataset-cache.ts';
import { ShardCache } from './data/shard-cache.ts';
import { deviceNotice } from './engine/cuda.ts';
import { engineNotice } from './engine/load.ts';
import { EngineThread } from './engine/remote.ts';
import { DirectListener } from './exchange/listener.ts';
import { Fitness } from './fitness.ts';
import { waitsFor } from './job/guard.ts';
import type { JobObserver } from './observe/observer.ts';
import { observers } from './observe/observer.ts';
import { TimelineReporter } from './observe/timeline.ts';
import { WorkerMetrics } from './observe/worker-metrics.ts';
import type { SeatParts } from './seat.ts';
import { sit } from './seat.ts';

export interface WorkerOptions {
  /** Address of the broker, credentials included. */
  readonly nats: string;
  /** TensorFlow's threads. */
  readonly threads: number;
  readonly exchange: ExchangeMode;
  /** Begins its name in the cluster; host and process where not given. */
  readonly name?: string;
  /** Where peers are taken on; a free port of the loopback interface where not given. */
  readonly listen?: Endpoint;
  /** What peers are told to dial, where that is not where this process listens. */
  readonly advertise?: Endpoint;
  /** Folder of the shard cache. */
  readonly cache: string;
  /** How long one computation may take before the engine is taken to hang, and this worker ends, see `EngineThread`. */
  readonly hungMs?: number;
  /** Where this worker is to fail, for tests. */
  readonly faults?: Faults;
  readonly metrics: ServiceMetrics<'worker'>;
  readonly border: Border;
  /** Version of Crossfold. */
  readonly version: string;
  /** Takes the log's lines along to the broker. */
  readonly logs?: LogShipper;
  /** Others to be told what the worker does. */
  readonly observers?: readonly JobObserver[];
}

/** Pixels that a worker keeps in memory, for jobs on the same data; one data set may have more. */
const datasetBytes = 512 * 2 ** 20;
const seatWaitMs = 2000;
/** How often a worker that was set aside looks whether it is needed after all. */
const asideLookMs = 1000;

/**
 * The worker service: pulls seats and carries out their jobs, one at a time, until the signal aborts.
 *
 * @throws UnreachableError where the broker does not answer at the start.
 */
export async function runWorker(options: WorkerOptions, handles: ServiceHandles): Promise<void> {
  const { logger, signal, onReady, health } = handles;
  const { border } = options;
  const worker = uniqueName(options.name ?? `${hostname()}-${process.pid}`);
  const now = (): number => performance.timeOrigin + performance.now();
  /** Tells whoever follows the job at hand; nobody before there can be one. */
  let tell: (message: string) => void = () => undefined;
  // The library takes a second or two to load, and the broker may be slow to answer: both at once.
  const [broker, engine] = await both(
    openBroker(options.nats, `worker ${worker}`, {
      role: 'worker',
      border,
      patienceMs: servicePatienceMs,
      onWaiting: (message) => {
        logger.warn(message);
        tell(message);
      },
    }),
    EngineThread.start(
      { threads: options.threads, ...(options.hungMs === undefined ? {} : { hungMs: options.hungMs }) },
      (program, reason) =>
        logger.warn(
          { program, reason },
          'TensorFlow does not take this as a graph: it runs operation by operation, slower',
        ),
    ),
  );
  const waits = new Waits(now);
  const ended = new AbortController();
  const observer = observers([
    new WorkerMetrics(options.metrics, waits, now),
    new TimelineReporter(broker, worker, now, ended.signal),
    ...(options.observers ?? []),
  ]);
  const { backend, device } = engine.identity;
  const slow = engineNotice(backend) ?? deviceNotice(device, process.env);
  if (slow !== undefined) logger.warn(slow);
  options.logs?.attach(broker.nats);
  exposeBuild(options, engine.identity);
  exposeConnection(broker, options.metrics.instruments, waits, logger, health);
  const identity = createHash('sha256').update(JSON.stringify(engine.identity)).digest('hex').slice(0, 16);
  let doing: Pick<Presence, 'state' | 'job' | 'pace'> = { state: 'idle', job: null, pace: null };
  tell = (message) => {
    if (doing.job !== null) tellFollowers(broker, doing.job, `worker ${worker} is ${message}`);
  };
  const fitness = new Fitness({
    now,
    onAside: (jobs, reason) => sayAside(broker, logger, worker, jobs, reason),
  });
  const about = {
    worker,
    identity,
    threads: options.threads,
    engine: JSON.stringify(engine.identity).slice(0, 400),
    ...(device === 'cpu' ? sharedCores(options.threads) : { gpu: device.slice(0, 200) }),
  };
  const presence = announce(broker.nats, () => ({ ...about, ...doing, waitsFor: waitsFor({ waits }) }), ended.signal);
  const shards = new ShardCache({
    folder: options.cache,
    blobs: broker.data,
    onTrouble: (message) => logger.warn(message),
  });
  const listener = options.exchange === 'nats' ? undefined : await openListener(options, logger);
  const parts: SeatParts = {
    fitness,
    identity,
    broker,
    worker,
    engine,
    exchange: options.exchange,
    datasets: new DatasetCache(shards, datasetBytes),
    listener,
    roster: new Roster(broker.nats, ended.signal, now, broker.border),
    logger,
    waits,
    observer,
    faults: options.faults ?? noFaults,
    now,
    drain: signal,
    onPace: (measured) => {
      doing = { ...doing, pace: measured ?? null };
    },
  };
  const enter = (state: Presence['state'], job: string | null): void => {
    doing = { state, job, pace: null };
    presence.touch();
  };
  /** Whether there is somebody else for the jobs that this worker could take. */
  const dispensable = (): boolean =>
    parts.roster
      .alive()
      .some((w) => w.worker !== worker && w.identity === identity && (w.state === 'idle' || w.state === 'busy'));

  try {
    const line = broker.seats.line(identity);
    logger.info({ worker, identity, engine: engine.identity }, 'ready for jobs');
    onReady();
    let idle: (() => void) | undefined;
    while (!signal.aborted) {
      if (engine.failure !== undefined) throw engine.failure;
      if (fitness.aside && dispensable()) {
        if (doing.state !== 'aside') enter('aside', null);
        await pause(asideLookMs, signal);
        continue;
      }
      if (doing.state === 'aside') enter('idle', null);
      idle ??= waits.begin(undefined, 'a seat');
      const asked = line.next(seatWaitMs).catch(async (error: unknown) => {
        logger.warn({ err: error }, 'could not ask for a seat');
        options.metrics.instruments.retries.inc({ what: 'request' });
        await pause(seatWaitMs / 4, signal);
        return undefined;
      });
      // A worker that is to go while the broker is away has nothing to hand over.
      const seat = await unlessEnding(asked, signal, seatWaitMs);
      if (seat === undefined) continue;
      idle();
      idle = undefined;
      enter('busy', seat.job);
      try {
        await sit(parts, seat);
      } catch (error) {
        logger.error({ err: error, job: seat.job }, 'the seat could not be filled');
      } finally {
        enter(signal.aborted ? 'draining' : 'idle', null);
      }
    }
  } finally {
    ended.abort();
    await listener?.close();
    const stopped = await engine.stop();
    await broker.close();
    logger.info({ worker }, 'left');
    if (!stopped) killItself(logger, engine.failure);
  }
}

/** The cores that this worker shares with others; one that is bound to as many as it has threads has them to itself. */
function sharedCores(threads: number): Pick<Presence, 'machine'> {
  const cores = availableParallelism();
  return cores > threads ? { machine: { host: hostname(), cores } } : {};
}

/** What hangs in a library can be ended by nothing but a signal, and whoever supervises this process starts another. */
function killItself(logger: Logger, failure: Error | undefined): void {
  logger.fatal({ err: failure }, "the engine's thread does not end: this process is killed");
  process.kill(process.pid, 'SIGKILL');
}

/** Names a worker that was set aside, in its log and to whoever follows the experiments that it failed in. */
function sayAside(broker: Broker, logger: Logger, worker: string, jobs: readonly string[], reason: string): void {
  logger.error({ jobs, reason }, 'job after job fails here: this worker leaves them to others for a while');
  const last = `the last one with: ${reason}`;
  const message = `worker ${worker} is set aside: ${jobs.length} jobs in a row failed on it, ${last}`;
  const told = new Map(jobs.map((job) => [job.split('.')[0], job]));
  for (const job of told.values()) tellFollowers(broker, job, message);
}

/** Says something to whoever follows the experiment of a job, if that can be done now. */
function tellFollowers({ nats }: Broker, job: string, message: string): void {
  const event: LogProgress = { type: 'log', level: 'warn', message: message.slice(0, 4000) };
  if (!nats.isClosed()) nats.publish(progressSubject(job), JSON.stringify(event));
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
    onRefused: (from, why) => options.border.refused('peer', from, why),
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
