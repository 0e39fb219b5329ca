import { ErrorCode, NatsError } from 'nats';

/** Why the broker did not do what it was asked, where asking again later can help. */
export interface Trouble {
  /** `away`: it did not answer, or cannot serve now. `full`: it has no room for what should be stored. */
  readonly kind: 'away' | 'full';
  /** In words that make sense to the user, credentials never among them. */
  readonly reason: string;
}

/** JetStream's error for a message that its store refused: a limit of the stream, or no space left on the device. */
export const storeFailed = 10077;
/** JetStream's error for a write whose expected revision is not the last one. */
export const wrongLastSequence = 10071;
/** JetStream's errors that say that a disk, a stream or an account is full. */
const fullCodes: ReadonlySet<number> = new Set([
  10023, // insufficient resources
  10028, // memory resources exceeded
  10047, // storage resources exceeded
  storeFailed,
]);

/**
 * JetStream's error for a write of a record of which another write is not settled yet, where several servers keep copies:
 * they may still agree on it, or its server may be lost and it with it. A single server says which revision is the last.
 */
export const writeUnderWay = 10164;
/** JetStream's errors that are over once the servers have agreed on what was asked before. */
const unsettledCodes: ReadonlySet<number> = new Set([
  writeUnderWay,
  10158, // a message of the same id is under way: this very one, asked again
  10167, // too many requests
]);

const awayReasons: ReadonlyMap<string, string> = new Map<string, string>([
  // What a server cannot write for want of space it does not answer at all.
  [
    ErrorCode.Timeout,
    'it does not answer; if it runs, its log says why (a full disk: free space, then restart nats-server)',
  ],
  [ErrorCode.NoResponders, 'its JetStream is not there (yet)'],
  [ErrorCode.JetStreamNotEnabled, 'its JetStream is not there (yet)'],
  [ErrorCode.Disconnect, 'the connection was lost'],
  [ErrorCode.ConnectionClosed, 'the connection is closed'],
  [ErrorCode.ConnectionTimeout, 'it does not answer'],
  [ErrorCode.ConnectionRefused, 'it refuses connections'],
  [ErrorCode.ServerOptionNotAvailable, 'it has not introduced itself yet'],
]);

/** What a failed request was about, where it is worth asking again; undefined where it is not. */
export function troubleOf(error: unknown): Trouble | undefined {
  if (!(error instanceof NatsError)) return undefined;
  const api = error.api_error;
  if (api !== undefined) {
    if (fullCodes.has(api.err_code ?? 0)) return { kind: 'full', reason: api.description };
    const passes = api.code >= 500 || unsettledCodes.has(api.err_code ?? 0);
    return passes ? { kind: 'away', reason: api.description } : undefined;
  }
  const reason = awayReasons.get(error.code);
  return reason === undefined ? undefined : { kind: 'away', reason };
}

/** Whether this is JetStream's own refusal with that code. */
export const isApiError = (error: unknown, code: number): boolean =>
  error instanceof NatsError && error.api_error?.err_code === code;
