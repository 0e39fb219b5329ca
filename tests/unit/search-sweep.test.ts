import { standingOf } from '@crossfold/coordinator/metrics/standing';
import type { SeriesPlan } from '@crossfold/coordinator/search/sweep';
import { SearchSpec } from '@crossfold/shared/config/search';
import type { PlannedFold } from '@crossfold/shared/jobs/plan';
import type { JobRecord } from '@crossfold/shared/jobs/records';
import { keyedRandom } from '@crossfold/shared/rng';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Outcome } from '../support/sweep-world.ts';
import { aPlan, SweepWorld } from '../support/sweep-world.ts';

const parameters = { seed: [1] };
const search = (method: string, over: object = {}): SearchSpec => SearchSpec.parse({ method, parameters, ...over });
const halving = search('halving', { factor: 2, minEpochs: 1 });
const racing = search('racing');

/** Trial 0 is the best, each next one worse by `gap`; folds differ; the curve rises; a little noise. */
const ranked =
  (gap: number, noise = 0): Outcome =>
  (trial, { fold, repeat }, epochs) =>
    0.9 - gap * trial + 0.01 * fold - 0.2 / epochs + noise * keyedRandom('noise', trial, fold, repeat, epochs).normal();

const statesOf = (world: SweepWorld): Record<string, number> => {
  const counts: Record<string, number> = {};
  for (const { state } of world.jobs.values()) counts[state] = (counts[state] ?? 0) + 1;
  return counts;
};
const jobsOf = (world: SweepWorld, trial: number): JobRecord[] =>
  [...world.jobs.values()].filter((job) => job.trial === trial).sort((a, b) => a.fold - b.fold);
const winnersOf = (plans: readonly SeriesPlan[]): unknown[] => plans.map(({ winner }) => winner);

describe('without a search, or with one that stops nobody', () => {
  it.each([null, search('grid'), search('random', { trials: 1 })])('%j trains everything once', (method) => {
    const world = new SweepWorld(aPlan(method, 4, 3, 5), ranked(0.01));
    expect(winnersOf(world.run())).toEqual([0]);
    expect(statesOf(world)).toEqual({ completed: 20 });
    expect(world.trained).toBe(4 * 3 * 5);
  });
});

describe('halving', () => {
  it('trains each rung on all folds, the last few to the end, and keeps what the others came to', () => {
    const world = new SweepWorld(aPlan(halving, 8, 8, 3), ranked(0.01));
    const [plan] = world.run();
    expect(plan?.winner).toBe(0);
    expect(plan?.rounds.map(({ epochs, scores, dropped }) => [epochs, scores.length, dropped.length])).toEqual([
      [1, 8, 4],
      [2, 4, 2],
      [4, 2, 1],
      [8, 1, 0],
    ]);
    expect(world.trained).toBe(3 * (8 + 4 + 2 * 2 + 4));
    expect(statesOf(world)).toEqual({ completed: 3, pruned: 21 });
    expect(
      jobsOf(world, 1).map(({ result, earlier }) => [result?.epochs, earlier.map(({ epochs }) => epochs)]),
    ).toEqual([0, 1, 2].map(() => [4, [1, 2]]));
    expect(jobsOf(world, 0)[0]).toMatchObject({ state: 'completed', until: 8, result: { epochs: 8, final: true } });
    expect(plan?.rounds[0]?.dropped[0]).toEqual({
      trial: 4,
      reason: 'behind',
      versus: 0,
      behind: expect.closeTo(0.04, 9),
    });
  });

  it('computes nothing twice: what goes on goes on from where it was', () => {
    const world = new SweepWorld(aPlan(halving, 8, 8, 3), ranked(0.01));
    world.run();
    const reached = [...world.jobs.values()].reduce((sum, { result }) => sum + (result?.epochs ?? 0), 0);
    expect(world.trained).toBe(reached);
  });

  it('drops a trial that fails, with whatever else it had', () => {
    const world = new SweepWorld(aPlan(halving, 4, 4, 2), (trial, fold, epochs) =>
      trial === 0 && fold.fold === 1 ? 'fails' : ranked(0.01)(trial, fold, epochs),
    );
    const [plan] = world.run();
    expect(plan?.winner).toBe(1);
    expect(plan?.rounds[0]?.dropped).toContainEqual({ trial: 0, reason: 'lost' });
    expect(jobsOf(world, 0).map(({ state }) => state)).toEqual(['pruned', 'failed']);
  });

  it('ends where all fail', () => {
    const world = new SweepWorld(aPlan(halving, 4, 4, 2), () => 'fails');
    expect(winnersOf(world.run())).toEqual([undefined]);
    expect(statesOf(world)).toEqual({ failed: 8 });
  });

  it('takes a score from training that ended by itself for all that follows', () => {
    const world = new SweepWorld(aPlan(halving, 2, 8, 1), ranked(0.01));
    world.lead();
    for (const job of world.queued) world.work(job);
    const [first] = world.lead();
    expect(first?.open.map(({ trial, epochs }) => [trial, epochs])).toEqual([[0, 8]]);
    const [job] = jobsOf(world, 0);
    if (job?.result == null) throw new Error('no result');
    const stopped = { ...job.result, epochs: 6, final: true };
    world.jobs.set(job.id, { ...job, state: 'completed', earlier: [job.result], result: stopped });
    const [after] = world.lead();
    expect(after).toMatchObject({ over: true, winner: 0, moves: [] });
  });
});

describe('racing', () => {
  it('stops those that are behind on the same folds, and trains the others on more', () => {
    const world = new SweepWorld(aPlan(racing, 6, 2, 5), ranked(0.02, 0.002));
    const [plan] = world.run();
    expect(plan?.winner).toBe(0);
    expect(plan?.rounds[0]).toMatchObject({ folds: 2, scores: { length: 6 } });
    for (const { pValue, versus, behind } of plan?.rounds[0]?.dropped ?? []) {
      expect(pValue).toBeLessThan(0.05);
      expect(versus).toBe(0);
      expect(behind).toBeGreaterThan(0);
    }
    expect(jobsOf(world, 0).map(({ state }) => state)).toEqual(new Array(5).fill('completed'));
    // What was trained stays; what was not is on record as not having been.
    expect(jobsOf(world, 5).map(({ state }) => state)).toEqual([
      'completed',
      'completed',
      'pruned',
      'pruned',
      'pruned',
    ]);
    expect(world.trained).toBeLessThan(6 * 2 * 5 * 0.6);
  });

  it('stops nobody where all are alike', () => {
    const world = new SweepWorld(aPlan(racing, 5, 1, 5), () => 0.9);
    expect(winnersOf(world.run())).toEqual([0]);
    expect(statesOf(world)).toEqual({ completed: 25 });
  });

  it('takes a lead that is the same on every fold for no more than its signs tell', () => {
    const world = new SweepWorld(aPlan(racing, 2, 1, 10), ranked(0.02));
    const [plan] = world.run();
    // Six signs: 2 / 64 is below 0.05, 2 / 32 is not.
    expect(plan?.rounds.map(({ folds, dropped }) => [folds, dropped.map(({ pValue }) => pValue)])).toEqual([
      ...[2, 3, 4, 5].map((folds) => [folds, []]),
      [6, [1 / 32]],
      [10, []],
    ]);
  });

  it('takes repeats of one and the same split for no more evidence than one', () => {
    const splits = 3;
    const folds = (shared: boolean) =>
      Array.from({ length: splits * 4 }, (_, i) => ({
        fold: i % splits,
        repeat: Math.floor(i / splits),
        digest: String(shared ? i % splits : i).padStart(64, '0'),
      }));
    const lead = (trial: number, { fold }: PlannedFold): number => 0.9 - trial * 0.02 * (1 + fold);
    const [shared] = new SweepWorld(aPlan(racing, 2, 1, folds(true)), lead).run();
    expect(shared?.rounds.flatMap(({ dropped }) => dropped)).toEqual([]);
    const [resplit] = new SweepWorld(aPlan(racing, 2, 1, folds(false)), lead).run();
    expect(resplit?.rounds.flatMap(({ dropped }) => dropped)).toMatchObject([{ trial: 1 }]);
  });

  it('decides seldom where there are many folds, and on all of them in the end', () => {
    const world = new SweepWorld(aPlan(racing, 2, 1, 200), () => 0.9);
    const [plan] = world.run(() => 0, 1000);
    const counted = plan?.rounds.map(({ folds }) => folds) ?? [];
    expect(counted.slice(0, 9)).toEqual([2, 3, 4, 5, 6, 7, 8, 9, 10]);
    expect(counted.at(-1)).toBe(200);
    expect(counted.length).toBeLessThan(45);
    expect(world.trained).toBe(400);
  });

  it('is a plain comparison on a single fold', () => {
    const world = new SweepWorld(aPlan(racing, 3, 1, 1), ranked(0.01));
    expect(winnersOf(world.run())).toEqual([0]);
    expect(statesOf(world)).toEqual({ completed: 3 });
  });

  it('drops a trial that fails on a fold', () => {
    const world = new SweepWorld(aPlan(search('racing', { minFolds: 3 }), 3, 1, 4), (trial, fold, epochs) =>
      trial === 0 && fold.fold === 1 ? 'fails' : ranked(0.001, 0.001)(trial, fold, epochs),
    );
    const [plan] = world.run();
    expect(plan?.winner).not.toBe(0);
    expect(jobsOf(world, 0).map(({ state }) => state)).toEqual(['completed', 'failed', 'completed', 'pruned']);
  });
});

describe('how much of a sweep is done', () => {
  it.each([
    ['grid', search('grid')],
    ['halving', halving],
    ['racing', racing],
  ])('%s: the share never falls, is that of the epochs, and all in the end', (_, method) => {
    const world = new SweepWorld(aPlan(method, 8, 8, 5), ranked(0.02, 0.002));
    let plans = world.lead();
    const total = (): number => plans.reduce((sum, { foldEpochs }) => sum + foldEpochs, 0);
    const first = total();
    const done: number[] = [];
    for (let job = world.queued[0]; job !== undefined; job = world.queued[0]) {
      const work = { foldEpochs: total(), atMost: true };
      const record = { ...world.record, work, startedAt: 0, finishedAt: null };
      const standing = standingOf(record, [...world.jobs.values()], new Map(), 1000);
      expect(standing.progress).toBeCloseTo(world.trained / total(), 12);
      expect(standing.atMost).toBe(true);
      done.push(standing.progress);
      world.work(job);
      plans = world.lead();
    }
    expect(plans.every(({ over }) => over)).toBe(true);
    expect(done).toEqual(done.toSorted((a, b) => a - b));
    expect(total()).toBe(world.trained);
    // All there is to do is known beforehand, but for racing.
    if (method.method === 'racing') expect(first).toBeGreaterThan(world.trained);
    else expect(first).toBe(world.trained);
  });
});

describe('nested', () => {
  const outer = [0, 1, 2];
  const folds = [
    ...outer.map((fold) => ({ fold })),
    ...outer.flatMap((within) => [0, 1].map((i) => ({ fold: 3 + 2 * within + i, within }))),
  ];
  /** In outer fold 2 the second trial is the better one. */
  const outcome: Outcome = (trial, { within }, epochs) =>
    ranked(within === 2 ? -0.01 : 0.01)(trial, { fold: 0 } as never, epochs);

  it.each([search('grid'), halving, racing])(
    '$method: what is found within a fold is scored on that fold, and nothing else is',
    (method) => {
      const world = new SweepWorld(aPlan(method, 3, 4, folds), outcome);
      expect(winnersOf(world.run())).toEqual([0, 0, 2]);
      const onOuter = [...world.jobs.values()].filter(({ fold }) => fold < 3);
      expect(onOuter.map(({ trial, fold, state }) => [trial, fold, state])).toEqual([
        [0, 0, 'completed'],
        [0, 1, 'completed'],
        [2, 2, 'completed'],
      ]);
    },
  );

  it('asks for an outer fold only once its search is over', () => {
    const world = new SweepWorld(aPlan(search('grid'), 3, 4, folds), outcome);
    world.lead();
    expect(world.queued.every(({ fold }) => fold >= 3)).toBe(true);
    for (const job of world.queued.filter(({ fold }) => fold === 3 || fold === 4)) world.work(job);
    world.lead();
    expect(world.queued.filter(({ fold }) => fold < 3).map(({ trial, fold }) => [trial, fold])).toEqual([[0, 0]]);
  });
});

describe('whatever the order in which jobs end, and however often a leader starts over', () => {
  const methods = [
    search('grid'),
    halving,
    search('halving', { factor: 3 }),
    racing,
    search('racing', { minFolds: 3 }),
  ];
  it.each(methods)('$method comes to the same, by the same decisions, at the same cost', (method) => {
    const plan = aPlan(method, 7, 6, 4);
    const reference = new SweepWorld(plan, ranked(0.004, 0.003));
    const expected = reference.run().map(({ winner, rounds }) => ({ winner, rounds }));
    fc.assert(
      fc.property(
        fc.array(fc.nat(), { minLength: 1, maxLength: 60 }),
        fc.integer({ min: 1, max: 9 }),
        (picks, every) => {
          const world = new SweepWorld(plan, ranked(0.004, 0.003));
          let i = 0;
          const plans = world.run(() => picks[i++ % picks.length] ?? 0, every);
          expect(plans.map(({ winner, rounds }) => ({ winner, rounds }))).toEqual(expected);
          expect(world.trained).toBe(reference.trained);
          expect(world.lead().flatMap(({ moves }) => moves)).toEqual([]);
        },
      ),
      { numRuns: 40 },
    );
  });
});

describe('cancelling', () => {
  it('a trial stops its jobs, and leaves the others to themselves', () => {
    const world = new SweepWorld(aPlan(search('grid'), 3, 2, 3), ranked(0.01));
    world.lead();
    world.work(world.queued[0] as JobRecord);
    world.cancel({ trial: 0 });
    expect(winnersOf(world.run())).toEqual([1]);
    expect(jobsOf(world, 0).map(({ state }) => state)).toEqual(['completed', 'cancelled', 'cancelled']);
    expect(statesOf(world)).toEqual({ completed: 7, cancelled: 2 });
  });

  it('a fold takes it out of the comparison', () => {
    const world = new SweepWorld(aPlan(halving, 4, 4, 3), ranked(0.01));
    world.lead();
    world.cancel({ fold: 1 });
    const [plan] = world.run();
    expect(plan?.winner).toBe(0);
    expect(plan?.rounds.every((round) => round.folds === 2)).toBe(true);
    expect([...world.jobs.values()].filter(({ fold }) => fold === 1).map(({ state }) => state)).toEqual(
      new Array(4).fill('cancelled'),
    );
  });

  it('one fold of one trial: it cannot be compared any more', () => {
    const world = new SweepWorld(aPlan(halving, 4, 4, 3), ranked(0.01));
    world.cancel({ trial: 0, fold: 2 });
    const [plan] = world.run();
    expect(plan?.winner).toBe(1);
    expect(jobsOf(world, 0).map(({ state }) => state)).toEqual(['pruned', 'pruned', 'cancelled']);
  });

  it('before anything was made leaves it on record', () => {
    const world = new SweepWorld(aPlan(racing, 3, 1, 4), ranked(0.02, 0.001));
    world.cancel({ trial: 2 });
    world.run();
    expect(jobsOf(world, 2).map(({ state }) => state)).toEqual(new Array(4).fill('cancelled'));
  });
});

describe('resuming', () => {
  it('tries again what failed and what was cancelled, and nothing else', () => {
    let broken = true;
    const world = new SweepWorld(aPlan(search('grid'), 3, 2, 3), (trial, fold, epochs) =>
      broken && trial === 1 ? 'fails' : ranked(0.01)(trial, fold, epochs),
    );
    world.cancel({ trial: 2 });
    world.run();
    expect(statesOf(world)).toEqual({ completed: 3, failed: 3, cancelled: 3 });
    const before = world.trained;
    broken = false;
    world.resume();
    world.run();
    expect(statesOf(world)).toEqual({ completed: 9 });
    expect(world.trained - before).toBe(6 * 2);
  });

  it('does not try for ever: what fails again stays failed', () => {
    const world = new SweepWorld(aPlan(search('grid'), 2, 2, 2), (trial, fold, epochs) =>
      trial === 1 ? 'fails' : ranked(0.01)(trial, fold, epochs),
    );
    world.run();
    world.resume();
    world.run();
    expect(jobsOf(world, 1).map(({ state, resumes }) => [state, resumes])).toEqual([
      ['failed', 1],
      ['failed', 1],
    ]);
  });

  it('decides anew on what a search had decided without the failed one', () => {
    let broken = true;
    const world = new SweepWorld(aPlan(halving, 4, 4, 2), (trial, fold, epochs) =>
      broken && trial === 0 ? 'fails' : ranked(0.01)(trial, fold, epochs),
    );
    expect(winnersOf(world.run())).toEqual([1]);
    broken = false;
    world.resume();
    expect(winnersOf(world.run())).toEqual([0]);
    const whole = new SweepWorld(aPlan(halving, 4, 4, 2), ranked(0.01));
    whole.run();
    for (const [id, job] of world.jobs) {
      if (job.trial === 0) expect(job).toMatchObject({ state: 'completed', result: whole.jobs.get(id)?.result });
    }
  });
});
