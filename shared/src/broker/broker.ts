import type { Consumer, JetStreamClient, JetStreamManager, NatsConnection } from 'nats';
import { AckPolicy, JSONCodec } from 'nats';
import type { BlobStore } from '../data/blob-store.ts';
import { ExperimentRecord, JobRecord, Seat } from '../jobs/records.ts';
import { blobStore } from './blobs.ts';
import { connectBroker } from './connection.ts';
import { Lease } from './lease.ts';
import type { Role } from './permissions.ts';
import { RecordStore } from './record-store.ts';
import { ensureStreams, settled } from './streams.ts';
import { Buckets, SeatStream, Stores, seatConsumer, seatSubject } from './subjects.ts';

/** Everything that Crossfold keeps on the broker, opened once by each process. */
export interface Broker {
  readonly nats: NatsConnection;
  readonly experiments: RecordStore<ExperimentRecord>;
  readonly jobs: RecordStore<JobRecord>;
  readonly leases: RecordStore<Lease>;
  /** Source files, shards, manifests. */
  readonly data: BlobStore;
  /** Plans, folds, checkpoints, models, results. */
  readonly artifacts: BlobStore;
  readonly seats: SeatQueue;
  close(): Promise<void>;
}

/** The work queue of seats. A seat that is taken and not acknowledged is given out again after `redeliverMs`. */
export interface SeatQueue {
  offer(identity: string, job: string): Promise<void>;
  /** Seats not acknowledged yet, taken or not. */
  waiting(): Promise<number>;
  /** Throws away every seat that nobody has taken: a new leader gives out its own. */
  clear(): Promise<void>;
  /** Where workers of an identity pull their seats, one at a time. */
  line(identity: string): Promise<SeatLine>;
}

export interface SeatLine {
  /** The next seat, or undefined where none came within the time. */
  next(waitMs: number): Promise<TakenSeat | undefined>;
}

export interface TakenSeat {
  readonly job: string;
  /** Takes the seat off the queue: to be called once membership, or that it is not wanted, is on record. */
  acknowledge(): void;
  /** Keeps it from being given out again for another `redeliverMs`. */
  stillWanted(): void;
}

const redeliverMs = 5000;

export interface BrokerOptions {
  /** Whose permissions the connection has; none of its own where not given. */
  readonly role?: Role;
  /** Servers that keep a copy of everything; for who may make streams. */
  readonly replicas?: number;
  /** How long a broker that answers may take to have its streams. */
  readonly settleMs?: number;
}

const defaultSettleMs = 30_000;

/**
 * Connects and makes sure that streams, buckets and stores are there. Whoever comes first makes them; a role that may
 * not waits for one that may.
 *
 * @throws UnreachableError where the broker does not answer, or does not have what it should within `settleMs`.
 */
export async function openBroker(url: string, name: string, options: BrokerOptions = {}): Promise<Broker> {
  const { role, replicas, settleMs = defaultSettleMs } = options;
  const nats = await connectBroker(url, name, role);
  try {
    const jetstream = nats.jetstream();
    const manager = await settled('JetStream', settleMs, () => nats.jetstreamManager());
    await ensureStreams(jetstream, manager, settleMs, replicas);
    // Read by way of the stream's leader: what has been written is seen, whichever server is asked.
    const bucket = { allow_direct: false };
    const [experiments, jobs, leases, data, artifacts] = await Promise.all([
      jetstream.views.kv(Buckets.experiments, bucket),
      jetstream.views.kv(Buckets.jobs, bucket),
      jetstream.views.kv(Buckets.leases, bucket),
      jetstream.views.os(Stores.data),
      jetstream.views.os(Stores.artifacts),
    ]);
    return {
      nats,
      experiments: new RecordStore(experiments, ExperimentRecord),
      jobs: new RecordStore(jobs, JobRecord),
      leases: new RecordStore(leases, Lease),
      data: blobStore(data),
      artifacts: blobStore(artifacts),
      seats: seatQueue(jetstream, manager),
      close: () => nats.close(),
    };
  } catch (error) {
    await nats.close();
    throw error;
  }
}

function seatQueue(jetstream: JetStreamClient, manager: JetStreamManager): SeatQueue {
  const codec = JSONCodec<Seat>();
  return {
    async offer(identity, job) {
      await jetstream.publish(seatSubject(identity), codec.encode({ job }));
    },
    async waiting() {
      const info = await manager.streams.info(SeatStream);
      return info.state.messages;
    },
    async clear() {
      await manager.streams.purge(SeatStream);
    },
    async line(identity) {
      await manager.consumers.add(SeatStream, {
        durable_name: seatConsumer(identity),
        filter_subject: seatSubject(identity),
        ack_policy: AckPolicy.Explicit,
        ack_wait: redeliverMs * 1e6,
        max_deliver: -1,
      });
      return seatLine(await jetstream.consumers.get(SeatStream, seatConsumer(identity)));
    },
  };
}

function seatLine(consumer: Consumer): SeatLine {
  return {
    async next(waitMs) {
      const message = await consumer.next({ expires: waitMs });
      if (message === null) return undefined;
      const seat = Seat.safeParse(parseJson(message.string()));
      if (!seat.success) {
        message.term('not a seat');
        return undefined;
      }
      return { job: seat.data.job, acknowledge: () => message.ack(), stillWanted: () => message.working() };
    },
  };
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
