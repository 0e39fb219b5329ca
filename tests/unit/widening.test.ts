import { Board } from '@crossfold/coordinator/leader/board';
import { planOffers } from '@crossfold/coordinator/leader/offers';
import type { JobPace } from '@crossfold/coordinator/leader/widening';
import { nextSize, Paces, planSeats, previousSize } from '@crossfold/coordinator/leader/widening';
import type { JobRecord, Pace, Presence } from '@crossfold/shared/jobs/records';
import { isFinal } from '@crossfold/shared/jobs/records';
import { isSurplus, resize, stop, takeSeat, yieldSeat } from '@crossfold/shared/jobs/transitions';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { aJob } from '../support/records.ts';

const stamp = { now: 0, secret: 's' };
/** The MNIST net at batch 64 on one core, with an hour to go. */
const mnist: Pace = { slices: 4, sliceMs: 6.5, aloneMs: 0.8, exchangeMs: 0.9, stepsLeft: 100_000 };
const tiny: Pace = { ...mnist, sliceMs: 0.2, aloneMs: 0.3 };

const present = (worker: string, job: string | null = null, over: Partial<Presence> = {}): Presence => ({
  worker,
  identity: 'engine',
  threads: 1,
  engine: '',
  state: job === null ? 'idle' : 'busy',
  job,
  pace: null,
  ...over,
});
const fold = (n: number, over: Partial<JobRecord> = {}): JobRecord =>
  aJob({ id: `exp.train.0.0.${n}`, fold: n, minSeats: 1, maxSeats: 4, ...over });
const running = (n: number, members: readonly string[], over: Partial<JobRecord> = {}): JobRecord =>
  fold(n, {
    state: 'running',
    generation: 1,
    seats: members.length,
    members: members.map((worker) => ({ worker, address: null })),
    ...over,
  });
const known = (pace: Pace, over: Partial<JobPace> = {}): JobPace => ({
  pace,
  silentMs: 0,
  measured: new Map(),
  ...over,
});
const plan = (jobs: readonly JobRecord[], workers: readonly Presence[], pace: Pace | undefined = mnist) =>
  planSeats(jobs, workers, () => pace && known(pace)).map(({ job, seats }) => [Number(job.split('.').at(-1)), seats]);

describe('how many members pay', () => {
  it('is a matter of slices: four of them make two or four members, never three', () => {
    expect(nextSize(mnist, 1, 4)).toBe(2);
    expect(nextSize(mnist, 2, 3)).toBeUndefined();
    expect(nextSize(mnist, 2, 4)).toBe(4);
    expect(nextSize(mnist, 4, 4)).toBeUndefined();
    expect([4, 3, 2].map((from) => previousSize(4, from, 1))).toEqual([2, 2, 1]);
    expect([6, 5, 4, 3].map((from) => previousSize(6, from, 1))).toEqual([3, 3, 3, 2]);
    expect(previousSize(4, 4, 3)).toBe(3);
  });

  it('is nothing where the exchange takes as long as what it saves', () => {
    expect(nextSize(tiny, 1, 4)).toBeUndefined();
    expect(nextSize({ ...mnist, exchangeMs: 60 }, 1, 4)).toBeUndefined();
  });

  it('is nothing more where it has been tried and did not pay', () => {
    const measured = (...ms: [number, number][]) => nextSize(mnist, 1, 4, new Map(ms));
    expect(measured([1, 27], [2, 15])).toBe(2);
    expect(measured([1, 27], [2, 26])).toBeUndefined();
    expect(measured([1, 27], [4, 26])).toBe(2);
  });

  it('is nothing where the job is over before a joiner has made up for the disturbance', () => {
    expect(nextSize({ ...mnist, stepsLeft: 30 }, 1, 4)).toBeUndefined();
    expect(nextSize({ ...mnist, stepsLeft: 200 }, 1, 4)).toBe(2);
  });
});

describe('seats', () => {
  it('are one a job while jobs wait for workers', () => {
    const jobs = [running(0, ['a']), running(1, ['b']), fold(2)];
    expect(plan(jobs, [present('a', jobs[0]?.id), present('b', jobs[1]?.id)])).toEqual([]);
    expect(plan(jobs, [present('a', jobs[0]?.id), present('b', jobs[1]?.id), present('c')])).toEqual([]);
  });

  it('are more for the last job of five when three of four workers idle', () => {
    const last = running(4, ['d']);
    const idle = ['a', 'b', 'c'].map((w) => present(w));
    expect(plan([last], [...idle, present('d', last.id)])).toEqual([[4, 4]]);
    expect(plan([last], [...idle.slice(1), present('d', last.id)])).toEqual([[4, 2]]);
  });

  it('are more from the start for a job that has not begun, where its plan has been measured on another', () => {
    expect(
      plan(
        [fold(4)],
        ['a', 'b', 'c', 'd'].map((w) => present(w)),
      ),
    ).toEqual([[4, 4]]);
    const unmeasured = planSeats(
      [fold(4)],
      ['a', 'b', 'c', 'd'].map((w) => present(w)),
      () => undefined,
    );
    expect(unmeasured).toEqual([]);
  });

  it('go to the job that has longest to go first', () => {
    const jobs = [running(0, ['a']), running(1, ['b'])];
    const workers = [present('a', jobs[0]?.id), present('b', jobs[1]?.id), present('c')];
    const seats = planSeats(jobs, workers, (job) => known({ ...mnist, stepsLeft: job.fold === 1 ? 9000 : 5000 }));
    expect(seats).toEqual([{ job: jobs[1]?.id, seats: 2 }]);
  });

  it('are not given twice to workers that are on their way', () => {
    const jobs = [running(0, ['a'], { seats: 2 }), running(1, ['b'])];
    const workers = [present('a', jobs[0]?.id), present('b', jobs[1]?.id)];
    expect(plan(jobs, [...workers, present('c')])).toEqual([]);
    expect(plan(jobs, [...workers, present('c', jobs[0]?.id)])).toEqual([]);
    expect(plan(jobs, [...workers, present('c', jobs[0]?.id), present('d')])).toEqual([[1, 2]]);
  });

  it('are taken back when new jobs come: first those that nobody sits on, then from the widest', () => {
    const wide = running(0, ['a', 'b', 'c'], { seats: 4 });
    const workers = ['a', 'b', 'c'].map((w) => present(w, wide.id));
    expect(plan([wide, fold(1)], workers)).toEqual([[0, 2]]);
    expect(plan([wide, fold(1), fold(2)], workers)).toEqual([[0, 1]]);
    // One is on its way out already.
    expect(plan([{ ...wide, seats: 2 }, fold(1)], workers)).toEqual([]);
  });

  it('are not taken from a job that is about to end anyway', () => {
    const wide = running(0, ['a', 'b']);
    const workers = ['a', 'b'].map((w) => present(w, wide.id));
    expect(plan([wide, fold(1)], workers, { ...mnist, stepsLeft: 10 })).toEqual([]);
  });

  it('are not taken for a job that gets the worker of one that ends, unless that does not end', () => {
    const [wide, ending] = [running(0, ['a', 'b']), running(1, ['c'])];
    const workers = [present('a', wide.id), present('b', wide.id), present('c', ending.id)];
    const seats = (silentMs: number) =>
      planSeats([wide, ending, fold(2)], workers, (job) =>
        known({ ...mnist, stepsLeft: job.id === ending.id ? 2 : 5000 }, { silentMs }),
      );
    expect(seats(0)).toEqual([]);
    expect(seats(2000)).toEqual([]);
    expect(seats(2100)).toEqual([{ job: wide.id, seats: 1 }]);
  });

  it('are no more than there are cores for, where workers share a machine', () => {
    const last = running(4, ['d']);
    const on = (host: string, cores: number) => ({ machine: { host, cores } });
    const crew = (over: Partial<Presence>) => [
      ...['a', 'b', 'c'].map((w) => present(w, null, over)),
      present('d', last.id, over),
    ];
    expect(plan([last], crew(on('one', 2)))).toEqual([[4, 2]]);
    expect(plan([last], crew(on('one', 4)))).toEqual([[4, 4]]);
    expect(plan([last], crew({ ...on('one', 4), threads: 2 }))).toEqual([[4, 2]]);
    expect(plan([last], crew(on('one', 1)))).toEqual([]);
    // Those of another machine have cores of their own.
    expect(
      plan([last], [...crew(on('one', 1)), ...['e', 'f', 'g'].map((w) => present(w, null, on('two', 4)))]),
    ).toEqual([[4, 4]]);
  });

  it('are taken back where steps have become no shorter for them', () => {
    const wide = running(0, ['a', 'b', 'c', 'd']);
    const workers = ['a', 'b', 'c', 'd'].map((w) => present(w, wide.id));
    const seats = (...measured: [number, number][]) =>
      planSeats([wide], workers, () => known(mnist, { measured: new Map(measured) })).map((change) => change.seats);
    expect(seats([1, 27], [2, 15], [4, 16])).toEqual([2]);
    expect(seats([1, 27], [2, 28], [4, 30])).toEqual([1]);
    expect(seats([1, 27], [2, 15], [4, 14])).toEqual([]);
    expect(seats([4, 40])).toEqual([]);
    // They are not widened again.
    const narrow = running(0, ['a', 'b']);
    const after = [...workers.slice(0, 2), present('c'), present('d')];
    const measured = new Map([
      [1, 27],
      [2, 15],
      [4, 16],
    ]);
    expect(planSeats([narrow], after, () => known(mnist, { measured }))).toEqual([]);
  });

  it('never differ from what the experiment fixes, and are those of workers whose engine computes alike', () => {
    const fixed = running(0, ['a', 'b'], { minSeats: 2, maxSeats: 2 });
    expect(plan([fixed], [present('a', fixed.id), present('b', fixed.id), present('c')])).toEqual([]);
    const auto = running(0, ['a']);
    expect(plan([auto], [present('a', auto.id), present('b', null, { identity: 'other' })])).toEqual([]);
  });
});

describe('paces', () => {
  it('are what rank 0 says, known for all jobs of its plan, and forgotten with them', () => {
    const paces = new Paces();
    const [first, second, other] = [running(0, ['a', 'b']), fold(1), fold(2, { plan: 'd'.repeat(64) })];
    const jobs = (...records: JobRecord[]) => {
      const board = new Board();
      for (const job of records) board.seeJob(job);
      return board;
    };
    const say = (worker: string, stepsLeft: number) => [present(worker, first.id, { pace: { ...mnist, stepsLeft } })];
    paces.note(jobs(first, second, other), say('a', 900), 0);
    paces.note(jobs(first, second, other), say('a', 100), 0);
    paces.note(jobs(first, second, other), say('b', 5), 0);
    const stepsLeft = (job: JobRecord) => paces.of(job, 1000)?.pace.stepsLeft;
    expect([first, second, other].map(stepsLeft)).toEqual([100, 900, undefined]);
    paces.note(jobs(first, second, other), say('a', 100), 700);
    expect([first, second].map((job) => paces.of(job, 1000)?.silentMs)).toEqual([1000, 0]);
    paces.note(jobs(first, second, other), say('a', 99), 800);
    expect(paces.of(first, 1000)?.silentMs).toBe(200);
    paces.note(jobs(stop(first, 'cancelled', stamp) as JobRecord, second, other), [], 0);
    expect([first, second].map(stepsLeft)).toEqual([900, 900]);
    const measured = { members: 2, stepMs: 15 };
    paces.note(jobs(first), [present('a', first.id, { pace: { ...mnist, measured } })], 0);
    paces.note(jobs(first), [present('a', first.id, { pace: { ...mnist, measured: { members: 1, stepMs: 27 } } })], 0);
    // What was said of another group than there is now came late.
    expect(paces.of(first, 0)?.measured).toEqual(new Map([[2, 15]]));
    paces.note(jobs(other), [], 0);
    expect(paces.of(second, 1000)).toBeUndefined();
  });
});

/** Milliseconds from one round to the next. */
const roundMs = 500;

/** Workers and jobs that do as they are told; no job gets anywhere. */
class World {
  readonly jobs = new Map<string, JobRecord>();
  readonly workers = new Map<string, Presence>();
  readonly #paces: readonly Pace[];
  /** Rounds for which a job has had members: it does no step in all that time. */
  readonly #manned = new Map<string, number>();
  #names = 0;

  constructor(paces: readonly Pace[]) {
    this.#paces = paces;
  }

  silentMs = (job: JobRecord): number => roundMs * (this.#manned.get(job.id) ?? 0);
  paceOf = (job: JobRecord): Pace => this.#paces[job.fold % this.#paces.length] ?? mnist;
  open = (): JobRecord[] => [...this.jobs.values()].filter((job) => !isFinal(job.state));
  idle = (): Presence[] => [...this.workers.values()].filter((w) => w.state === 'idle');

  addJob(maxSeats: number, fixed: boolean): void {
    const n = this.jobs.size;
    const job = fold(n, { minSeats: fixed ? maxSeats : 1, maxSeats });
    this.jobs.set(job.id, job);
  }

  addWorker(): void {
    const name = `w${this.#names++}`;
    this.workers.set(name, present(name));
  }

  end(pick: number): void {
    const job = this.open().at(pick % Math.max(1, this.open().length));
    if (job === undefined) return;
    this.jobs.set(job.id, stop(job, 'pruned', stamp) ?? job);
    for (const w of this.workers.values()) if (w.job === job.id) this.workers.set(w.worker, present(w.worker));
  }

  /** One round of the leader, and what workers make of it. Returns whether anything changed. */
  round(): boolean {
    const before = JSON.stringify([[...this.jobs], [...this.workers]]);
    for (const { id, members } of this.open())
      if (members.length > 0) this.#manned.set(id, (this.#manned.get(id) ?? 0) + 1);
    for (const { job: id, seats } of planSeats(this.open(), [...this.workers.values()], (job) =>
      known(this.paceOf(job), { silentMs: this.silentMs(job) }),
    )) {
      const job = this.jobs.get(id);
      const next = job && resize(job, seats);
      expect(next, 'a change that was planned applies').toBeDefined();
      if (next !== undefined) this.jobs.set(id, next);
    }
    // Those who took a seat in the round before are members now, or were sent away.
    for (const w of this.workers.values()) {
      const job = this.jobs.get(w.job ?? '');
      if (job === undefined || job.members.some((m) => m.worker === w.worker)) continue;
      const joined = takeSeat(job, { worker: w.worker, address: null }, stamp);
      if (joined === undefined) this.workers.set(w.worker, present(w.worker));
      else this.jobs.set(job.id, joined);
    }
    for (const job of this.open()) {
      const last = job.members.at(-1);
      if (last === undefined || !isSurplus(job, job.members.length - 1)) continue;
      this.jobs.set(job.id, yieldSeat(job, last.worker, job.generation, stamp) ?? job);
      this.workers.set(last.worker, present(last.worker));
    }
    const coming = [...this.workers.values()].filter(
      (w) => w.job !== null && !this.jobs.get(w.job)?.members.some((m) => m.worker === w.worker),
    );
    const offered = new Map(
      this.open().map((job) => {
        const upTo = job.members.length + coming.filter((w) => w.job === job.id).length;
        const { generation, since, members } = job;
        return [job.id, { upTo, members: members.length, generation, since }] as const;
      }),
    );
    for (const job of planOffers(this.open(), [...this.workers.values()], new Map(), offered)) {
      const [free] = this.idle();
      if (free !== undefined) this.workers.set(free.worker, present(free.worker, job.id));
    }
    return JSON.stringify([[...this.jobs], [...this.workers]]) !== before;
  }

  /** Until nothing has moved for so long that no job is believed to be about to end any more. */
  settle(): void {
    for (let round = 0, quiet = 0; round < 100; round++) {
      quiet = this.round() ? 0 : quiet + 1;
      if (quiet * roundMs > 4000) return;
    }
    expect.fail('seats keep changing though nothing happens');
  }
}

describe('five jobs on four workers', () => {
  it('leave nobody idle for more than a few rounds until the last has ended, in whichever order they end', () => {
    for (let order = 0; order < 120; order++) {
      const world = new World([mnist]);
      for (let n = 0; n < 5; n++) world.addJob(4, false);
      for (let n = 0; n < 4; n++) world.addWorker();
      for (let left = 5, rest = order; left > 0; rest = Math.floor(rest / left), left--) {
        const rounds = [1, 2, 3, 4, 5].find(() => {
          world.round();
          const seated = world.open().reduce((sum, job) => sum + job.members.length, 0);
          return world.idle().length === 0 && seated === 4;
        });
        expect(rounds, `rounds until all are at work again on ${left} jobs`).toBeLessThanOrEqual(3);
        world.end(rest % left);
      }
    }
  });
});

type Event =
  | { readonly kind: 'job'; readonly maxSeats: number; readonly fixed: boolean }
  | { readonly kind: 'worker' }
  | { readonly kind: 'end'; readonly pick: number }
  | { readonly kind: 'rounds'; readonly rounds: number };

describe('in any cluster', () => {
  const event: fc.Arbitrary<Event> = fc.oneof(
    fc.record({ kind: fc.constant('job' as const), maxSeats: fc.integer({ min: 1, max: 6 }), fixed: fc.boolean() }),
    fc.record({ kind: fc.constant('worker' as const) }),
    fc.record({ kind: fc.constant('end' as const), pick: fc.nat() }),
    fc.record({ kind: fc.constant('rounds' as const), rounds: fc.integer({ min: 0, max: 3 }) }),
  );
  const paces: fc.Arbitrary<Pace[]> = fc.array(
    fc.record({
      slices: fc.integer({ min: 1, max: 6 }),
      sliceMs: fc.constantFrom(0.1, 5, 500),
      aloneMs: fc.constantFrom(0, 1),
      exchangeMs: fc.constantFrom(0.5, 20),
      stepsLeft: fc.constantFrom(1, 500, 100_000),
    }),
    { minLength: 1, maxLength: 4 },
  );

  /** Two jobs of one step are believed to end any moment, and do not: the third lacked a worker that the wide one had. */
  const twoThatShouldHaveEnded: [Pace[], Event[]] = [
    [
      { slices: 1, sliceMs: 0.1, aloneMs: 0, exchangeMs: 0.5, stepsLeft: 1 },
      { slices: 2, sliceMs: 500, aloneMs: 0, exchangeMs: 0.5, stepsLeft: 1 },
    ],
    [
      { kind: 'worker' },
      { kind: 'job', maxSeats: 1, fixed: false },
      { kind: 'worker' },
      { kind: 'job', maxSeats: 2, fixed: false },
      { kind: 'worker' },
      { kind: 'rounds', rounds: 1 },
      { kind: 'job', maxSeats: 1, fixed: false },
      { kind: 'job', maxSeats: 2, fixed: true },
      { kind: 'worker' },
      { kind: 'worker' },
    ],
  ];

  it('folds come first, no worker idles that could be of use, and nothing moves once nothing happens', () => {
    fc.assert(
      fc.property(paces, fc.array(event, { minLength: 3, maxLength: 30 }), (speeds, events) => {
        const world = new World(speeds);
        for (const e of events) {
          if (e.kind === 'job') world.addJob(e.maxSeats, e.fixed);
          else if (e.kind === 'worker') world.addWorker();
          else if (e.kind === 'end') world.end(e.pick);
          else for (let round = 0; round < e.rounds; round++) world.round();
        }
        world.settle();
        const open = world.open();
        const idle = world.idle().length;
        const lacking = open.filter((job) => job.members.length < job.minSeats);
        if (lacking.length > 0) {
          expect(idle).toBe(0);
          // Those that should have ended have not.
          expect(open.filter((job) => job.members.length > job.minSeats)).toEqual([]);
        }
        for (const job of open)
          expect(nextSize(world.paceOf(job), job.seats, Math.min(job.maxSeats, job.seats + idle))).toBeUndefined();
      }),
      { numRuns: 1000, examples: [twoThatShouldHaveEnded] },
    );
  });
});
