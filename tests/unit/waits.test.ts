import { createLogger } from '@crossfold/shared/logger';
import type { Wait } from '@crossfold/shared/waits';
import { longWaitMs, Waits } from '@crossfold/shared/waits';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';

let lines: Record<string, unknown>[];
let waits: Waits;
const logger = createLogger({
  service: 'test',
  to: { write: (line) => void lines.push(JSON.parse(line) as Record<string, unknown>) },
  env: { CROSSFOLD_LOG_LEVEL: 'info' },
});
const said = (): unknown[] =>
  lines.map(({ msg, members, for: what }) => ({ msg, ...(what === undefined ? {} : { members, what }) }));

beforeEach(() => {
  vi.useFakeTimers();
  lines = [];
  waits = new Waits(() => performance.now());
});
afterEach(() => vi.useRealTimers());

describe('whoever waits for long', () => {
  it('says for whom and for what within two seconds, again while it lasts, and when it is over', async () => {
    let arrive: (value: number) => void = () => undefined;
    const waiting = waits.during(logger, 'sums of step 7', new Promise<number>((resolve) => (arrive = resolve)), ['b']);
    await vi.advanceTimersByTimeAsync(longWaitMs - 1);
    expect(said()).toEqual([]);
    expect(waits.current()).toEqual([{ members: ['b'], what: 'sums of step 7', sinceMs: longWaitMs - 1 }]);
    await vi.advanceTimersByTimeAsync(2000 - longWaitMs);
    const word = { msg: 'waiting', members: ['b'], what: 'sums of step 7' };
    expect(said()).toEqual([word]);
    await vi.advanceTimersByTimeAsync(20_000);
    expect(said()).toEqual([word]);
    await vi.advanceTimersByTimeAsync(15_000);
    expect(said()).toEqual([word, word]);
    arrive(1);
    expect(await waiting).toBe(1);
    expect(said()).toEqual([word, word, { msg: 'waited' }]);
    expect(waits.current()).toEqual([]);
    expect(vi.getTimerCount()).toBe(0);
  });

  it('is silent about short ones, one after another', async () => {
    let startedAt = performance.now();
    const end = waits.watch(logger, () => ({ members: ['b'], what: 'x', sinceMs: performance.now() - startedAt }));
    for (let step = 0; step < 20; step++) {
      await vi.advanceTimersByTimeAsync(1000);
      startedAt = performance.now();
    }
    end();
    expect(said()).toEqual([]);
  });

  it('names a second long wait of the same source anew', async () => {
    let wait: Omit<Wait, 'sinceMs'> & { at: number } = { members: ['b'], what: 'first', at: performance.now() };
    const end = waits.watch(logger, () => ({ ...wait, sinceMs: performance.now() - wait.at }));
    await vi.advanceTimersByTimeAsync(2000);
    wait = { members: ['c'], what: 'second', at: performance.now() };
    await vi.advanceTimersByTimeAsync(2000);
    end();
    expect(said()).toEqual([
      { msg: 'waiting', members: ['b'], what: 'first' },
      { msg: 'waited' },
      { msg: 'waiting', members: ['c'], what: 'second' },
      { msg: 'waited' },
    ]);
  });

  it('passes on what the promise fails with', async () => {
    const failure = new Error('gone');
    await expect(waits.during(logger, 'x', Promise.reject(failure))).rejects.toBe(failure);
    expect(vi.getTimerCount()).toBe(0);
  });
});
