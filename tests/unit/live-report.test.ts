import { FollowedExperiment } from '@crossfold/coordinator/live/followed';
import { PartialResults } from '@crossfold/coordinator/live/partial';
import { findings } from '@crossfold/coordinator/results/findings';
import { html } from '@crossfold/coordinator/results/report/html';
import { reportHtml } from '@crossfold/coordinator/results/report/report';
import type { Broker } from '@crossfold/shared/broker/broker';
import type { StreamEvent } from '@crossfold/shared/http/site';
import type { JobRecord } from '@crossfold/shared/jobs/records';
import { createLogger } from '@crossfold/shared/logger';
import type { Results } from '@crossfold/shared/results';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { Story } from '../support/finished.ts';
import { type StoredExperiment, storedExperiment } from '../support/stored-experiment.ts';

const trialsOf = (count: number): NonNullable<Story['trials']> =>
  Array.from({ length: count }, (_, i) => ({ accuracy: 0.5 + (0.4 * i) / count, parameters: { seed: i } }));

async function resultsOf(partial: PartialResults, { record }: StoredExperiment, jobs: readonly JobRecord[]) {
  const made = await partial.of(record, jobs, 1000);
  if ('none' in made) throw new Error(made.none);
  return made.results;
}

const foldsIn = ({ trials }: Results): number => trials.reduce((n, { folds }) => n + folds.length, 0);

describe('the report of an experiment that is under way', () => {
  it('grows beyond any number of folds, and reads what a fold left but once', async () => {
    const stored = await storedExperiment({ samples: 200, testSamples: 0, folds: 5, epochs: 2, trials: trialsOf(130) });
    const partial = new PartialResults(stored.broker);
    const results = stored.jobs.map(({ result }) => result?.digest ?? '');
    const fetched = (): string[] => stored.artifacts.fetched.filter((digest) => results.includes(digest));
    for (const jobs of [501, 502, 650]) {
      expect(foldsIn(await resultsOf(partial, stored, stored.jobs.slice(0, jobs)))).toBe(jobs);
      expect(fetched().sort()).toEqual(results.slice(0, jobs).sort());
    }
  });

  it('keeps whole what it shows whole, of all else what its tables and points need', async () => {
    const stored = await storedExperiment({ samples: 200, testSamples: 0, folds: 5, epochs: 3, trials: trialsOf(30) });
    const whole = await resultsOf(new PartialResults(stored.broker), stored, stored.jobs);
    const brief = await resultsOf(new PartialResults(stored.broker, 1), stored, stored.jobs);
    const best = whole.best?.trial;
    expect(brief.best).toEqual(whole.best);
    expect(brief.trials.find(({ trial }) => trial === best)).toEqual(whole.trials.find(({ trial }) => trial === best));
    expect(brief.trials.map(({ summary, comparison }) => ({ summary, comparison }))).toEqual(
      whole.trials.map(({ summary, comparison }) => ({ summary, comparison })),
    );
    expect(findings(brief)).toEqual(findings(whole));
    expect(JSON.stringify(brief).length).toBeLessThan(0.6 * JSON.stringify(whole).length);
    const page = reportHtml({ results: brief, yaml: '' });
    expect(/="[^"]*(NaN|Infinity)/.test(page)).toBe(false);
    for (const part of ['<summary>Trial 27: ', 'id="course"']) expect(page.includes(part)).toBe(true);
  });

  it('shows whole what becomes the best later on', async () => {
    const stored = await storedExperiment({ samples: 200, testSamples: 0, folds: 5, epochs: 3, trials: trialsOf(4) });
    const partial = new PartialResults(stored.broker, 1);
    for (const trials of [1, 2, 3, 4]) {
      const results = await resultsOf(partial, stored, stored.jobs.slice(0, 5 * trials));
      const shown = findings(results).trial;
      expect(shown?.trial).toBe(trials - 1);
      for (const fold of shown?.folds ?? []) expect(fold.history?.valLoss).toHaveLength(3);
    }
  });

  it('is, nested, of the outer folds whose winners are scored alone', async () => {
    // Two outer folds, and two within each.
    const outerOf = (fold: number): number | undefined => (fold < 2 ? undefined : Math.floor(fold / 2) - 1);
    const stored = await storedExperiment(
      { samples: 240, testSamples: 0, folds: 6, epochs: 2, trials: trialsOf(3) },
      outerOf,
    );
    const inner = stored.jobs.filter(({ fold }) => outerOf(fold) !== undefined);
    const outer = (trial: number, fold: number): JobRecord[] =>
      stored.jobs.filter((job) => job.trial === trial && job.fold === fold);
    const partial = new PartialResults(stored.broker);
    // Scores of inner folds are what the search chooses by: they are told once it has chosen.
    expect(await partial.of(stored.record, inner, 1000)).toEqual({
      none: expect.stringContaining('once the search within the first outer fold is over'),
    });
    const one = await resultsOf(partial, stored, [...inner, ...outer(2, 1)]);
    expect(one.nested?.outer.map(({ fold, trial }) => [fold, trial])).toEqual([[1, 2]]);
    expect(new Set(one.trials.flatMap(({ folds }) => folds.map(({ fold }) => fold)))).toEqual(new Set([1, 4, 5]));
    expect(findings(one).verdict).toMatch(/^In 1 of the 2 folds of .* a net that was searched for .* A single fold/);
    const two = await resultsOf(partial, stored, [...inner, ...outer(2, 1), ...outer(1, 0)]);
    expect(two.nested?.outer.map(({ fold, trial }) => [fold, trial])).toEqual([
      [0, 1],
      [1, 2],
    ]);
    expect(foldsIn(two)).toBe(inner.length + 2);
    expect(findings(two).ranking.join()).toContain('did not find the same within each of the 2 outer folds');
    expect(/="[^"]*(NaN|Infinity)/.test(reportHtml({ results: two, yaml: '' }))).toBe(false);
  });
});

describe('the report of a search that is under way', () => {
  const parameters = { seed: [0, 1, 2, 3] };
  const trials = trialsOf(4);

  /** As a job is that a search has had trained for so many epochs, and may have go on. */
  const paused = (job: JobRecord, epochs: number): JobRecord => ({
    ...job,
    state: 'paused',
    result: job.result && { ...job.result, epochs, final: false },
  });

  it('tells what a halving has decided, and how those stand that go on', async () => {
    const stored = await storedExperiment({ samples: 200, testSamples: 0, folds: 3, epochs: 4, trials }, undefined, {
      method: 'halving',
      factor: 2,
      minEpochs: 2,
      parameters,
    });
    const partial = new PartialResults(stored.broker);
    const rung = stored.jobs.map((job) => paused(job, 2));
    const open = await resultsOf(partial, stored, [...rung.slice(0, 11), { ...rung[11], result: null } as JobRecord]);
    expect(open.search).toEqual({ method: 'halving', foldEpochs: 22, exhaustiveFoldEpochs: 48, rounds: [] });
    expect(open.trials.map(({ status }) => status)).toEqual(['running', 'running', 'running', 'running']);
    expect(open.best).toBeNull();

    const decided = rung.map((job) => (job.trial < 2 ? { ...job, state: 'pruned' as const } : job));
    const results = await resultsOf(partial, stored, decided);
    expect(results.search?.rounds.map(({ epochs, dropped }) => [epochs, dropped.map(({ trial }) => trial)])).toEqual([
      [2, [1, 0]],
    ]);
    const page = reportHtml({ results, yaml: '' }, { live: { head: html``, state: 'running' } });
    expect(page).toContain('24 epochs of a fold were trained so far, of the 48 that');
    expect(page).toContain('2 trials were stopped early');
    expect(page).toContain('Who was stopped, and on what evidence');
    expect(page).toContain('No trial has all of its folds yet');
    // Those that go on stand before those that were stopped, with the scores that they have.
    const order = [
      ...page.matchAll(/<tr data-key="trial-(\d)" class="\w*"><th scope="row">\d<\/th><td data-value="0/g),
    ];
    expect(order.map(([, trial]) => trial)).toEqual(['3', '2', '1', '0']);

    const over = decided.map((job, i) =>
      job.trial < 2 || job.result === null ? job : { ...job, ...stored.jobs[i], earlier: [job.result] },
    );
    const done = await resultsOf(partial, stored, over);
    expect(done.best?.trial).toBe(3);
    expect(done.search?.rounds).toHaveLength(2);
  });

  it('keeps, nested, to what was decided within those outer folds whose winner is scored', async () => {
    const outerOf = (fold: number): number | undefined => (fold < 2 ? undefined : Math.floor(fold / 2) - 1);
    const stored = await storedExperiment({ samples: 240, testSamples: 0, folds: 6, epochs: 2, trials }, outerOf, {
      method: 'racing',
      minFolds: 2,
      confidence: 0.95,
      parameters,
    });
    const partial = new PartialResults(stored.broker);
    const inner = stored.jobs.filter(({ fold }) => outerOf(fold) !== undefined);
    const outer = stored.jobs.filter(({ trial, fold }) => trial === 3 && fold < 2);
    const one = await resultsOf(partial, stored, [...inner, ...outer.slice(0, 1)]);
    expect(one.search?.rounds.map(({ within }) => within)).toEqual([0]);
    const both = await resultsOf(partial, stored, [...inner, ...outer]);
    expect(both.search?.rounds.map(({ within }) => within)).toEqual([0, 1]);
  });
});

describe('the page of an experiment that is under way', () => {
  beforeEach(() => {
    vi.useFakeTimers();
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  /** An experiment that is followed, on a broker that takes its time with every document of folds. */
  async function follow(stored: StoredExperiment, readMs: number) {
    let drawings = 0;
    let tell: (job: JobRecord) => void = () => undefined;
    const ending = new AbortController();
    const broker = {
      ...stored.broker,
      artifacts: {
        ...stored.artifacts,
        get: async (digest: string, maxBytes: number): Promise<Uint8Array> => {
          if (digest === stored.record.folds?.digest) {
            drawings++;
            await new Promise((resolve) => setTimeout(resolve, readMs));
          }
          return stored.artifacts.get(digest, maxBytes);
        },
      },
      nats: { isClosed: () => false, subscribe: () => ({ unsubscribe: () => undefined }) },
      jobs: {
        watch: async (_: string, __: AbortSignal, seen: (entry: { value: JobRecord }) => void) => {
          tell = (value) => seen({ value });
        },
      },
      experiments: { watch: async () => undefined },
    } as unknown as Broker;
    const logger = createLogger({ service: 'test', env: { CROSSFOLD_LOG_LEVEL: 'silent' } });
    const context = { broker, logger, now: Date.now, canWrite: false, signal: ending.signal };
    const followed = new FollowedExperiment(stored.record, context);
    await followed.begin();
    return { followed, finish: (job: JobRecord) => tell(job), drawings: () => drawings, ending };
  }

  const shownBy = (page: string): string => /shown=(\w*)/.exec(page)?.[1] ?? 'none';
  const foldsOver = (page: string): string => /<td data-value="\d+">(\d+ of \d+)<\/td>/.exec(page)?.[1] ?? 'none';

  it('costs a tenth of the time at most, however many folds finish, and shows the last of them', async () => {
    const stored = await storedExperiment({
      samples: 2500,
      testSamples: 0,
      folds: 100,
      epochs: 1,
      trials: trialsOf(2),
    });
    const [first, ...jobs] = stored.jobs;
    const { followed, finish, drawings, ending } = await follow(stored, 500);
    if (first !== undefined) finish(first);
    const asked = followed.page();
    await vi.advanceTimersByTimeAsync(500);
    let page = await asked;
    const told: unknown[] = [];
    const listening = followed.listen(
      shownBy(page),
      (event: StreamEvent) => {
        if (event.type === 'changed') told.push(event.data);
      },
      ending.signal,
    );
    for (const job of jobs) {
      finish(job);
      await vi.advanceTimersByTimeAsync(100);
    }
    // Twenty seconds of news: a drawing takes half a second, and another follows after ten times as long.
    expect(drawings()).toBeLessThanOrEqual(1 + Math.ceil(20_000 / 5500));
    expect(told.length).toBeGreaterThan(1);
    // Whoever asks meanwhile has the page that there is, at once.
    const before = drawings();
    page = await followed.page();
    expect(drawings()).toBe(before);
    await vi.advanceTimersByTimeAsync(12_000);
    page = await followed.page();
    expect(shownBy(page)).toBe(told.at(-1));
    expect(foldsOver(page)).toBe('100 of 100');
    expect(page.includes('200 of 200 folds over')).toBe(true);
    expect(new Set(told).size).toBe(told.length);
    ending.abort();
    await listening;
    followed.close();
  });

  it('is there before a report that takes long is, and is told of it', async () => {
    const stored = await storedExperiment({ samples: 200, testSamples: 0, folds: 5, epochs: 1 });
    const { followed, finish, ending } = await follow(stored, 20_000);
    for (const job of stored.jobs) finish(job);
    const asked = followed.page();
    await vi.advanceTimersByTimeAsync(3000);
    const bare = await asked;
    expect(bare).toContain('5 of 5 folds over');
    expect(bare).toContain('The report of what is finished is being put together.');
    const told: StreamEvent[] = [];
    const listening = followed.listen(shownBy(bare), (event) => told.push(event), ending.signal);
    expect(told.map(({ type }) => type)).toEqual(['live']);
    await vi.advanceTimersByTimeAsync(17_000);
    const changes = told.filter(({ type }) => type === 'changed');
    expect(changes).toHaveLength(1);
    const page = await followed.page();
    expect(page.includes('Verdict so far')).toBe(true);
    expect(shownBy(page)).toBe(changes[0]?.data);
    ending.abort();
    await listening;
    followed.close();
  });
});
