import type { JetStreamClient, JetStreamManager, StreamConfig } from 'nats';
import { DiscardPolicy, ErrorCode, NatsError, RetentionPolicy, StorageType } from 'nats';
import { UnreachableError } from '../errors.ts';
import { allSeats, Buckets, blobStream, recordStream, SeatStream, Stores } from './subjects.ts';

const againMs = 250;

/**
 * Makes the streams that are not there; where `replicas` is given, those that have fewer are given more.
 *
 * @throws UnreachableError naming the first stream that could not be had within `settleMs`.
 */
export async function ensureStreams(
  jetstream: JetStreamClient,
  manager: JetStreamManager,
  settleMs: number,
  replicas?: number,
): Promise<void> {
  const copies = replicas ?? 1;
  const bucket = { history: 1, storage: StorageType.File, replicas: copies, allow_direct: false };
  // As the client's own object store would make it; that one hands the server a field it refuses where copies are asked for.
  const store = (name: string): Partial<StreamConfig> => ({
    name: blobStream(name),
    subjects: [`$O.${name}.C.>`, `$O.${name}.M.>`],
    storage: StorageType.File,
    discard: DiscardPolicy.New,
    allow_direct: true,
    allow_rollup_hdrs: true,
    num_replicas: copies,
  });
  const seats = {
    name: SeatStream,
    subjects: [allSeats],
    retention: RetentionPolicy.Workqueue,
    storage: StorageType.File,
    num_replicas: copies,
  };
  const makers: [stream: string, make: () => Promise<unknown>][] = [
    ...Object.values(Buckets).map(
      (name) => [recordStream(name), () => jetstream.views.kv(name, bucket)] satisfies [string, unknown],
    ),
    ...Object.values(Stores).map(
      (name) => [blobStream(name), () => manager.streams.add(store(name))] satisfies [string, unknown],
    ),
    [SeatStream, () => manager.streams.add(seats)],
  ];
  await Promise.all(
    makers.map(([stream, make]) =>
      settled(`stream ${stream}`, settleMs, () => ensure(manager, stream, make, replicas)),
    ),
  );
}

async function ensure(
  manager: JetStreamManager,
  stream: string,
  make: () => Promise<unknown>,
  replicas: number | undefined,
): Promise<void> {
  const found = await manager.streams.info(stream).catch((error: unknown) => {
    if (isApiError(error, streamNotFound)) return undefined;
    throw error;
  });
  if (found === undefined) await make();
  else if (replicas !== undefined && found.config.num_replicas < replicas)
    await manager.streams.update(stream, { ...found.config, num_replicas: replicas });
}

const streamNotFound = 10059;
const isApiError = (error: unknown, code: number): boolean =>
  error instanceof NatsError && error.api_error?.err_code === code;

/**
 * Tries again, for up to `settleMs`, what a broker cannot do yet: a cluster that has no leader, or too few servers for
 * the copies asked for, a stream that this connection may not make and nobody else has made.
 *
 * @throws UnreachableError naming what was wanted and why it was not to be had.
 */
export async function settled<T>(what: string, settleMs: number, attempt: () => Promise<T>): Promise<T> {
  const until = performance.now() + settleMs;
  for (;;) {
    try {
      return await attempt();
    } catch (error) {
      if (!mayPass(error)) throw error;
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
const insufficientResources = 10023;
const madeMeanwhile = 10058;

function explained(error: unknown): string {
  if (error instanceof NatsError && error.code === ErrorCode.PermissionsViolation)
    return 'nobody who may has made it; is a coordinator running?';
  return error instanceof Error ? error.message : String(error);
}
