import type { JobRecord, Member, ResultRef } from '@crossfold/shared/jobs/records';
import { isFinal, JobRecord as JobRecordSchema } from '@crossfold/shared/jobs/records';
import * as transitions from '@crossfold/shared/jobs/transitions';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { aJob, aResult } from '../support/records.ts';

const stamp = { now: 1000, secret: 's' };
const member = (worker: string): Member => ({ worker, address: null });
const take = (job: JobRecord, worker: string): JobRecord | undefined =>
  transitions.takeSeat(job, member(worker), stamp);

describe('taking seats', () => {
  it('opens the first generation when the only seat is taken', () => {
    const job = take(aJob({ seats: 1 }), 'a');
    expect(job).toMatchObject({ state: 'running', generation: 1, workers: ['a'], startedAt: 1000 });
  });

  it('forms until all seats are taken, and then opens one generation for all', () => {
    const forming = take(aJob({ seats: 2 }), 'a');
    expect(forming).toMatchObject({ state: 'forming', generation: 0 });
    const running = forming && take(forming, 'b');
    expect(running).toMatchObject({ state: 'running', generation: 1, members: [member('a'), member('b')] });
  });

  it('starts with fewer when asked to, and lets the late one join a new generation', () => {
    const forming = take(aJob({ seats: 2 }), 'a');
    const alone = forming && transitions.startWithFewer(forming, stamp);
    expect(alone).toMatchObject({ state: 'running', generation: 1 });
    expect(alone && take(alone, 'b')).toMatchObject({ state: 'running', generation: 2 });
  });

  it('refuses a seat that is not free, taken twice, or of a job that is over', () => {
    const full = take(aJob({ seats: 1 }), 'a');
    expect(full && take(full, 'b')).toBeUndefined();
    const forming = take(aJob({ seats: 2 }), 'a');
    expect(forming && take(forming, 'a')).toBeUndefined();
    expect(take(aJob({ state: 'completed' }), 'a')).toBeUndefined();
  });
});

describe('another number of seats', () => {
  const alone = (over: Partial<JobRecord> = {}): JobRecord =>
    take(aJob({ minSeats: 1, maxSeats: 3, ...over }), 'a') as JobRecord;

  it('lets a running job be joined, in a new generation, and no further than it was widened', () => {
    const wider = transitions.resize(alone(), 2) as JobRecord;
    expect(wider).toMatchObject({ seats: 2, generation: 1, members: [member('a')] });
    const joined = take(wider, 'b') as JobRecord;
    expect(joined).toMatchObject({ generation: 2, state: 'running', members: [member('a'), member('b')] });
    expect(take(joined, 'c')).toBeUndefined();
  });

  it('makes a job that waits in the queue begin with the first, and go on with those that come', () => {
    const queued = transitions.resize(aJob({ minSeats: 1, maxSeats: 3 }), 3) as JobRecord;
    expect(take(queued, 'a')).toMatchObject({ state: 'running', generation: 1 });
  });

  it('has the highest ranks leave, one by one, and nobody else', () => {
    const three = ['b', 'c'].reduce((job, w) => take(job, w) as JobRecord, transitions.resize(alone(), 3) as JobRecord);
    const narrowed = transitions.resize(three, 1) as JobRecord;
    expect(narrowed).toMatchObject({ seats: 1, generation: 3, members: three.members });
    expect([0, 1, 2].map((rank) => transitions.isSurplus(narrowed, rank))).toEqual([false, true, true]);
    expect(transitions.yieldSeat(narrowed, 'a', 3, stamp)).toBeUndefined();
    expect(transitions.yieldSeat(narrowed, 'c', 2, stamp)).toBeUndefined();
    expect(transitions.yieldSeat(three, 'c', 3, stamp)).toBeUndefined();
    const left = transitions.yieldSeat(narrowed, 'c', 3, stamp) as JobRecord;
    expect(left).toMatchObject({ generation: 4, members: [member('a'), member('b')] });
    expect(transitions.yieldSeat(left, 'b', 4, stamp)).toMatchObject({ generation: 5, members: [member('a')] });
  });

  it('stays within the bounds of the job', () => {
    expect(transitions.resize(alone(), 9)).toMatchObject({ seats: 3 });
    expect(transitions.resize(aJob({ seats: 2 }), 1)).toBeUndefined();
    expect(transitions.resize(alone(), 0)).toBeUndefined();
    expect(transitions.resize(aJob({ minSeats: 1, maxSeats: 3, state: 'completed' }), 2)).toBeUndefined();
  });
});

describe('losing members', () => {
  it('gives the survivors a new generation', () => {
    const job = aJob({ state: 'running', seats: 2, generation: 1, members: [member('a'), member('b')] });
    expect(transitions.removeMembers(job, new Set(['a']), stamp)).toMatchObject({
      generation: 2,
      members: [member('b')],
    });
  });

  it('queues a job without survivors, and fails it after many attempts without progress', () => {
    const running = (from: JobRecord): JobRecord => take(from, 'a') as JobRecord;
    let job = aJob({ seats: 1 });
    for (let attempt = 1; attempt < transitions.maxAttempts; attempt++) {
      job = transitions.removeMembers(running(job), new Set(['a']), stamp) as JobRecord;
      expect(job).toMatchObject({ state: 'queued', attempts: attempt });
    }
    expect(transitions.removeMembers(running(job), new Set(['a']), stamp)).toMatchObject({
      state: 'failed',
      error:
        '10 attempts without a new checkpoint; the last one: all its workers were lost (killed, or out of memory?)',
    });
  });

  it('counts anew after progress', () => {
    const first = transitions.removeMembers(take(aJob(), 'a') as JobRecord, new Set(['a']), stamp) as JobRecord;
    const second = transitions.removeMembers(take(first, 'a') as JobRecord, new Set(['a']), stamp) as JobRecord;
    const running = take(second, 'a') as JobRecord;
    const checkpoint = { digest: 'a'.repeat(64), bytes: 1, position: 5 };
    const ahead = transitions.checkpointed(running, 'a', running.generation, checkpoint) as JobRecord;
    expect(transitions.removeMembers(ahead, new Set(['a']), stamp)).toMatchObject({ state: 'queued', attempts: 1 });
  });

  describe('that come back', () => {
    const back = (job: JobRecord, worker: string, generation: number): JobRecord | undefined =>
      transitions.comeBack(job, member(worker), generation, stamp);
    const lose = (job: JobRecord, ...workers: string[]): JobRecord =>
      transitions.removeMembers(job, new Set(workers), stamp) as JobRecord;

    it('go on in a new generation, and it was no attempt, however often', () => {
      const killed = lose(take(aJob(), 'a') as JobRecord, 'a');
      let job = take(killed, 'b') as JobRecord;
      for (let times = 0; times < 2 * transitions.maxAttempts; times++) {
        const lost = lose(job, 'b');
        expect(lost).toMatchObject({ state: 'queued', attempts: 2 });
        job = back(lost, 'b', lost.generation) as JobRecord;
        expect(job).toMatchObject({ state: 'running', generation: lost.generation + 1, attempts: 1 });
      }
    });

    it('are too late where another has taken up the job, or it is over', () => {
      const lost = lose(take(aJob(), 'a') as JobRecord, 'a');
      expect(back(take(lost, 'b') as JobRecord, 'a', 1)).toBeUndefined();
      expect(back(lose(take(lost, 'b') as JobRecord, 'b'), 'a', 1)).toBeUndefined();
      expect(back(transitions.stop(lost, 'cancelled', stamp) as JobRecord, 'a', 1)).toBeUndefined();
      expect(back(take(aJob(), 'a') as JobRecord, 'a', 1)).toBeUndefined();
    });

    it('have not been killed by the job, though another has taken it up: that was no attempt', () => {
      let job = aJob();
      for (let n = 0; n < 2 * transitions.maxAttempts; n++) {
        const lost = lose(take(job, `w${n}`) as JobRecord, `w${n}`);
        const taken = take(lost, `w${n + 1}`) as JobRecord;
        expect(taken).toMatchObject({ state: 'running', attempts: 1 });
        const alive = transitions.wasAlive(taken, lost.generation) as JobRecord;
        expect(alive).toMatchObject({ attempts: 0, members: [member(`w${n + 1}`)] });
        // Its peers have nothing to add, and those of other groups were not lost.
        expect(transitions.wasAlive(alive, lost.generation)).toBeUndefined();
        expect(transitions.wasAlive(taken, taken.generation)).toBeUndefined();
        job = transitions.handBack(alive, `w${n + 1}`, stamp) as JobRecord;
      }
    });

    it('do not make light of an attempt that threw, or of those before a new checkpoint', () => {
      const lost = lose(take(aJob(), 'a') as JobRecord, 'a');
      const again = take(lost, 'b') as JobRecord;
      const checkpoint = { digest: 'a'.repeat(64), bytes: 1, position: 5 };
      const ahead = transitions.checkpointed(again, 'b', again.generation, checkpoint) as JobRecord;
      const threw = transitions.failAttempt(ahead, 'b', ahead.generation, 'boom', stamp) as JobRecord;
      expect(threw).toMatchObject({ attempts: 1, throws: 1 });
      expect(transitions.wasAlive(threw, lost.generation)).toBeUndefined();
    });

    it('form their group again, whose loss was one', () => {
      const two = aJob({ state: 'running', seats: 2, minSeats: 2, generation: 3, members: ['a', 'b'].map(member) });
      const first = back(lose(two, 'a', 'b'), 'b', 3) as JobRecord;
      expect(first).toMatchObject({ state: 'forming', generation: 3, attempts: 0 });
      expect(back(first, 'a', 3)).toMatchObject({ state: 'running', generation: 4, attempts: 0 });
    });
  });

  it('keeps what it says of workers within bounds', () => {
    let job = aJob();
    for (let n = 0; n < 300; n++) {
      job = transitions.takeSeat(job, member(`w${n}`), stamp) as JobRecord;
      job = transitions.handBack(job, `w${n}`, stamp) as JobRecord;
    }
    expect(JobRecordSchema.safeParse(job).success).toBe(true);
    expect(job.workers.at(-1)).toBe('w299');
  });

  it('hands back without counting an attempt', () => {
    const job = take(aJob(), 'a') as JobRecord;
    expect(transitions.handBack(job, 'a', stamp)).toMatchObject({ state: 'queued', attempts: 0, members: [] });
  });
});

describe('attempts that throw', () => {
  const fail = (job: JobRecord, worker: string): JobRecord =>
    transitions.failAttempt(job, worker, job.generation, 'boom', stamp) as JobRecord;

  it('cost the group the member, not the others their work', () => {
    const two = aJob({ state: 'running', seats: 2, generation: 3, members: [member('a'), member('b')] });
    expect(fail(two, 'a')).toMatchObject({
      state: 'running',
      generation: 4,
      members: [member('b')],
      failedOn: ['a'],
      error: 'boom',
      attempts: 0,
    });
  });

  it('fail a job after three of them without progress, with the reason', () => {
    let job = aJob();
    for (const worker of ['a', 'b']) {
      job = fail(take(job, worker) as JobRecord, worker);
      expect(job.state).toBe('queued');
    }
    job = fail(take(job, 'a') as JobRecord, 'a');
    expect(job).toMatchObject({ state: 'failed', error: 'boom', failedOn: ['a', 'b'], throws: 3 });
    expect(transitions.revive(job, stamp, 1)).toMatchObject({ state: 'queued', throws: 0, failedOn: [] });
  });

  it('are not to be confused with workers that are killed', () => {
    let job = aJob();
    for (let n = 0; n < 5; n++)
      job = transitions.removeMembers(take(job, 'a') as JobRecord, new Set(['a']), stamp) as JobRecord;
    expect(fail(take(job, 'a') as JobRecord, 'a')).toMatchObject({ state: 'queued', attempts: 6, throws: 1 });
  });
});

describe('a generation that a member cannot go on in', () => {
  const two = aJob({ state: 'running', seats: 2, generation: 3, members: [member('a'), member('b')] });
  it('is followed by another with the same members', () => {
    expect(transitions.reopen(two, 'b', 3, stamp)).toMatchObject({ generation: 4, members: two.members });
    expect(transitions.reopen(two, 'b', 2, stamp)).toBeUndefined();
    expect(transitions.reopen(two, 'c', 3, stamp)).toBeUndefined();
  });

  it('forgets a damaged checkpoint for all', () => {
    const checkpoint = { digest: 'a'.repeat(64), bytes: 1, position: 5 };
    const job = { ...two, checkpoint, progress: 5, progressAtLoss: 5 };
    const anew = transitions.forgetCheckpoint(job, 'a', 3) as JobRecord;
    expect(anew).toMatchObject({ checkpoint: null, progress: 0 });
    expect(transitions.checkpointed(anew, 'a', 3, { ...checkpoint, position: 1 })).toMatchObject({ progress: 1 });
  });
});

describe('results', () => {
  const result = aResult({ epochs: 3, final: true });
  it('are taken from a member of the open generation, once', () => {
    const job = take(aJob(), 'a') as JobRecord;
    expect(transitions.complete(job, 'b', job.generation, result, stamp)).toBeUndefined();
    expect(transitions.complete(job, 'a', job.generation - 1, result, stamp)).toBeUndefined();
    const done = transitions.complete(job, 'a', job.generation, result, stamp) as JobRecord;
    expect(done).toMatchObject({ state: 'completed', result });
    expect(transitions.complete(done, 'a', job.generation, result, stamp)).toBeUndefined();
  });

  it('are wanted of a job that was cancelled before any was, once it is resumed', () => {
    const job = aJob({ state: 'cancelled', until: 0 });
    expect(transitions.revive(job, stamp, 1, 3)).toMatchObject({ state: 'queued', until: 3 });
    expect(transitions.revive({ ...job, until: 5 }, stamp, 1, 3)).toMatchObject({ until: 5 });
  });

  it('do not come back to life unless the job failed or was cancelled', () => {
    expect(transitions.revive(aJob({ state: 'completed' }), stamp, 1)).toBeUndefined();
    expect(transitions.revive(aJob({ state: 'failed', attempts: 3 }), stamp, 2)).toMatchObject({
      state: 'queued',
      attempts: 0,
      resumes: 2,
    });
  });
});

describe('epochs that are wanted little by little', () => {
  const train = (job: JobRecord, epochs: number, over: Partial<ResultRef> = {}): JobRecord => {
    const running = take(job, 'a') as JobRecord;
    return transitions.complete(running, 'a', running.generation, aResult({ epochs, ...over }), stamp) as JobRecord;
  };

  it('pause a job that has trained for them, with its result, and let it go on when there are more', () => {
    const paused = train(aJob({ until: 1 }), 1);
    expect(paused).toMatchObject({ state: 'paused', members: [], result: { epochs: 1 }, earlier: [] });
    expect(take(paused, 'b')).toBeUndefined();
    const again = transitions.extend(paused, 3, stamp) as JobRecord;
    expect(again).toMatchObject({ state: 'queued', until: 3, result: { epochs: 1 } });
    expect(train(again, 3, { final: true })).toMatchObject({
      state: 'completed',
      result: { epochs: 3 },
      earlier: [{ epochs: 1 }],
    });
  });

  it('bring back a job that was pruned, and leave alone one that is over', () => {
    const paused = train(aJob({ until: 1 }), 1);
    const pruned = transitions.stop(paused, 'pruned', stamp) as JobRecord;
    expect(pruned).toMatchObject({ state: 'pruned', result: { epochs: 1 } });
    expect(transitions.extend(pruned, 1, stamp)).toBeUndefined();
    expect(transitions.extend(pruned, 2, stamp)).toMatchObject({ state: 'queued', until: 2, finishedAt: null });
    for (const state of ['completed', 'failed', 'cancelled'] as const)
      expect(transitions.extend(aJob({ state }), 9, stamp)).toBeUndefined();
  });
});

describe('results of an equal job', () => {
  const earlier = [aResult({ epochs: 1, accuracy: 0.1 })];
  const from = aJob({
    id: 'old.train.0.0.0',
    state: 'completed',
    earlier,
    result: aResult({ epochs: 4, final: true }),
  });
  const serve = (job: JobRecord, source = from): JobRecord | undefined => transitions.serve(job, source, stamp);

  it('are taken over after as many epochs as are wanted, and no more', () => {
    expect(serve(aJob({ until: 4 }))).toMatchObject({
      state: 'completed',
      servedBy: from.id,
      result: { epochs: 4 },
      earlier: [{ epochs: 1 }],
    });
    expect(serve(aJob({ until: 1 }))).toMatchObject({ state: 'paused', result: { epochs: 1 }, earlier: [] });
    expect(serve(aJob({ until: 2 }))).toBeUndefined();
  });

  it('leave a job its own, which a search may have decided by', () => {
    const own = aJob({ until: 4, earlier: [aResult({ epochs: 1, accuracy: 0.2 })], result: aResult({ epochs: 2 }) });
    const served = serve(own, { ...from, earlier: [...earlier, aResult({ epochs: 3 })] });
    expect(served?.earlier).toMatchObject([{ epochs: 1, accuracy: 0.2 }, { epochs: 2 }, { epochs: 3 }]);
    expect(served?.result).toMatchObject({ epochs: 4 });
  });

  it('are taken over after fewer epochs where training ended by itself', () => {
    expect(serve(aJob({ until: 9 }))).toMatchObject({ state: 'completed', result: { epochs: 4 } });
    const paused = { ...from, result: aResult({ epochs: 4, final: false }) };
    expect(serve(aJob({ until: 9 }), paused)).toBeUndefined();
  });

  it('are not taken over of a job with another key, by one that somebody works on, or by itself', () => {
    expect(serve(aJob({ until: 4, key: 'e'.repeat(64) }))).toBeUndefined();
    expect(serve(take(aJob({ until: 4 }), 'a') as JobRecord)).toBeUndefined();
    expect(serve({ ...from, state: 'queued' })).toBeUndefined();
  });
});

describe('whatever happens', () => {
  type Move = (job: JobRecord) => JobRecord | undefined;
  const worker = fc.constantFrom('a', 'b', 'c', 'd');
  const moves: fc.Arbitrary<Move> = fc.oneof(
    worker.map(
      (w): Move =>
        (job) =>
          transitions.takeSeat(job, member(w), stamp),
    ),
    fc.uniqueArray(worker).map(
      (ws): Move =>
        (job) =>
          transitions.removeMembers(job, new Set(ws), stamp),
    ),
    worker.map(
      (w): Move =>
        (job) =>
          transitions.handBack(job, w, stamp),
    ),
    fc.tuple(worker, fc.nat(1)).map(
      ([w, back]): Move =>
        (job) =>
          transitions.comeBack(job, member(w), job.generation - back, stamp),
    ),
    fc.tuple(worker, fc.nat(3)).map(
      ([w, back]): Move =>
        (job) =>
          transitions.failAttempt(job, w, job.generation - back, 'x', stamp),
    ),
    fc.tuple(worker, fc.nat(1)).map(
      ([w, back]): Move =>
        (job) =>
          transitions.reopen(job, w, job.generation - back, stamp),
    ),
    fc.nat(5).map(
      (seats): Move =>
        (job) =>
          transitions.resize(job, seats),
    ),
    worker.map(
      (w): Move =>
        (job) =>
          transitions.yieldSeat(job, w, job.generation, stamp),
    ),
    fc.tuple(worker, fc.nat(4), fc.boolean()).map(
      ([w, epochs, final]): Move =>
        (job) =>
          transitions.complete(job, w, job.generation, aResult({ epochs, final }), stamp),
    ),
    fc.nat(5).map(
      (until): Move =>
        (job) =>
          isFinal(job.state) ? undefined : transitions.extend(job, until, stamp),
    ),
    fc.constant<Move>((job) => transitions.startWithFewer(job, stamp)),
    fc.constant<Move>((job) => transitions.stop(job, 'cancelled', stamp)),
  );

  it('keeps the record valid: members only where a group is, generations never fall, the end is the end', () => {
    fc.assert(
      fc.property(fc.nat(3), fc.nat(3), fc.array(moves, { maxLength: 40 }), (fewer, more, steps) => {
        const [minSeats, maxSeats] = [1 + fewer, 1 + fewer + more];
        let job = aJob({ minSeats, maxSeats });
        for (const step of steps) {
          const next = step(job);
          if (isFinal(job.state)) expect(next).toBeUndefined();
          if (next === undefined) continue;
          expect(JobRecordSchema.safeParse(next).success).toBe(true);
          expect(next.generation).toBeGreaterThanOrEqual(job.generation);
          expect(next.members.length).toBeLessThanOrEqual(Math.max(job.members.length, next.seats));
          expect(next.seats >= minSeats && next.seats <= maxSeats).toBe(true);
          const grouped = next.state === 'running' || next.state === 'forming';
          expect(next.members.length > 0).toBe(grouped);
          const changed = JSON.stringify(next.members) !== JSON.stringify(job.members);
          if (job.state === 'running' && next.state === 'running' && changed)
            expect(next.generation).toBe(job.generation + 1);
          job = next;
        }
      }),
    );
  });
});
