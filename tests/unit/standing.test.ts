import type { JobNews } from '@crossfold/coordinator/metrics/standing';
import { bestShown, newsAfter, newsOfEnded, shownOf, standingOf } from '@crossfold/coordinator/metrics/standing';
import type { JobRecord, ResultRef } from '@crossfold/shared/jobs/records';
import { foldName } from '@crossfold/shared/jobs/records';
import type { JobProgress } from '@crossfold/shared/progress';
import { describe, expect, it } from 'vitest';
import { experimentRecord } from '../support/fake-client.ts';
import { aJob, aResult } from '../support/records.ts';

const job = (fold: number, over: Partial<JobRecord> = {}): JobRecord =>
  aJob({ id: `exp.train.0.0.${fold}`, fold, ...over });
const said = (over: Partial<JobProgress>): JobNews => ({
  progress: {
    type: 'job',
    job: 'any',
    kind: 'train',
    trial: 0,
    fold: 0,
    repeat: 0,
    state: 'running',
    workers: [],
    epoch: 1,
    epochs: 4,
    step: 5,
    steps: 10,
    loss: 2,
    accuracy: 0.25,
    imagesPerSecond: 100,
    ...over,
  },
  validation: undefined,
  validated: undefined,
});
/** Of the epoch that the model is of. */
const left = (scores: { loss: number; accuracy: number }): ResultRef =>
  aResult({ epochs: 3, ...scores, train: { loss: 2, accuracy: 0.4 } });
const running = experimentRecord('exp', { state: 'running', jobs: 4, startedAt: 1000, finishedAt: null });

it('of an epoch that was validated both accuracies are kept, while others are under way and once the job is over', () => {
  const under = said({}).progress as JobProgress;
  const first = newsAfter(undefined, under);
  expect(first.validated).toBeUndefined();
  const validated = newsAfter(first, { ...under, epoch: 1, accuracy: 0.5, valLoss: 1.5, valAccuracy: 0.75 });
  const kept = { epoch: 1, accuracy: { train: 0.5, validation: 0.75 } };
  expect(validated).toMatchObject({ validation: { loss: 1.5, accuracy: 0.75 }, validated: kept });
  const next = newsAfter(validated, { ...under, epoch: 2, accuracy: 0.125 });
  expect(next).toMatchObject({ progress: { epoch: 2 }, validation: { accuracy: 0.75 }, validated: kept });
  // The record tells which epoch counts: the last may be another.
  const over = job(0, { state: 'completed', result: left({ loss: 0.5, accuracy: 0.25 }) });
  const [fold] = standingOf(running, [over], new Map([[over.id, newsOfEnded(next)]]), 2000).folds;
  expect(fold).toMatchObject({ validated: kept, validation: { accuracy: 0.25 }, train: { accuracy: 0.4 } });
});

describe('how an experiment stands', () => {
  it('is nothing yet where nothing has begun', () => {
    const submitted = experimentRecord('exp', { state: 'submitted', jobs: 0, startedAt: null, finishedAt: null });
    expect(standingOf(submitted, [], new Map(), 5000)).toEqual({
      folds: [],
      trials: [],
      states: new Map(),
      progress: 0,
      elapsedSeconds: undefined,
      remainingSeconds: undefined,
      atMost: false,
    });
  });

  it('counts folds by state, their share of epochs, and from that the time that is left', () => {
    const jobs = [job(0, { state: 'completed' }), job(1, { state: 'running', startedAt: 4000 }), job(2), job(3)];
    const news = new Map([['exp.train.0.0.1', said({ epoch: 3, step: 0 })]]);
    const standing = standingOf(running, jobs, news, 16_000);
    expect(standing.states).toEqual(
      new Map([
        ['completed', 1],
        ['running', 1],
        ['queued', 2],
      ] as const),
    );
    expect(standing.progress).toBe((1 + 0.5) / 4);
    expect(standing.elapsedSeconds).toBe(15);
    expect(standing.remainingSeconds).toBe((15 * (1 - 0.375)) / 0.375);
    expect(standing.folds.map((fold) => fold.remainingSeconds)).toEqual([undefined, 12, undefined, undefined]);
  });

  it('takes a fold that goes on after a rung of its search from what its group says', () => {
    const result = left({ loss: 0.7, accuracy: 0.8 });
    const news = new Map([['exp.train.0.0.0', { ...said({ epoch: 4 }), validation: { loss: 0.5, accuracy: 0.9 } }]]);
    const at = (state: JobRecord['state']) => standingOf(running, [job(0, { state, result })], news, 2000).folds[0];
    expect(at('paused')).toMatchObject({ epoch: 3, validation: { accuracy: 0.8 } });
    expect(at('running')).toMatchObject({ epoch: 4, validation: { accuracy: 0.9 } });
  });

  it('ends with the experiment', () => {
    const over = experimentRecord('exp', { state: 'cancelled', startedAt: 1000, finishedAt: 4000 });
    expect(standingOf(over, [job(0)], new Map(), 99_000)).toMatchObject({
      progress: 1,
      elapsedSeconds: 3,
      remainingSeconds: undefined,
    });
  });

  it('takes a running fold from what its group says, a finished one from its result', () => {
    const jobs = [
      job(0, { state: 'running', generation: 2, members: [{ worker: 'a', address: null }] }),
      job(1, { state: 'completed', result: left({ loss: 0.7, accuracy: 0.8 }) }),
    ];
    const late = { ...said({}), validation: { loss: 9, accuracy: 0.1 } };
    const news = new Map([
      ['exp.train.0.0.0', { ...said({}), validation: { loss: 1.5, accuracy: 0.5 } }],
      ['exp.train.0.0.1', late],
    ]);
    const [first, second] = standingOf(running, jobs, news, 2000).folds;
    expect(first).toMatchObject({
      fold: '0',
      epoch: 1,
      progress: 0.125,
      imagesPerSecond: 100,
      generation: 2,
      members: 1,
      train: { loss: 2, accuracy: 0.25 },
      validation: { loss: 1.5, accuracy: 0.5 },
    });
    expect(second).toMatchObject({
      epoch: 3,
      progress: 1,
      imagesPerSecond: undefined,
      train: { loss: 2, accuracy: 0.4 },
      validation: { accuracy: 0.8 },
    });
  });

  it('has mean and sample standard deviation over the folds of a trial, without those given up', () => {
    const jobs = [
      job(0, { state: 'completed', result: left({ loss: 0, accuracy: 0.9 }) }),
      job(1, { state: 'running' }),
      job(2, { state: 'pruned' }),
      aJob({ id: 'exp.train.1.0.0', trial: 1, state: 'completed' }),
      aJob({ id: 'exp.test.0.0.0', kind: 'test', state: 'running' }),
    ];
    const news = new Map([
      ['exp.train.0.0.1', { ...said({}), validation: { loss: 1, accuracy: 0.7 } }],
      ['exp.train.0.0.2', { ...said({}), validation: { loss: 1, accuracy: 0.1 } }],
    ]);
    const { trials, states } = standingOf(running, jobs, news, 2000);
    expect(trials).toHaveLength(2);
    expect(trials[0]?.accuracy?.mean).toBeCloseTo(0.8, 12);
    expect(trials[0]?.accuracy?.std).toBeCloseTo(Math.sqrt(0.02), 12);
    expect(trials[0]?.states.get('pruned')).toBe(1);
    expect(trials[1]?.accuracy).toBeUndefined();
    expect([...states.values()].reduce((a, b) => a + b)).toBe(4);
  });

  it('has the accuracy that a trial was left with where its search gave it up', () => {
    const pruned = (fold: number, accuracy: number): JobRecord =>
      job(fold, { state: 'pruned', result: left({ loss: 1, accuracy }) });
    const of = (...jobs: JobRecord[]) => standingOf(running, jobs, new Map(), 2000).trials[0]?.accuracy;
    expect(of(pruned(0, 0.25), pruned(1, 0.75), job(2, { state: 'pruned' }))?.mean).toBe(0.5);
    const [failed, cancelled] = (['failed', 'cancelled'] as const).map((state, fold) =>
      job(fold, { state, result: left({ loss: 1, accuracy: 0.1 }) }),
    ) as [JobRecord, JobRecord];
    expect(of(failed, cancelled, pruned(2, 0.5))?.mean).toBe(0.5);
    expect(of(failed, cancelled)).toBeUndefined();
    // As long as one fold counts, those given up do not.
    const completed = job(1, { state: 'completed', result: left({ loss: 0, accuracy: 0.9 }) });
    expect(of(pruned(0, 0.25), completed)).toEqual({ mean: 0.9, std: 0 });
  });

  it('is shown in full up to a bound, and of ten thousand trials the best and what runs', () => {
    const of = (trials: number) =>
      Array.from({ length: trials * 5 }, (_, i): JobRecord => {
        const [trial, fold] = [Math.floor(i / 5), i % 5];
        const id = `exp.train.${trial}.0.${fold}`;
        if (trial === 3) return aJob({ id, trial, fold, state: 'running' });
        // The later, the better.
        return aJob({ id, trial, fold, state: 'completed', result: left({ loss: 1, accuracy: trial / trials }) });
      });
    const few = standingOf(running, of(200), new Map(), 2000);
    expect(shownOf(few)).toEqual({ folds: few.folds, trials: few.trials });
    const { folds, trials } = shownOf(standingOf(running, of(10_000), new Map(), 2000));
    expect(trials.map(({ trial }) => trial)).toEqual(Array.from({ length: bestShown.trials }, (_, i) => 9999 - i));
    expect(folds).toHaveLength(5 * bestShown.withFolds + 5);
    expect(folds.filter(({ trial }) => trial < 10_000 - bestShown.withFolds).map(({ trial }) => trial)).toEqual([
      3, 3, 3, 3, 3,
    ]);
  });

  it('names folds of later repeats apart', () => {
    expect([foldName(0, 3), foldName(1, 3)]).toEqual(['3', 'r1.3']);
  });
});
