import type { KV, NatsConnection, ObjectStore } from 'nats';
import type { z } from 'zod';
import type { Border } from '../border.ts';
import { unwatchedBorder } from '../border.ts';
import { DatasetRecord, RemovalNote } from '../data/dataset-record.ts';
import type { NamedDocuments } from '../data/named-documents.ts';
import { ConfigError, UnreachableError } from '../errors.ts';
import { ExperimentRecord, JobRecord } from '../jobs/records.ts';
import { Quotas } from '../quotas.ts';
import { BlobEntries } from './blob-entries.ts';
import type { BrokerBlobs } from './blobs.ts';
import { blobStore } from './blobs.ts';
import { connectBroker, connectTimeoutMs } from './connection.ts';
import { GroupKey } from './group-key.ts';
import { leastPayload } from './harden.ts';
import { Lease } from './lease.ts';
import { Link } from './link.ts';
import { namedDocuments } from './named-documents.ts';
import { useNativeDigest } from './native-digest.ts';
import type { Role } from './permissions.ts';
import { RecordStore } from './record-store.ts';
import type { SeatQueue } from './seats.ts';
import { seatQueue } from './seats.ts';
import type { Replicas } from './streams.ts';
import { ensureStreams, settled } from './streams.ts';
import { Buckets, GroupKeyStream, Stores } from './subjects.ts';
import type { Uploads } from './uploads.ts';
import { UploadNote, uploadsIn } from './uploads.ts';

/** Everything that Crossfold keeps on the broker, opened once by each process. */
export interface Broker {
  readonly nats: NatsConnection;
  readonly link: Link;
  /** Where whoever reads from the broker says what it has dropped. */
  readonly border: Border;
  readonly experiments: RecordStore<ExperimentRecord>;
  readonly jobs: RecordStore<JobRecord>;
  readonly leases: RecordStore<Lease>;
  /** What the leader says that experiments may take, under `quotasKey`: beside its lease, where it alone may write. */
  readonly quotas: RecordStore<Quotas>;
  /** Source files, shards, manifests. */
  readonly data: BrokerBlobs;
  /** Data sets that were imported under a name. */
  readonly datasets: NamedDocuments<DatasetRecord>;
  /** What is being removed of `data`, and what was last. */
  readonly removals: NamedDocuments<RemovalNote>;
  /** To the data store, by whoever submits or imports. */
  readonly uploads: Uploads;
  /** Plans, folds, models, results. */
  readonly artifacts: BrokerBlobs;
  /** One for each job that has got so far, and while it is being replaced two. */
  readonly checkpoints: BrokerBlobs;
  readonly seats: SeatQueue;
  /** Of the secrets of groups: for coordinators, which make it, and workers. */
  readonly groupKey: Pick<GroupKey, 'read'>;
  /**
   * Has the broker's servers keep more copies where there are fewer than wanted and more servers than there were; for
   * who may make streams. Returns the names of the streams that got more.
   */
  growCopies(): Promise<string[]>;
  close(): Promise<void>;
}

export interface BrokerOptions {
  /** Whose permissions the connection has; none of its own where not given. */
  readonly role?: Role;
  /**
   * Servers that keep a copy of everything; streams that are there and have fewer are given more. Where not given,
   * streams that are missing are made with as many as can be, those that are there are left as they are.
   */
  readonly replicas?: Replicas;
  /** How long a broker that answers may take to have its streams. */
  readonly settleMs?: number;
  /** How long requests go on being asked while the broker is away; `connectTimeoutMs` where not given. */
  readonly patienceMs?: number;
  /** Told of what is dropped and refused; nobody is where not given. */
  readonly border?: Border;
  /** Told of requests that have been waiting for a while. */
  readonly onWaiting?: (message: string) => void;
}

const uploadPrefix = 'upload';
const defaultSettleMs = 30_000;
/** The patience of services: they outlive a broker's restart, and what takes longer is tried again from above. */
export const servicePatienceMs = 30_000;

/**
 * Connects and makes sure that streams, buckets and stores are there. Whoever comes first makes them; a role that may
 * not waits for one that may.
 *
 * @throws UnreachableError where the broker does not answer, or does not have what it should within `settleMs`.
 * @throws ConfigError where it takes only messages too small to be of use
 */
export async function openBroker(url: string, name: string, options: BrokerOptions = {}): Promise<Broker> {
  const { role, replicas, settleMs = defaultSettleMs, patienceMs = connectTimeoutMs, onWaiting } = options;
  const { border = unwatchedBorder } = options;
  const nats = await connectBroker(url, name, role, border);
  try {
    const maxPayload = nats.info?.max_payload ?? leastPayload;
    if (maxPayload < leastPayload)
      throw new ConfigError(`the broker's max_payload is ${maxPayload} bytes; set it to at least ${leastPayload}`);
    const link = new Link(nats, { patienceMs, ...(onWaiting === undefined ? {} : { onWaiting }) });
    const jetstream = nats.jetstream();
    const manager = await settled('JetStream', settleMs, () => nats.jetstreamManager());
    await ensureStreams(jetstream, manager, settleMs, replicas ?? 'auto', replicas !== undefined);
    const groupKey = new GroupKey(jetstream, manager, link);
    // Where it cannot be made (yet), a broker with permissions of before, groups do without.
    if (role === undefined || role === 'coordinator')
      await groupKey.make(replicas ?? 'auto', replicas !== undefined).catch((error: unknown) => {
        if (!(error instanceof UnreachableError)) throw error;
        onWaiting?.(`no direct exchange between workers: ${error.message}`);
      });
    // Read by way of the stream's leader: what has been written is seen, whichever server is asked.
    const bucket = { allow_direct: false };
    const kv = (name: string): Promise<KV> => settled(name, settleMs, () => jetstream.views.kv(name, bucket));
    useNativeDigest();
    const os = (name: string): Promise<ObjectStore> => settled(name, settleMs, () => jetstream.views.os(name));
    const [experiments, jobs, leases, data, artifacts, checkpoints] = await Promise.all([
      kv(Buckets.experiments),
      kv(Buckets.jobs),
      kv(Buckets.leases),
      os(Stores.data),
      os(Stores.artifacts),
      os(Stores.checkpoints),
    ]);
    const parts = { manager, link, border };
    const entriesOf = (store: string): BlobEntries => new BlobEntries(jetstream, manager, store, border);
    const dataEntries = entriesOf(Stores.data);
    const documents = <T extends { readonly name: string }>(prefix: string, schema: z.ZodType<T>): NamedDocuments<T> =>
      namedDocuments(data, Stores.data, manager, dataEntries, link, prefix, schema);
    return {
      nats,
      link,
      border,
      experiments: new RecordStore({
        ...parts,
        kv: experiments,
        bucket: Buckets.experiments,
        schema: ExperimentRecord,
        keyOf: ({ id }) => id,
      }),
      jobs: new RecordStore({ ...parts, kv: jobs, bucket: Buckets.jobs, schema: JobRecord, keyOf: ({ id }) => id }),
      leases: new RecordStore({ ...parts, kv: leases, bucket: Buckets.leases, schema: Lease, keyOf: () => undefined }),
      quotas: new RecordStore({ ...parts, kv: leases, bucket: Buckets.leases, schema: Quotas, keyOf: () => undefined }),
      data: blobStore(data, dataEntries, link),
      datasets: documents('dataset', DatasetRecord),
      removals: documents('removal', RemovalNote),
      uploads: uploadsIn(documents(uploadPrefix, UploadNote), dataEntries, link, uploadPrefix),
      artifacts: blobStore(artifacts, entriesOf(Stores.artifacts), link),
      checkpoints: blobStore(checkpoints, entriesOf(Stores.checkpoints), link),
      seats: seatQueue(jetstream, manager, link, border),
      groupKey,
      async growCopies() {
        const grown = await ensureStreams(jetstream, manager, settleMs, replicas ?? 'auto', true);
        return (await groupKey.make(replicas ?? 'auto', true)) ? [...grown, GroupKeyStream] : grown;
      },
      close: () => nats.close(),
    };
  } catch (error) {
    await nats.close();
    throw error;
  }
}
