import { barDisplay } from '@crossfold/coordinator/cli/progress/bars';
import { plainDisplay, silenceMs } from '@crossfold/coordinator/cli/progress/plain';
import type { ProgressState } from '@crossfold/coordinator/cli/progress/state';
import { advance, initialProgress, jobEtaMs, overall } from '@crossfold/coordinator/cli/progress/state';
import { duration } from '@crossfold/coordinator/cli/progress/text';
import { Versions } from '@crossfold/coordinator/cli/progress/versions';
import type { JobProgress, ProgressEvent } from '@crossfold/shared/progress';
import { ProgressEvent as ProgressEventSchema } from '@crossfold/shared/progress';
import { keyedRandom } from '@crossfold/shared/rng';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';

const job = (fold: number, changes: Partial<JobProgress> = {}): JobProgress => ({
  type: 'job',
  job: `x.train.0.0.${fold}`,
  kind: 'train',
  trial: 0,
  repeat: 0,
  fold,
  state: 'running',
  workers: ['w0'],
  epoch: 0,
  epochs: 0,
  step: 0,
  steps: 0,
  imagesPerSecond: 0,
  ...changes,
});

/** As a worker says it: step of 100 of epoch 1 or 2 of 2. */
const at = (fold: number, epoch: number, step: number, changes: Partial<JobProgress> = {}): JobProgress =>
  job(fold, { epoch, epochs: 2, step, steps: 100, loss: 0.5, accuracy: 0.9, imagesPerSecond: 2000, ...changes });

const validated = { valLoss: 0.25, valAccuracy: 0.95 };

interface Timed {
  readonly ms: number;
  readonly event: ProgressEvent;
}
const play = (...events: readonly Timed[]): ProgressState =>
  events.reduce((state, { ms, event }) => advance(state, event, ms), initialProgress);

describe('how an experiment stands', () => {
  it('counts jobs and parts of them', () => {
    const state = play(
      { ms: 0, event: { type: 'experiment', state: 'running', jobs: 4 } },
      { ms: 0, event: at(0, 1, 0) },
      { ms: 1000, event: at(0, 2, 50) },
      { ms: 1000, event: job(1, { state: 'completed' }) },
      { ms: 1000, event: job(2, { state: 'queued', workers: [] }) },
    );
    expect(overall(state, 1000)).toMatchObject({ done: 1, running: 1, total: 4, fraction: (0.75 + 1) / 4 });
  });

  it('counts epochs over all folds where a search trains some longer than others', () => {
    const state = play(
      { ms: 0, event: { type: 'experiment', state: 'running', jobs: 2, work: { foldEpochs: 8, atMost: true } } },
      { ms: 0, event: at(0, 2, 100) },
      { ms: 0, event: job(0, { state: 'paused', done: 2, workers: [] }) },
      { ms: 0, event: job(1, { state: 'queued', done: 0 }) },
      { ms: 0, event: at(1, 2, 50) },
    );
    expect(overall(state, 0)).toMatchObject({ done: 0, fraction: (2 + 1.5) / 8, atMost: true });
    const given = advance(state, job(0, { state: 'pruned', done: 2, workers: [] }), 1);
    expect(overall(given, 1)).toMatchObject({ done: 1, fraction: (2 + 1.5) / 8 });
  });

  it('tells the rest from the speed since work was first seen, not since before', () => {
    const state = play({ ms: 5000, event: at(0, 1, 50) }, { ms: 7000, event: at(0, 2, 0) });
    // A quarter of the job in 2 s, half of it is left.
    const view = state.jobs.get('x.train.0.0.0');
    expect(view && jobEtaMs(view, 7000)).toBe(4000);
    expect(overall(state, 7000).etaMs).toBe(4000);
  });

  it('keeps where a job stands when its record changes, and forgets its speed when it waits', () => {
    const state = play({ ms: 0, event: at(0, 1, 10) }, { ms: 1, event: job(0, { workers: ['w0', 'w1'] }) });
    expect(state.jobs.get('x.train.0.0.0')).toMatchObject({ epoch: 1, step: 10, workers: ['w0', 'w1'] });
    const waits = advance(state, job(0, { state: 'queued', workers: [] }), 2).jobs.get('x.train.0.0.0');
    expect(waits).toMatchObject({ state: 'queued', epoch: 1, imagesPerSecond: 0, seenFrom: undefined });
  });

  it('does not go back from an end because a worker is heard late', () => {
    const ended = play({ ms: 0, event: job(0, { state: 'completed' }) });
    expect(advance(ended, at(0, 2, 99), 1)).toBe(ended);
  });

  it('follows a job that had failed and is tried again', () => {
    const failed = play({ ms: 0, event: job(0, { state: 'failed', error: 'lost' }) });
    expect(advance(failed, at(0, 2, 99), 1)).toBe(failed);
    const again = advance(failed, job(0, { state: 'queued', workers: [] }), 2);
    expect(overall(again, 2)).toMatchObject({ done: 0, fraction: 0 });
    expect(overall(advance(again, at(0, 1, 50), 3), 3)).toMatchObject({ done: 0, running: 1, fraction: 0.25 });
  });

  it('does not count the test set among the jobs', () => {
    const state = play(
      { ms: 0, event: { type: 'experiment', state: 'running', jobs: 1 } },
      { ms: 0, event: job(0, { state: 'completed' }) },
      { ms: 0, event: job(0, { job: 'x.test.0.0.0', kind: 'test' }) },
    );
    expect(overall(state, 0)).toMatchObject({ done: 1, running: 0, total: 1, fraction: 1 });
  });
});

describe('without a terminal', () => {
  let clock = 0;
  let text: string;
  const output = { write: (s: string) => (text += s) };
  const now = (): number => clock;
  beforeEach(() => {
    vi.useFakeTimers();
    clock = 0;
    text = '';
  });
  afterEach(() => vi.useRealTimers());

  it('says what changes and how each epoch ended, once', () => {
    const display = plainDisplay(output, now);
    const show = (ms: number, event: ProgressEvent): void => {
      clock = ms;
      display.show(event);
    };
    show(0, { type: 'experiment', state: 'submitted' });
    show(0, { type: 'experiment', state: 'running', jobs: 2 });
    show(0, job(0, { state: 'queued', workers: [] }));
    show(0, job(1, { state: 'queued', workers: [] }));
    show(100, job(0));
    show(200, at(0, 1, 0));
    show(1200, at(0, 1, 50));
    show(2200, at(0, 1, 100, validated));
    show(2200, at(0, 1, 100, validated));
    show(2300, at(0, 2, 1, { workers: ['w0', 'w1'] }));
    show(2400, job(0, { state: 'queued', workers: [] }));
    show(2500, job(0, { workers: ['w2'] }));
    show(4200, at(0, 2, 100, { ...validated, workers: ['w2'] }));
    show(4300, job(0, { state: 'completed', workers: [] }));
    show(4400, job(1, { state: 'failed', workers: [], error: 'the loss is not a number' }));
    show(4500, { type: 'log', level: 'warn', message: 'w1 is not heard any more' });
    show(4600, { type: 'experiment', state: 'failed', jobs: 2, message: 'fold 1 failed' });
    display.stop();
    expect(text.trim().split('\n')).toEqual([
      'submitted; the data set is cut and the folds are made',
      'running 2 jobs',
      'fold 0: trains on w0',
      'fold 0: epoch 1/2, loss 0.5000, accuracy 90.00 %, validation loss 0.2500, validation accuracy 95.00 %, 2,000 images/s, 0:02 left',
      'fold 0: goes on on w0, w1',
      'fold 0: waits for a worker again',
      'fold 0: trains on w2',
      'fold 0: epoch 2/2, loss 0.5000, accuracy 90.00 %, validation loss 0.2500, validation accuracy 95.00 %, 2,000 images/s',
      'fold 0: completed: validation accuracy 95.00 %, loss 0.2500',
      'fold 1: failed: the loss is not a number',
      'warn: w1 is not heard any more',
    ]);
  });

  it('says something at least every half minute', () => {
    const display = plainDisplay(output, now);
    display.show({ type: 'experiment', state: 'running', jobs: 3 });
    text = '';
    clock = silenceMs - 1;
    vi.advanceTimersByTime(1000);
    expect(text).toBe('');
    clock = silenceMs;
    vi.advanceTimersByTime(1000);
    expect(text).toBe('0/3 jobs done, waiting for workers\n');
    display.stop();
    clock = 10 * silenceMs;
    vi.advanceTimersByTime(60_000);
    expect(text).toBe('0/3 jobs done, waiting for workers\n');
  });
});

describe('on a terminal', () => {
  beforeEach(() => {
    vi.useFakeTimers();
  });
  afterEach(() => vi.useRealTimers());

  it('draws a bar a running job, says how each ended, and gives the cursor back', () => {
    let text = '';
    const output = { isTTY: true, columns: 120, rows: 40, write: (s: string) => (text += s) };
    let clock = 0;
    const display = barDisplay(output, () => clock);
    display.show({ type: 'experiment', state: 'running', jobs: 2 });
    display.show(at(0, 1, 0));
    clock = 1000;
    display.show(at(0, 1, 100, validated));
    vi.advanceTimersByTime(1000);
    expect(text).toContain('fold 0  epoch 1/2  accuracy 90.00 %  validation 95.00 %  2,000 images/s  0:01 left');
    expect(text).toContain('0/2 jobs done, 1 running');
    text = '';
    display.show(job(0, { state: 'completed' }));
    vi.advanceTimersByTime(1000);
    // Over a bar's line that was longer, and as long as it is.
    expect(text).toContain('\x1b[J\x1b[?7hfold 0: completed: validation accuracy 95.00 %, loss 0.2500\n\x1b[?7l');
    expect(text.slice(text.indexOf('loss 0.2500'))).not.toContain('epoch');
    display.say('last words');
    display.stop();
    expect(text).toContain('last words\n');
    expect(text).toContain('\x1b[?25h');
    const ended = text;
    vi.advanceTimersByTime(5000);
    expect(text).toBe(ended);
  });
});

describe('on a small terminal', () => {
  beforeEach(() => {
    vi.useFakeTimers();
  });
  afterEach(() => vi.useRealTimers());

  it('draws as many bars as fit, and the next once one has gone', () => {
    let text = '';
    const output = { isTTY: true, columns: 120, rows: 6, write: (s: string) => (text += s) };
    const display = barDisplay(output, () => 0);
    for (let fold = 0; fold < 4; fold++) display.show(at(fold, 1, 0));
    vi.advanceTimersByTime(1000);
    expect(text).toContain('fold 1  epoch');
    expect(text).not.toContain('fold 2  epoch');
    display.show(job(0, { state: 'completed' }));
    vi.advanceTimersByTime(1000);
    expect(text).toContain('fold 2  epoch');
    display.stop();
  });
});

describe('on a narrow terminal', () => {
  it('leaves the line to what is said beside the bar', () => {
    vi.useFakeTimers();
    let text = '';
    const output = { isTTY: true, columns: 40, rows: 10, write: (s: string) => (text += s) };
    const display = barDisplay(output, () => 0);
    display.show({ type: 'experiment', state: 'running', jobs: 2 });
    vi.advanceTimersByTime(1000);
    expect(text).toContain('░░░░ 0/2 jobs done, waiting for workers');
    expect(text).not.toContain('░░░░░');
    display.stop();
    vi.useRealTimers();
  });
});

describe('durations', () => {
  it.each([
    [-64_900, '0:00'],
    [0, '0:00'],
    [59_400, '0:59'],
    [65_000, '1:05'],
    [3_599_600, '1:00:00'],
    [45_296_000, '12:34:56'],
  ])('%i ms', (ms, text) => expect(duration(ms)).toBe(text));
});

describe('progress events', () => {
  it('are checked as they come', () => {
    expect(ProgressEventSchema.parse(at(0, 1, 1, validated))).toEqual(at(0, 1, 1, validated));
    expect(ProgressEventSchema.safeParse({ ...at(0, 1, 1), step: -1 }).success).toBe(false);
    expect(ProgressEventSchema.safeParse({ type: 'other' }).success).toBe(false);
  });
});

describe('versions of a map', () => {
  it('stay what they were, whichever of them is gone on from', () => {
    const random = keyedRandom(7, 'versions');
    const all: { readonly versions: Versions<number, number>; readonly plain: Map<number, number> }[] = [
      { versions: new Versions(), plain: new Map() },
    ];
    for (let i = 0; i < 300; i++) {
      // Mostly the newest, as a display does.
      const from = all[i % 10 === 0 ? random.below(all.length) : all.length - 1];
      const [key, value] = [random.below(8), i];
      if (from !== undefined)
        all.push({ versions: from.versions.set(key, value), plain: new Map(from.plain).set(key, value) });
    }
    for (const { versions, plain } of all) {
      for (let key = 0; key < 8; key++) expect(versions.get(key)).toBe(plain.get(key));
      expect(new Map(versions.entries())).toEqual(plain);
    }
  });
});
