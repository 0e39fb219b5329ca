import { Bell } from '@crossfold/coordinator/leader/bell';
import { Board } from '@crossfold/coordinator/leader/board';
import { JobQueue } from '@crossfold/coordinator/leader/queue';
import type { Line } from '@crossfold/coordinator/leader/turns';
import { inTurn } from '@crossfold/coordinator/leader/turns';
import type { JobRecord } from '@crossfold/shared/jobs/records';
import { jobId } from '@crossfold/shared/jobs/records';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { experimentRecord } from '../support/fake-client.ts';
import { aJob, aResult } from '../support/records.ts';

const train = (trial: number, fold: number, over: Partial<JobRecord> = {}): JobRecord =>
  aJob({ id: jobId(over.experiment ?? 'exp', 'train', trial, 0, fold), trial, fold, until: 4, ...over });
const names = (jobs: readonly JobRecord[]): string[] =>
  jobs.map(({ kind, trial, fold }) => `${kind === 'test' ? 'test ' : ''}${trial}.${fold}`);

describe('the queue of an experiment', () => {
  const queueOf = (...jobs: JobRecord[]): JobQueue => {
    const queue = new JobQueue();
    for (const job of jobs) queue.add(job);
    return queue;
  };

  it('begins in the order of trials and folds, a test before all', () => {
    const queue = queueOf(train(1, 0), train(0, 1), train(0, 0), train(2, 0, { id: 'exp.test.2.0.0', kind: 'test' }));
    expect(names(queue.first(9))).toEqual(['test 2.0', '0.0', '0.1', '1.0']);
    expect(names(queue.first(2))).toEqual(['test 2.0', '0.0']);
    expect(queue.size).toBe(4);
  });

  it('tries what nothing is known of first, then what takes longest', () => {
    const queue = queueOf(train(0, 1), train(0, 2), train(1, 1), train(2, 0), train(3, 1));
    queue.learn(0, 1);
    queue.learn(1, 5);
    queue.learn(3, 2);
    expect(names(queue.first(9))).toEqual(['2.0', '1.1', '3.1', '0.1', '0.2']);
    queue.learn(2, 4);
    expect(names(queue.first(9))).toEqual(['1.1', '2.0', '3.1', '0.1', '0.2']);
  });

  it('reckons with the epochs that are left', () => {
    const queue = queueOf();
    queue.learn(0, 1);
    queue.learn(1, 1);
    queue.add(train(0, 0, { until: 9, result: aResult({ epochs: 6 }) }));
    queue.add(train(1, 0, { until: 4 }));
    expect(names(queue.first(9))).toEqual(['1.0', '0.0']);
  });

  it('passes over jobs that are not to be given out now, and keeps them', () => {
    const queue = queueOf(train(0, 0), train(0, 1), train(0, 2));
    expect(names(queue.first(2, ({ fold }) => fold !== 1))).toEqual(['0.0', '0.2']);
    expect(names(queue.first(2))).toEqual(['0.0', '0.1']);
  });

  it('holds what was added and not removed, each job once, in order', () => {
    const act = fc.oneof(
      fc.record({ kind: fc.constant('add' as const), trial: fc.nat(3), fold: fc.nat(3) }),
      fc.record({ kind: fc.constant('remove' as const), trial: fc.nat(3), fold: fc.nat(3) }),
      fc.record({ kind: fc.constant('learn' as const), trial: fc.nat(3), seconds: fc.integer({ min: 1, max: 9 }) }),
      fc.record({ kind: fc.constant('look' as const), most: fc.nat(5) }),
    );
    fc.assert(
      fc.property(fc.array(act, { maxLength: 60 }), (acts) => {
        const queue = new JobQueue();
        const waiting = new Map<string, JobRecord>();
        const paces = new Map<number, number>();
        for (const one of acts) {
          if (one.kind === 'look') queue.first(one.most);
          else if (one.kind === 'learn') {
            queue.learn(one.trial, one.seconds);
            if (!paces.has(one.trial)) paces.set(one.trial, one.seconds);
          } else {
            const job = train(one.trial, one.fold);
            if (one.kind === 'add') {
              queue.add(job);
              waiting.set(job.id, job);
            } else {
              queue.remove(job);
              waiting.delete(job.id);
            }
          }
        }
        const found = queue.first(100);
        expect(found.map(({ id }) => id).sort()).toEqual([...waiting.keys()].sort());
        const known = found.map(({ trial }) => paces.get(trial) ?? Number.POSITIVE_INFINITY);
        expect(known).toEqual([...known].sort((a, b) => b - a));
      }),
    );
  });
});

describe('whose turn it is', () => {
  const line = (experiment: string, jobs: number, over: Partial<Line> = {}): Line => ({
    experiment,
    priority: 0,
    since: experiment.charCodeAt(0),
    begunAt: 0,
    seats: 0,
    running: 0,
    limit: null,
    fresh: false,
    jobs: Array.from({ length: jobs }, (_, fold) => train(0, fold, { experiment, key: `${experiment} ${fold}` })),
    ...over,
  });
  const turns = (lines: readonly Line[], room = 100): string =>
    inTurn(lines, () => room)
      .map(({ experiment }) => experiment)
      .join('');

  it("is that of the experiment with the fewest seats, of equal ones the first one's", () => {
    expect(turns([line('b', 4), line('a', 4)])).toBe('abababab');
    expect(turns([line('a', 4, { seats: 3 }), line('b', 4)])).toBe('bbbabaaa');
  });

  it('comes round to every experiment, however few workers there are', () => {
    for (const workers of [1, 2, 3]) {
      const board = new Board();
      const all = ['a', 'b', 'c', 'd', 'e'];
      for (const experiment of all) for (let fold = 0; fold < 6; fold++) board.seeJob(train(0, fold, { experiment }));
      let now = 0;
      const order: string[] = [];
      // As many jobs run as there are workers; the one that began first ends, and the next one's turn has come.
      while (order.length < 15) {
        const running = [...board.manned.values()];
        const lines = all.map((experiment) => {
          const own = running.filter((job) => job.experiment === experiment).length;
          const begunAt = board.begunAt.get(experiment) ?? 0;
          return line(experiment, 0, {
            seats: own,
            running: own,
            begunAt,
            jobs: board.queues.get(experiment)?.first(1) ?? [],
          });
        });
        const [next] = inTurn(lines, () => 1);
        if (next === undefined) throw new Error('nobody has a turn');
        const [first] = running;
        if (running.length === workers && first !== undefined)
          board.seeJob({ ...first, state: 'completed', members: [], since: ++now });
        board.seeJob({ ...next, state: 'running', members: [{ worker: 'w', address: null }], since: ++now });
        order.push(next.experiment);
      }
      expect(order.join('')).toBe('abcdeabcdeabcde');
    }
  });

  it('counts the seats that a job takes', () => {
    const wide = line('a', 3);
    const jobs = wide.jobs.map((job) => ({ ...job, minSeats: 2 }));
    expect(turns([{ ...wide, jobs }, line('b', 6)])).toBe('abbabbabb');
  });

  it('comes sooner with a higher priority', () => {
    expect(turns([line('a', 2), line('b', 2, { priority: 5 }), line('c', 2, { priority: -1 })])).toBe('bbaacc');
  });

  it('does not come beyond the limit that an experiment sets itself', () => {
    expect(turns([line('a', 5, { limit: 3, running: 1 }), line('b', 3)])).toBe('ababb');
    expect(turns([line('a', 5, { limit: 2, running: 2 })])).toBe('');
  });

  it('does not come to a job while an equal one has it, unless the experiment wants its own', () => {
    const same = (experiment: string, over: Partial<Line> = {}): Line => {
      const jobs = line(experiment, 3).jobs.map((job) => ({ ...job, key: String(job.fold) }));
      return { ...line(experiment, 3), jobs, ...over };
    };
    expect(turns([same('a'), same('b')])).toBe('aba');
    expect(turns([same('a', { limit: 1 }), same('b')])).toBe('abb');
    expect(turns([same('a'), same('b', { fresh: true })])).toBe('ababab');
  });

  it('ends where there is no room, for each engine by itself', () => {
    expect(turns([line('a', 5), line('b', 5)], 3)).toBe('aba');
    const other = line('b', 5);
    const jobs = other.jobs.map((job) => ({ ...job, identity: 'other' }));
    expect(turns([line('a', 5), { ...other, jobs }], 2)).toBe('abab');
  });
});

describe('the board', () => {
  it('keeps up who has members, who waits, who is not over, and which plans are in use', () => {
    const board = new Board();
    const member = { worker: 'w', address: null };
    board.seeJob(train(0, 0));
    board.seeJob(train(0, 1));
    expect(names(board.queues.get('exp')?.first(9) ?? [])).toEqual(['0.0', '0.1']);
    board.seeJob(train(0, 0, { state: 'running', members: [member] }));
    expect([...board.manned.keys()]).toEqual(['exp.train.0.0.0']);
    expect(names(board.queues.get('exp')?.first(9) ?? [])).toEqual(['0.1']);
    board.seeJob(train(0, 0, { state: 'paused' }));
    expect([board.manned.size, board.queues.get('exp')?.size, board.unfinished.get('exp')?.size]).toEqual([0, 1, 2]);
    board.seeJob(train(0, 0, { state: 'completed' }));
    board.seeJob(train(0, 1, { state: 'pruned' }));
    expect([board.queues.get('exp')?.size, board.unfinished.has('exp'), board.plans.size]).toEqual([0, false, 0]);
  });

  it('says what has changed, once', () => {
    let rung = 0;
    const board = new Board(() => rung++);
    board.seeJob(train(0, 0));
    board.seeJob(train(0, 0, { experiment: 'other' }));
    expect([...board.touched]).toEqual(['exp', 'other']);
    expect([...board.takeChanges('exp')]).toEqual(['exp.train.0.0.0']);
    expect([...board.touched]).toEqual(['other']);
    expect(rung).toBe(2);
  });

  it('finds jobs that come to the same, as soon as one of them has come to it', () => {
    const board = new Board();
    for (const id of ['new', 'old']) board.seeExperiment(experimentRecord(id));
    board.seeJob(train(0, 0, { experiment: 'new', until: 3 }));
    board.seeJob(train(0, 0, { experiment: 'old', state: 'running', members: [{ worker: 'w', address: null }] }));
    const job = board.jobs.get('new.train.0.0.0') as JobRecord;
    board.takeServable();
    expect(board.servedBy(job)).toBeUndefined();
    expect(board.isAtWorkElsewhere(job, () => false)).toBe(true);
    board.seeJob(train(0, 0, { experiment: 'old', state: 'completed', result: aResult({ epochs: 3, final: true }) }));
    expect(board.takeServable()).toEqual(['new.train.0.0.0']);
    expect(board.servedBy(job)?.id).toBe('old.train.0.0.0');
    expect(board.isAtWorkElsewhere(job, () => false)).toBe(false);
    expect(board.servedBy({ ...job, until: 2 })).toBeUndefined();
    board.seeJob(train(1, 0, { experiment: 'new', key: 'e'.repeat(64) }));
    expect(board.takeServable()).toEqual([]);
  });
});

describe('the bell', () => {
  it('wakes who waits, and remembers what happened while nobody did', async () => {
    const bell = new Bell();
    const never = new AbortController();
    bell.ring();
    await bell.rung(1e6, never.signal);
    const waiting = bell.rung(1e6, never.signal);
    bell.ring();
    await waiting;
    const ended = bell.rung(1e6, never.signal);
    never.abort();
    await ended;
  });
});
