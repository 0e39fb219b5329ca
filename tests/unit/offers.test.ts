import { isSettled, planOffers } from '@crossfold/coordinator/leader/offers';
import type { JobRecord, Presence } from '@crossfold/shared/jobs/records';
import { removeMembers, takeSeat } from '@crossfold/shared/jobs/transitions';
import { describe, expect, it } from 'vitest';
import { aJob } from '../support/records.ts';

const worker = (name: string, state: Presence['state'] = 'idle', identity = 'engine'): Presence => ({
  worker: name,
  identity,
  threads: 1,
  engine: '',
  state,
  job: null,
  pace: null,
});
const fold = (n: number, over: Partial<JobRecord> = {}): JobRecord =>
  aJob({ id: `exp.train.0.0.${n}`, fold: n, ...over });
const at = (now: number) => ({ now, secret: '' });
const none = new Map<string, number>();
const ids = (jobs: readonly JobRecord[]): string[] => jobs.map((job) => job.id);

describe('giving out seats', () => {
  it('gives as many as workers idle, and one beside', () => {
    const offers = planOffers([fold(0), fold(1), fold(2), fold(3)], [worker('a'), worker('b')], none, new Map());
    expect(ids(offers)).toEqual(['exp.train.0.0.0', 'exp.train.0.0.1', 'exp.train.0.0.2']);
  });

  it('gives all seats of one job before the next job gets any', () => {
    const offers = planOffers(
      [fold(0, { seats: 2 }), fold(1, { seats: 2 })],
      [worker('a'), worker('b')],
      none,
      new Map(),
    );
    expect(ids(offers)).toEqual(['exp.train.0.0.0', 'exp.train.0.0.0', 'exp.train.0.0.1']);
  });

  it('gives those first that members wait for who cannot begin', () => {
    const members = [{ worker: 'a', address: null }];
    const two = { seats: 2, minSeats: 2, members };
    const jobs = [fold(0, { ...two, state: 'running' }), fold(1, { ...two, state: 'forming' })];
    const workers = [worker('a', 'busy'), worker('b', 'busy'), worker('c')];
    expect(ids(planOffers(jobs, workers, none, new Map()))).toEqual(['exp.train.0.0.1', 'exp.train.0.0.0']);
  });

  it('counts what still lies in the queue', () => {
    expect(planOffers([fold(0)], [worker('a', 'busy')], new Map([['engine', 1]]), new Map())).toEqual([]);
  });

  it('is not held up by seats that wait for workers of another engine', () => {
    const waiting = new Map([['other', 5]]);
    expect(ids(planOffers([fold(0)], [worker('a')], waiting, new Map()))).toEqual(['exp.train.0.0.0']);
  });

  it('does not give a seat twice while it is on its way', () => {
    const offered = new Map([['exp.train.0.0.0', { upTo: 1, members: 0, generation: 0, since: fold(0).since }]]);
    expect(planOffers([fold(0)], [worker('a')], none, offered)).toEqual([]);
  });

  it('gives a second seat of a job of two although the first is on its way', () => {
    const offered = new Map([['exp.train.0.0.0', { upTo: 1, members: 0, generation: 0, since: fold(0).since }]]);
    expect(ids(planOffers([fold(0, { seats: 2 })], [worker('a')], none, offered))).toEqual(['exp.train.0.0.0']);
  });

  it('gives seats only to workers whose engine computes alike', () => {
    expect(planOffers([fold(0)], [worker('a', 'idle', 'other')], none, new Map())).toEqual([]);
  });
});

describe('an offer is settled', () => {
  const offer = { upTo: 2, members: 1, generation: 3, since: 0 };
  it.each([
    ['when its seats are filled', { members: 2, generation: 4 }, true],
    ['when members were lost', { members: 0, generation: 3 }, true],
    ['not before', { members: 1, generation: 3 }, false],
  ])('%s', (_, { members, generation }, settled) => {
    const job = aJob({
      members: Array.from({ length: members }, (__, i) => ({ worker: `w${i}`, address: null })),
      generation,
    });
    expect(isSettled(job, offer)).toBe(settled);
  });

  it('when the first of its members was lost before the group had opened', () => {
    const queued = aJob({ since: 1 });
    const pending = { upTo: 2, members: 0, generation: queued.generation, since: queued.since };
    expect(isSettled(queued, pending)).toBe(false);
    const forming = takeSeat({ ...queued, seats: 2, minSeats: 2 }, { worker: 'a', address: null }, at(2));
    const again = forming && removeMembers(forming, new Set(['a']), at(3));
    expect(again).toMatchObject({ state: 'queued', generation: queued.generation });
    expect(again && isSettled(again, pending)).toBe(true);
  });
});
