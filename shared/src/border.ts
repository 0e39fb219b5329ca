import type { Logger } from './logger.ts';
import type { Instruments } from './metrics/registry.ts';

/** Kinds of messages that are dropped where they are not what they should be. */
export const messageKinds = [
  'presence',
  'progress',
  'hello',
  'frame',
  'timeline',
  'seat',
  'record',
  'log',
  'headers',
] as const;
export type MessageKind = (typeof messageKinds)[number];

/** Who tries to do what is not allowed. */
export const attemptKinds = [
  /** A connection to a worker that does not prove to be of its group. */
  'peer',
  /** A request that would change something, or is no HTTP. */
  'http',
  /** What the broker does not let this process do, or as whom it does not let it in. */
  'broker',
  /** Whom the broker did not let in, as its servers' monitoring ports tell. */
  'login',
] as const;
export type AttemptKind = (typeof attemptKinds)[number];

/** Told of everything that does not get past the border of a process: calls are cheap and never throw. */
export interface Border {
  /** A message was dropped. `where` it came, as far as that is known, and `why` it is not what it should be. */
  dropped(kind: MessageKind, where: string, why: string): void;
  /** An attempt was refused. */
  refused(kind: AttemptKind, where: string, why: string): void;
}

/** Of a process that nobody looks at: a command that asks and ends. */
export const unwatchedBorder: Border = { dropped: () => undefined, refused: () => undefined };

/** What has been named in the log is named again after this long, if there is more of it. */
const nameAgainMs = 10 * 60_000;
const longestText = 300;

/**
 * Counts what is dropped or refused, and names the first of each kind in the log; those after it are only counted, so
 * that nobody can fill a log.
 */
export class WatchedBorder implements Border {
  readonly #set: Pick<Instruments<'worker'>, 'badMessages' | 'refused'>;
  readonly #logger: Logger;
  readonly #now: () => number;
  readonly #named = new Map<string, { at: number; since: number }>();

  /** @param now monotonic clock, milliseconds */
  constructor(instruments: Pick<Instruments<'worker'>, 'badMessages' | 'refused'>, logger: Logger, now: () => number) {
    this.#set = instruments;
    this.#logger = logger;
    this.#now = now;
  }

  dropped(kind: MessageKind, where: string, why: string): void {
    this.#set.badMessages.inc({ kind });
    this.#name(`message ${kind}`, { kind, where, why }, 'a message is not what it should be, and was dropped');
  }

  refused(kind: AttemptKind, where: string, why: string): void {
    this.#set.refused.inc({ kind });
    this.#name(`attempt ${kind}`, { kind, where, why }, 'an attempt was refused');
  }

  #name(key: string, { kind, where, why }: { kind: string; where: string; why: string }, text: string): void {
    const named = this.#named.get(key);
    const now = this.#now();
    if (named !== undefined && now - named.at < nameAgainMs) {
      named.since++;
      return;
    }
    this.#named.set(key, { at: now, since: 0 });
    const more = named === undefined || named.since === 0 ? {} : { unnamedSince: named.since };
    this.#logger.warn({ kind, where: where.slice(0, longestText), why: why.slice(0, longestText), ...more }, text);
  }
}
