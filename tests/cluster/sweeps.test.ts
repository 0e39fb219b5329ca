import { describe, expect, it } from 'vitest';
import {
  areRunning,
  client,
  experiment,
  finish,
  outcome,
  over,
  rates,
  startLeader,
  startWorkers,
  statesOf,
  submit,
  sweep,
  useSweepCluster,
} from '../support/sweep-cluster.ts';

useSweepCluster();

describe('a sweep', () => {
  it.each(['grid', 'halving', 'racing'])('by %s finds the best, whoever leads when', async (method) => {
    let ended = 0;
    let leader = startLeader();
    const changes: Promise<void>[] = [];
    startWorkers({
      count: 3,
      outcome,
      onEnded: () => {
        // Every few jobs another leader, which knows nothing but the records.
        if (++ended % 7 !== 0) return;
        changes.push(leader.stop());
        leader = startLeader();
      },
    });
    const id = await submit(sweep(method), { fresh: true });
    const { results, jobs } = await finish(id);
    await Promise.all(changes);
    expect(results).toMatchObject({
      status: 'completed',
      best: { trial: 2 },
      search: { method, exhaustiveFoldEpochs: 96 },
    });
    expect(results.trials).toHaveLength(6);
    expect(results.trials[2]).toMatchObject({
      status: 'completed',
      parameters: { 'training.optimizer.learningRate': 0.3 },
    });
    expect(jobs).toHaveLength(24);
    for (const job of jobs) expect(job.generation).toBeLessThanOrEqual(3);
    if (method === 'grid') expect(statesOf(jobs)).toEqual({ completed: 24 });
    else {
      expect(statesOf(jobs).pruned).toBeGreaterThan(8);
      expect(results.search?.foldEpochs).toBeLessThan(60);
      const dropped = results.search?.rounds.flatMap((round) => round.dropped.map(({ trial }) => trial)) ?? [];
      for (const { trial, status } of results.trials)
        expect(status).toBe(dropped.includes(trial) ? 'pruned' : 'completed');
    }
  });

  it('nested: the estimate is of what was found without it', async () => {
    startLeader();
    startWorkers({ count: 3, outcome: ({ trial }) => 0.9 - 0.1 * Math.abs(trial - 1) });
    const nested = { method: 'nested', outer: { method: 'kfold', folds: 3 }, inner: { method: 'kfold', folds: 2 } };
    const id = await submit({
      ...sweep('grid'),
      evaluation: experiment({ evaluation: nested, search: { method: 'grid', parameters: rates } }).evaluation,
    });
    const { results, jobs } = await finish(id);
    expect(results.nested?.outer.map(({ fold, trial }) => [fold, trial])).toEqual([
      [0, 1],
      [1, 1],
      [2, 1],
    ]);
    expect(results.nested?.accuracy?.mean).toBeCloseTo(0.9);
    expect(results.best).toMatchObject({ trial: 1, by: 'accuracy' });
    expect(jobs.filter(({ kind }) => kind === 'train')).toHaveLength(6 * 6 + 3);
  });

  it('nested: leaves a net in the end where outer folds find different trials, and each drops the other’s', async () => {
    startLeader();
    // Outer folds are 0 and 1, those within the first 2 and 3, within the second 4 and 5.
    startWorkers({
      count: 3,
      outcome: ({ trial, fold }, epochs) => {
        const best = fold === 0 || fold === 2 || fold === 3 ? 0 : 5;
        return 0.9 - 0.05 * Math.abs(trial - best) - 0.1 / (epochs + 1);
      },
    });
    const nested = { method: 'nested', outer: { method: 'kfold', folds: 2 }, inner: { method: 'kfold', folds: 2 } };
    const search = { method: 'halving', minEpochs: 1, parameters: rates };
    const { results } = await finish(await submit(experiment({ evaluation: nested, search, final: 'ensemble' })));
    expect(results.nested?.outer.map(({ trial }) => trial)).toEqual([0, 5]);
    expect(results.trials.map(({ status }) => status)).toEqual(Array(6).fill('pruned'));
    expect(results.final).toMatchObject({ of: 'ensemble', trial: results.best?.trial });
  });

  it('is refused where a configuration does not fit the data, with the configuration', async () => {
    startLeader();
    startWorkers({ count: 1, outcome });
    const search = { method: 'grid', parameters: { 'model.layers.1.units': [3, 5] } };
    const id = await submit(experiment({ search }));
    await over(id);
    const { record } = await client.outcome(id, { models: false });
    expect(record).toMatchObject({ state: 'failed', badConfiguration: true });
    expect(record.error).toMatch(/^trial 1 \(model\.layers\.1\.units=5\)/);
  });
});

describe('several experiments at once', () => {
  it('share the workers; one of higher priority goes first; none has more jobs at a time than it sets itself', async () => {
    const ahead = await submit(experiment({ name: 'ahead', seed: 20, priority: 2 }));
    const at: Record<string, number> = {};
    const most: Record<string, number> = {};
    const order: string[] = [];
    const [busy, release] = [new AbortController(), new AbortController()];
    const until = ({ signal }: AbortController): Promise<void> =>
      new Promise((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));
    const [allBusy, released] = [until(busy), until(release)];
    startLeader();
    // The workers have something else to do until all of the others are prepared, in whatever order.
    startWorkers({
      count: 4,
      outcome,
      jobMs: ({ experiment: of }) => (of === ahead ? released.then(() => 40) : 40),
      onTaken: ({ experiment: of }) => {
        at[of] = (at[of] ?? 0) + 1;
        most[of] = Math.max(most[of] ?? 0, at[of]);
        if (of !== ahead) order.push(of);
        else if (at[of] === 4) busy.abort();
      },
      onEnded: ({ experiment: of }) => {
        at[of] = (at[of] ?? 0) - 1;
      },
    });
    await allBusy;
    const [a, b, first, few] = await Promise.all([
      submit(experiment({ name: 'even-a', seed: 21 })),
      submit(experiment({ name: 'even-b', seed: 22 })),
      submit(experiment({ name: 'urgent', seed: 23, priority: 1 })),
      submit(experiment({ name: 'few', seed: 24, maxConcurrentJobs: 1 })),
    ]);
    await areRunning([a, b, first, few]);
    release.abort();
    await Promise.all([ahead, a, b, first, few].map(finish));
    expect(most[few]).toBe(1);
    expect(order).toHaveLength(16);
    const lastOf = (id: string): number => order.lastIndexOf(id);
    // Prepared last it may be; from its first job on, only seats that were out already go to others before its own.
    const urgent = order.flatMap((id, place) => (id === first ? [place] : []));
    expect(urgent).toHaveLength(4);
    expect((urgent[3] ?? 16) - (urgent[0] ?? 0)).toBeLessThanOrEqual(3 + 2);
    expect(Math.abs(lastOf(a) - lastOf(b))).toBeLessThanOrEqual(6);
  });
});
