import { createHash } from 'node:crypto';
import type { Broker } from '@crossfold/shared/broker/broker';
import { openBroker } from '@crossfold/shared/broker/broker';
import { getJson, putJson } from '@crossfold/shared/broker/json-blobs';
import { announce, Roster } from '@crossfold/shared/broker/presence';
import { Experiment } from '@crossfold/shared/config/experiment';
import { noFaults } from '@crossfold/shared/faults';
import type { JobRecord, Presence } from '@crossfold/shared/jobs/records';
import { isFinal } from '@crossfold/shared/jobs/records';
import { takeSeat } from '@crossfold/shared/jobs/transitions';
import { createLogger } from '@crossfold/shared/logger';
import { Waits } from '@crossfold/shared/waits';
import { DirectListener } from '@crossfold/worker/exchange/listener';
import { openExchange } from '@crossfold/worker/exchange/open-exchange';
import { Checkpoints } from '@crossfold/worker/job/checkpoints';
import { stamp } from '@crossfold/worker/job/context';
import { waitsFor } from '@crossfold/worker/job/guard';
import { PaceMeter } from '@crossfold/worker/job/pace';
import type { Ending } from '@crossfold/worker/job/run-job';
import { runJob } from '@crossfold/worker/job/run-job';
import { trainRunner } from '@crossfold/worker/job/train-runner';
import { observers } from '@crossfold/worker/observe/observer';
import type { NatsConnection } from 'nats';
import { z } from 'zod';
import type { PlainEngineOptions } from './plain-engine.ts';
import { plainEngine } from './plain-engine.ts';

/** What the jobs of these tests come to. */
const Outcome = z.object({ weightsSha256: z.string(), samplesSeen: z.number(), history: z.unknown() });
export type Outcome = z.infer<typeof Outcome>;

export interface JobSettings {
  readonly exchange: 'auto' | 'nats' | 'direct';
  readonly epochs: number;
  readonly stepsPerEpoch: number;
  readonly engine: PlainEngineOptions;
  /** The workers' clock, milliseconds; the real one where not given. */
  readonly now?: () => number;
}

export interface TestWorker {
  readonly name: string;
  /** Takes a seat of the job and carries it out; resolves when this worker is out of it. Undefined: no seat was free. */
  join(over?: Partial<PlainEngineOptions>): Promise<Ending | undefined>;
  /** Asks it to hand over at the next step boundary. */
  drain(): void;
}

/** A job in the records of a real broker, carried out by workers of this process on an engine without TensorFlow. */
export class TestJob {
  readonly id: string;
  readonly #url: string;
  readonly #settings: JobSettings;
  readonly #closing: (() => Promise<void>)[] = [];
  readonly #now: () => number;

  constructor(url: string, id: string, settings: JobSettings) {
    this.#url = url;
    this.id = id;
    this.#settings = settings;
    this.#now = settings.now ?? ((): number => performance.now());
  }

  /** `wrap` may damage the connection that a worker exchanges gradients over. */
  async worker(name: string, wrap: (nats: NatsConnection) => NatsConnection = (nats) => nats): Promise<TestWorker> {
    const settings = this.#settings;
    const broker = await openBroker(this.#url, name);
    const listener = settings.exchange === 'nats' ? undefined : await DirectListener.open();
    const over = new AbortController();
    const drain = new AbortController();
    const waits = new Waits(this.#now);
    const sign: Presence = {
      worker: name,
      identity: 'engine',
      threads: 1,
      engine: '',
      state: 'busy',
      job: this.id,
      pace: null,
    };
    announce(broker.nats, () => ({ ...sign, waitsFor: waitsFor({ waits }) }), over.signal);
    const roster = new Roster(broker.nats, over.signal, this.#now);
    const logger = createLogger({ service: name, env: { CROSSFOLD_LOG_LEVEL: 'silent' } });
    this.#closing.push(async () => {
      over.abort();
      await listener?.close();
      await broker.close();
    });
    const observer = observers([]);
    return {
      name,
      drain: () => drain.abort(),
      join: async (extra = {}) => {
        const engine = plainEngine({ ...settings.engine, ...extra });
        const runner = trainRunner({
          broker,
          worker: name,
          logger,
          waits,
          now: this.#now,
          drain: drain.signal,
          observer,
          faults: noFaults,
          plan: planOf(settings),
          course: { epochs: settings.epochs, until: settings.epochs, stepsPerEpoch: settings.stepsPerEpoch },
          engine,
          checkpoints: new Checkpoints({
            broker,
            worker: name,
            now: this.#now,
            onEnd: () => undefined,
            faults: noFaults,
            pace: { least: 60_000, most: 60_000 },
          }),
          meter: new PaceMeter(settings.engine.slices, engine.vectorLength, 'nats'),
          openExchange: ({ record, rank, signal }) =>
            openExchange(
              {
                job: record.id,
                generation: record.generation,
                rank,
                members: record.members,
                slices: settings.engine.slices,
                secret: record.secret,
              },
              {
                nats: wrap(broker.nats),
                mode: settings.exchange,
                askAfterMs: 50,
                ...(listener === undefined ? {} : { listener }),
              },
              signal,
            ),
          report: () => undefined,
          onPace: () => undefined,
          store: async (_record, state) => {
            const { weights } = await engine.state();
            const { seconds: _, ...history } = state.history;
            const outcome: Outcome = {
              weightsSha256: createHash('sha256').update(new Uint8Array(weights.buffer)).digest('hex'),
              samplesSeen: state.samplesSeen,
              history,
            };
            const reference = await putJson(broker.artifacts, outcome);
            return {
              ...reference,
              epochs: history.loss.length,
              final: true,
              accuracy: 0,
              loss: 0,
              seconds: state.seconds,
            };
          },
        });
        const member = { worker: name, address: listener?.address ?? null };
        const joined = await broker.jobs.transition(this.id, (job) => takeSeat(job, member, stamp(this.#now)));
        if (joined === undefined) return undefined;
        const parts = {
          broker,
          worker: name,
          roster,
          logger,
          waits,
          now: this.#now,
          drain: drain.signal,
          observer,
          faults: noFaults,
        };
        return runJob(parts, joined, runner);
      },
    };
  }

  /** The job's record as it changes. */
  async follow(): Promise<FollowedRecord> {
    const broker = await openBroker(this.#url, 'follower');
    const over = new AbortController();
    this.#closing.push(async () => {
      over.abort();
      await broker.close();
    });
    const followed = new FollowedRecord();
    await broker.jobs.watch(
      this.id,
      over.signal,
      ({ value }) => followed.see(value),
      () => undefined,
    );
    return followed;
  }

  async close(): Promise<void> {
    for (const close of this.#closing.splice(0).reverse()) await close();
  }
}

/** A job's record, and how to await its changes. */
export class FollowedRecord {
  /** Counts what was seen. */
  version = 0;
  #newest: JobRecord | undefined;
  #waiting: (() => void)[] = [];

  get newest(): JobRecord {
    if (this.#newest === undefined) throw new Error('there is no such job');
    return this.#newest;
  }

  see(record: JobRecord): void {
    this.#newest = record;
    this.version++;
    for (const wake of this.#waiting.splice(0)) wake();
  }

  /** Resolves once there is something newer than a version. */
  async changed(version: number): Promise<void> {
    if (this.version === version) await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }

  async until(holds: (record: JobRecord) => boolean): Promise<void> {
    while (!holds(this.newest)) await this.changed(this.version);
  }
}

/** The record of a job as soon as it is final, and what it came to. */
export async function ended(broker: Broker, id: string): Promise<{ job: JobRecord; outcome: Outcome | undefined }> {
  const stop = new AbortController();
  const job = await new Promise<JobRecord>((resolve, reject) => {
    const seen = ({ value }: { value: JobRecord }): void => {
      if (isFinal(value.state)) resolve(value);
    };
    broker.jobs.watch(id, stop.signal, seen, reject).catch(reject);
  });
  stop.abort();
  return { job, outcome: job.result === null ? undefined : await getJson(broker.artifacts, job.result, Outcome) };
}

function planOf({ engine, epochs, exchange }: JobSettings): Parameters<typeof trainRunner>[0]['plan'] {
  const blob = { digest: '0'.repeat(64), bytes: 1 };
  const experiment = Experiment.parse({
    name: 'plain',
    dataset: { name: 'mnist' },
    evaluation: { method: 'holdout' },
    model: { layers: [{ type: 'flatten' }, { type: 'dense', units: 10, activation: 'softmax' }] },
    training: {
      epochs,
      batchSize: engine.batchSize,
      microBatches: engine.slices,
      optimizer: { name: 'sgd', learningRate: 0.05 },
    },
    exchange,
  });
  return { schema: 1, trial: 0, parameters: {}, experiment, manifest: blob, folds: blob, model: null };
}
