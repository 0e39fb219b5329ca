import type { Logger } from './logger.ts';

/** Whom a process waits for, what for, and how long it has, in milliseconds. */
export interface Wait {
  /** Workers that are waited for; empty where it is something else. */
  readonly members: readonly string[];
  readonly what: string;
  readonly sinceMs: number;
}

/** Says what is waited for now; undefined while nothing is. Must be cheap. */
export type ReadWait = () => Wait | undefined;

/** A wait becomes long, and is named, after this much: in time for whoever expects it within two seconds. */
export const longWaitMs = 1500;
/** A wait that goes on is named again this often. */
const sayAgainMs = 30_000;
const lookEveryMs = 250;

interface Source {
  readonly read: ReadWait;
  /** Undefined where the wait is nothing to be said in a log: that of an idle worker for work. */
  readonly logger: Logger | undefined;
  /** The long wait that was last named: when it began and when it was named. */
  said: { readonly startedAt: number; at: number } | undefined;
}

/** All that a process waits for. Long waits are named in the log; metrics read `current`. */
export class Waits {
  readonly #now: () => number;
  readonly #sources = new Set<Source>();
  #ticker: NodeJS.Timeout | undefined;

  /** @param now monotonic clock, milliseconds */
  constructor(now: () => number) {
    this.#now = now;
  }

  /** Looks after something that may wait until the function that comes back is called. */
  watch(logger: Logger | undefined, read: ReadWait): () => void {
    const source: Source = { logger, read, said: undefined };
    this.#sources.add(source);
    this.#ticker ??= setInterval(() => this.#look(), lookEveryMs).unref();
    return () => {
      if (!this.#sources.delete(source)) return;
      this.#over(source, undefined);
      if (this.#sources.size > 0) return;
      clearInterval(this.#ticker);
      this.#ticker = undefined;
    };
  }

  /** The same for a wait for one thing, from now on. */
  begin(logger: Logger | undefined, what: string, members: readonly string[] = []): () => void {
    const startedAt = this.#now();
    return this.watch(logger, () => ({ members, what, sinceMs: this.#now() - startedAt }));
  }

  /** Looks after a promise: as long as it is not settled, it is waited for. */
  async during<T>(logger: Logger, what: string, promise: Promise<T>, members: readonly string[] = []): Promise<T> {
    const end = this.begin(logger, what, members);
    try {
      return await promise;
    } finally {
      end();
    }
  }

  current(): Wait[] {
    return [...this.#sources].map(({ read }) => read()).filter((wait) => wait !== undefined);
  }

  #look(): void {
    const now = this.#now();
    for (const source of this.#sources) {
      const wait = source.read();
      this.#over(source, wait === undefined ? undefined : now - wait.sinceMs);
      if (wait === undefined || wait.sinceMs < longWaitMs) continue;
      const { said } = source;
      if (said !== undefined && now - said.at < sayAgainMs) continue;
      source.said = { startedAt: said?.startedAt ?? now - wait.sinceMs, at: now };
      source.logger?.warn({ members: wait.members, for: wait.what, ms: Math.round(wait.sinceMs) }, 'waiting');
    }
  }

  /** Says that the wait that was named is over, unless it is the one that began at `startedAt`. */
  #over(source: Source, startedAt: number | undefined): void {
    const { said } = source;
    if (said === undefined || (startedAt !== undefined && startedAt - said.startedAt < 1)) return;
    source.said = undefined;
    source.logger?.info({ ms: Math.round(this.#now() - said.startedAt) }, 'waited');
  }
}
