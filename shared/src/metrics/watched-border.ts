import type { AttemptKind, Border, MessageKind } from '../border.ts';
import type { Logger } from '../logger.ts';
import type { Instruments } from './registry.ts';

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
