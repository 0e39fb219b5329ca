import type { JetStreamClient, JetStreamManager, StreamConfig } from 'nats';
import { DiscardPolicy, ErrorCode, NatsError, RetentionPolicy, StorageType } from 'nats';
import { BrokerFullError, UnreachableError } from '../errors.ts';
import { logsKept } from './log-stream.ts';
import { allSeats, Buckets, blobStream, LogStream, logSubject, recordStream, SeatStream, Stores } from './subjects.ts';
import { isApiError, troubleOf } from './trouble.ts';

const againMs = 250;

/** As many copies survive the loss of any one server; more cost every write and gain little. */
const mostReplicas = 3;

/** Copies that the broker's servers keep of everything; `auto`: three, or as many as there are servers. */
export type Replicas = number | 'auto';

/**
 * Makes the streams that are not there, and where `grow` is set has more copies kept of those that have fewer than is
 * wanted and possible.
 *
 * @returns the names of the streams that got more copies
 * @throws UnreachableError naming the first stream that could not be had within `settleMs`.
 */
export async function ensureStreams(
  jetstream: JetStreamClient,
  manager: JetStreamManager,
  settleMs: number,
  replicas: Replicas,
  grow: boolean,
): Promise<string[]> {
  const bucket = { history: 1, storage: StorageType.File, allow_direct: false };
  // As the client's own object store would make it; that one hands the server a field it refuses where copies are asked for.
  const store = (name: string): Partial<StreamConfig> => ({
    name: blobStream(name),
    subjects: [`$O.${name}.C.>`, `$O.${name}.M.>`],
    storage: StorageType.File,
    discard: DiscardPolicy.New,
    allow_direct: false,
    allow_rollup_hdrs: true,
  });
  const seats = {
    name: SeatStream,
    subjects: [allSeats],
    retention: RetentionPolicy.Workqueue,
    storage: StorageType.File,
  };
  const logs = {
    name: LogStream,
    subjects: [logSubject('*')],
    storage: StorageType.File,
    discard: DiscardPolicy.Old,
    max_age: logsKept.days * 86_400 * 1e9,
    max_bytes: logsKept.bytes,
    max_msg_size: 2 * logsKept.lineBytes,
  };
  const makers: [stream: string, make: (copies: number) => Promise<unknown>][] = [
    ...Object.values(Buckets).map((name): [string, (copies: number) => Promise<unknown>] => [
      recordStream(name),
      (copies) => jetstream.views.kv(name, { ...bucket, replicas: copies }),
    ]),
    ...[...Object.values(Stores).map(store), seats, logs].map(
      (config): [string, (copies: number) => Promise<unknown>] => [
        config.name ?? '',
        (copies) => manager.streams.add({ ...config, num_replicas: copies }),
      ],
    ),
  ];
  const ensured = makers.map(async ([stream, make]) => {
    const grown = await settled(`stream ${stream}`, settleMs, () => ensure(manager, stream, make, replicas, grow));
    return grown ? [stream] : [];
  });
  return (await Promise.all(ensured)).flat();
}

/** Makes one stream like that; returns whether more copies are kept than before. */
export async function ensure(
  manager: JetStreamManager,
  stream: string,
  make: (copies: number) => Promise<unknown>,
  replicas: Replicas,
  grow: boolean,
): Promise<boolean> {
  const found = await manager.streams.info(stream).catch((error: unknown) => {
    if (isApiError(error, streamNotFound)) return undefined;
    throw error;
  });
  if (found === undefined) {
    await withCopies(replicas, 1, make);
    return false;
  }
  const { config } = found;
  if (!grow) return false;
  const update = async (copies: number): Promise<unknown> =>
    copies <= config.num_replicas || manager.streams.update(stream, { ...config, num_replicas: copies });
  return (await withCopies(replicas, config.num_replicas, update)) > config.num_replicas;
}

/** Does something with as many copies as are wanted; with `auto` as many as there can be, which only the broker knows. */
async function withCopies(
  replicas: Replicas,
  least: number,
  act: (copies: number) => Promise<unknown>,
): Promise<number> {
  const most = replicas === 'auto' ? mostReplicas : replicas;
  for (let copies = most; ; copies--) {
    try {
      await act(copies);
      return copies;
    } catch (error) {
      const tooFewServers = [noCluster, noSuitablePeers, insufficientReplicas].some((code) => isApiError(error, code));
      if (replicas !== 'auto' || copies <= least || !tooFewServers) throw error;
    }
  }
}

const streamNotFound = 10059;

/**
 * Tries again, for up to `settleMs`, what a broker cannot do yet: a cluster that has no leader, or too few servers for
 * the copies asked for, a stream that this connection may not make and nobody else has made.
 *
 * @throws UnreachableError naming what was wanted and why it was not to be had; BrokerFullError where there is no room.
 */
export async function settled<T>(what: string, settleMs: number, attempt: () => Promise<T>): Promise<T> {
  const until = performance.now() + settleMs;
  for (;;) {
    try {
      return await attempt();
    } catch (error) {
      if (!mayPass(error)) {
        const trouble = troubleOf(error);
        if (trouble?.kind !== 'full') throw error;
        throw new BrokerFullError(`the broker has no room for ${what}: ${trouble.reason}`, { cause: error });
      }
      if (performance.now() > until)
        throw new UnreachableError(`the broker has no ${what} after ${settleMs / 1000} s: ${explained(error)}`, {
          cause: error,
        });
      await new Promise((resolve) => setTimeout(resolve, againMs));
    }
  }
}

/** JetStream not ready (503), no suitable servers yet (400 with these codes), silence, or no permission to make it. */
function mayPass(error: unknown): boolean {
  if (!(error instanceof NatsError)) return false;
  const transient = [noSuitablePeers, insufficientResources, madeMeanwhile].some((code) => isApiError(error, code));
  const codes: readonly string[] = [ErrorCode.Timeout, ErrorCode.NoResponders, ErrorCode.PermissionsViolation, '503'];
  return transient || codes.includes(error.code) || error.api_error?.code === 503;
}
const noSuitablePeers = 10005;
const insufficientReplicas = 10052;
const noCluster = 10074;
const insufficientResources = 10023;
const madeMeanwhile = 10058;

function explained(error: unknown): string {
  if (error instanceof NatsError && error.code === ErrorCode.PermissionsViolation)
    return 'nobody who may has made it; is a coordinator running?';
  return error instanceof Error ? error.message : String(error);
}
