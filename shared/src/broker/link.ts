import type { NatsConnection } from 'nats';
import { ErrorCode, NatsError } from 'nats';
import { BrokerFullError, roomRemedy, UnreachableError } from '../errors.ts';
import { followConnection } from './connection.ts';
import { troubleOf } from './trouble.ts';

export interface LinkOptions {
  /** How long a request goes on being asked while the broker is away or full. */
  readonly patienceMs: number;
  /** Told of requests that have been waiting for a while, again and again while they do. */
  readonly onWaiting?: (message: string) => void;
}

/** How long one request may take, where it is not a transfer of many bytes. */
export const requestMs = 2500;
const firstPauseMs = 50;
const longestPauseMs = 1000;
const sayAfterMs = 2000;
const sayAgainMs = 10_000;

/**
 * Requests that outlive interruptions of the connection. The client lets a request run into its timeout when the
 * connection goes, although nobody can answer any more; here it is asked again as soon as there is a connection. What
 * is asked must be idempotent, or refused the second time: an answer can be lost after the deed.
 */
export class Link {
  readonly nats: NatsConnection;
  readonly #options: LinkOptions;
  readonly #listeners = new Set<(connected: boolean) => void>();
  #connected = true;
  #saidAt = Number.NEGATIVE_INFINITY;

  constructor(nats: NatsConnection, options: LinkOptions) {
    this.nats = nats;
    this.#options = options;
    followConnection(nats, (connected) => this.#set(connected));
    void nats.closed().then(() => this.#set(false));
  }

  get connected(): boolean {
    return this.#connected && !this.nats.isClosed();
  }

  /** Calls back at every loss and return of the connection; returns how to stop that. */
  onChange(listener: (connected: boolean) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /**
   * What `ask` resolves with; asked again while the broker is away or full, for as long as the patience lasts. Its signal
   * aborts when an attempt has been given up.
   *
   * @param boundMs how long one attempt may take; infinite where `ask` bounds itself
   * @param what completes the sentence "waiting for the broker ...", as in `to store a checkpoint`
   * @throws UnreachableError, or BrokerFullError, when the patience is over; anything else that `ask` throws, at once
   */
  async request<T>(what: string, ask: (signal: AbortSignal) => Promise<T>, boundMs: number = requestMs): Promise<T> {
    const started = performance.now();
    for (let pauseMs = firstPauseMs; ; pauseMs = Math.min(2 * pauseMs, longestPauseMs)) {
      let trouble = { kind: 'away', reason: 'the connection was lost' };
      if (this.connected) {
        try {
          return await this.once(ask, boundMs);
        } catch (error) {
          const found = troubleOf(error);
          if (found === undefined) throw error;
          trouble = found;
        }
      }
      const waited = performance.now() - started;
      const message = `waiting for the broker ${what}: ${trouble.reason}`;
      if (this.nats.isClosed() || waited >= this.#options.patienceMs) {
        const gaveUp = `gave up ${message} (after ${(waited / 1000).toFixed(1)} s)`;
        throw trouble.kind === 'full' ? new BrokerFullError(gaveUp) : new UnreachableError(gaveUp);
      }
      if (waited >= sayAfterMs && performance.now() - this.#saidAt >= sayAgainMs) {
        this.#saidAt = performance.now();
        this.#options.onWaiting?.(trouble.kind === 'full' ? `${message}; ${roomRemedy}` : message);
      }
      await this.#pause(Math.min(pauseMs, this.#options.patienceMs - waited));
    }
  }

  /** One attempt, over when it is answered, when its time is up, or when the connection goes: then with a NatsError. */
  once<T>(ask: (signal: AbortSignal) => Promise<T>, boundMs: number): Promise<T> {
    return new Promise((resolve, reject) => {
      const over = new AbortController();
      const settle = (how: () => void): void => {
        clearTimeout(timer);
        stop();
        over.abort();
        how();
      };
      const fail = (code: ErrorCode): void => settle(() => reject(NatsError.errorForCode(code)));
      const timer =
        boundMs === Number.POSITIVE_INFINITY ? undefined : setTimeout(() => fail(ErrorCode.Timeout), boundMs);
      const stop = this.onChange((connected) => {
        if (!connected) fail(ErrorCode.Disconnect);
      });
      ask(over.signal).then(
        (value) => settle(() => resolve(value)),
        (error: unknown) => settle(() => reject(error)),
      );
    });
  }

  /** Resolves after `ms`, or at once when there is a connection again. */
  #pause(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const done = (): void => {
        clearTimeout(timer);
        stop();
        resolve();
      };
      const timer = setTimeout(done, ms);
      const stop = this.onChange((connected) => {
        if (connected || this.nats.isClosed()) done();
      });
    });
  }

  #set(connected: boolean): void {
    if (this.#connected === connected) return;
    this.#connected = connected;
    for (const listener of [...this.#listeners]) listener(connected);
  }
}
