import type { RosterConnection } from '@crossfold/shared/broker/presence';
import { presenceGoneMs, presenceLostMs, Roster } from '@crossfold/shared/broker/presence';
import { presenceSubject } from '@crossfold/shared/broker/subjects';
import type { Presence } from '@crossfold/shared/jobs/records';
import type { Msg, Status, Subscription, SubscriptionOptions } from 'nats';
import { ErrorCode, NatsError } from 'nats';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';

/** A connection whose broker answers pings as long as `answering`, and what comes over it. */
class FakeConnection implements RosterConnection {
  answering = true;
  /** Whom the broker has no connection of. */
  readonly gone = new Set<string>();
  #hear: SubscriptionOptions['callback'];
  #statuses: ((status: Status) => void)[] = [];

  subscribe(_subject: string, options?: SubscriptionOptions): Subscription {
    this.#hear = options?.callback;
    return { unsubscribe: () => undefined } as unknown as Subscription;
  }
  isClosed(): boolean {
    return false;
  }
  request(subject: string): Promise<Msg> {
    const worker = subject.split('.').at(-1) ?? '';
    const code = this.gone.has(worker) ? ErrorCode.NoResponders : ErrorCode.Timeout;
    return new Promise((_, reject) => {
      setTimeout(() => reject(NatsError.errorForCode(code)), code === ErrorCode.Timeout ? 400 : 1);
    });
  }
  flush(): Promise<void> {
    return this.answering ? Promise.resolve() : new Promise(() => undefined);
  }
  async *status(): AsyncGenerator<Status> {
    for (;;)
      yield await new Promise<Status>((resolve) => {
        this.#statuses.push(resolve);
      });
  }
  /** The client says that its connection is lost, or back. */
  async say(type: string): Promise<void> {
    for (const wake of this.#statuses.splice(0)) wake({ type, data: '' } as Status);
    await vi.advanceTimersByTimeAsync(0);
  }
  hear(worker: string, job: string | null): void {
    const presence: Presence = { worker, identity: 'e', threads: 1, engine: '', state: 'busy', job, pace: null };
    const data = new TextEncoder().encode(JSON.stringify(presence));
    this.#hear?.(null, { subject: presenceSubject(worker), data } as Msg);
  }
}

const job = 'e.train.0.0.0';
let connection: FakeConnection;
let roster: Roster;
let over: AbortController;
/** Lets time go by, and those who are alive speak. */
async function pass(ms: number, speaking: readonly string[] = [], at: string | null = job): Promise<void> {
  for (let gone = 0; gone < ms; gone += 200) {
    for (const worker of speaking) connection.hear(worker, at);
    await vi.advanceTimersByTimeAsync(200);
  }
}

beforeEach(() => {
  vi.useFakeTimers();
  connection = new FakeConnection();
  over = new AbortController();
  roster = new Roster(connection, over.signal, () => performance.now());
});
afterEach(() => {
  over.abort();
  vi.useRealTimers();
});

describe('a worker', () => {
  it('is lost once it has been silent for long enough, within two seconds', async () => {
    await pass(4000, ['a', 'b']);
    await pass(presenceLostMs - 400, ['b']);
    expect(roster.isLost('a', job, 0)).toBe(false);
    await pass(400, ['b']);
    expect(roster.isLost('a', job, 0)).toBe(true);
    expect(roster.isLost('b', job, 0)).toBe(false);
  });

  /** Lets time go by as a group does that looks after its members, until one is lost; how long that took. */
  async function lostAfter(worker: string): Promise<number> {
    for (let ms = 0; ms < 10_000; ms += 100) {
      if (roster.isLost(worker, job, 0)) return ms;
      await vi.advanceTimersByTimeAsync(100);
    }
    throw new Error(`${worker} was never lost`);
  }

  it('is lost sooner where the broker has no connection of it', async () => {
    await pass(4000, ['a']);
    connection.gone.add('a');
    const ms = await lostAfter('a');
    expect(ms).toBeLessThan(presenceGoneMs + 100);
    expect(ms).toBeGreaterThan(presenceGoneMs - 400);
  });

  it('is not where it has come back meanwhile, or whoever asks has only just come back', async () => {
    await pass(4000, ['a']);
    connection.gone.add('a');
    for (let n = 0; n < 3; n++) {
      expect(roster.isLost('a', job, 0)).toBe(false);
      await pass(200);
    }
    connection.gone.delete('a');
    expect(await lostAfter('a')).toBeGreaterThan(presenceLostMs - 1000);
    connection.gone.add('a');
    await connection.say('disconnect');
    await connection.say('reconnect');
    expect(await lostAfter('a')).toBeGreaterThanOrEqual(presenceLostMs);
  });

  it('has its full time from when it should have begun to speak', async () => {
    await pass(4000);
    expect(roster.isLost('a', job, performance.now() - 400)).toBe(false);
    expect(roster.isLost('a', job, 0)).toBe(true);
  });

  it('is lost to a job when it says that it does something else', async () => {
    await pass(1000, ['a'], null);
    expect(roster.isLost('a', job, 0)).toBe(false);
    await pass(2000, ['a'], null);
    expect(roster.isLost('a', job, 0)).toBe(true);
    expect(roster.isLost('a', job, performance.now() - 200)).toBe(false);
    await pass(200, ['a'], job);
    expect(roster.isLost('a', job, 0)).toBe(false);
  });
});

describe('whoever cannot hear', () => {
  it('takes nobody to be lost while the connection is away, and for a while after', async () => {
    await pass(4000, ['a']);
    await connection.say('disconnect');
    await pass(10_000);
    expect(roster.isLost('a', job, 0)).toBe(false);
    await connection.say('reconnect');
    expect(roster.isLost('a', job, 0)).toBe(false);
    await pass(presenceLostMs + 200);
    expect(roster.isLost('a', job, 0)).toBe(true);
  });

  it('takes nobody to be lost while the broker does not answer, although connected', async () => {
    await pass(4000, ['a']);
    connection.answering = false;
    await pass(10_000);
    expect(roster.isLost('a', job, 0)).toBe(false);
    expect(roster.attentiveMs).toBe(0);
  });

  it('takes nobody to be lost after it was stopped', async () => {
    await pass(4000, ['a']);
    // Time goes by without a timer, as it does for a process that is stopped.
    const stopped = vi.spyOn(performance, 'now').mockReturnValue(performance.now() + 30_000);
    expect(roster.isLost('a', job, 0)).toBe(false);
    stopped.mockRestore();
  });
});
