import { describe, expect, it } from 'vitest';
import {
  client,
  experiment,
  finish,
  outcome,
  over,
  startLeader,
  startWorkers,
  submit,
  sweep,
  useSweepCluster,
} from '../support/sweep-cluster.ts';

useSweepCluster();

describe('nothing is computed twice', () => {
  it('within a cluster: equal jobs of another experiment have its results, unless it asks for fresh ones', async () => {
    startLeader();
    const taken: string[] = [];
    startWorkers({ count: 2, outcome, onTaken: ({ id }) => taken.push(id) });
    const first = await finish(await submit(experiment({ name: 'first', seed: 5 })));
    expect(taken).toHaveLength(4);
    const second = await submit(experiment({ name: 'second', seed: 5, workersPerJob: 'auto', priority: 3 }));
    const again = await finish(second);
    expect(taken).toHaveLength(4);
    expect(again.jobs.map(({ servedBy }) => servedBy)).toEqual(first.jobs.map(({ id }) => id));
    expect(again.results.trials[0]?.folds).toEqual(first.results.trials[0]?.folds);
    // Another seed, split or net is another job.
    await finish(await submit(experiment({ name: 'third', seed: 6 })));
    expect(taken).toHaveLength(8);
    await finish(await submit(experiment({ name: 'fourth', seed: 5 }), { fresh: true }));
    expect(taken).toHaveLength(12);
  });

  it('while it is being computed, either', async () => {
    startLeader();
    const taken: string[] = [];
    startWorkers({ count: 8, outcome, jobMs: () => 300, onTaken: ({ id }) => taken.push(id) });
    const ids = await Promise.all(['a', 'b'].map((name) => submit(experiment({ name, seed: 77 }))));
    await Promise.all(ids.map(finish));
    expect(taken).toHaveLength(4);
  });

  it('nor what a shorter search has trained, as far as it goes', async () => {
    startLeader();
    let epochs = 0;
    startWorkers({
      count: 2,
      outcome,
      onEnded: ({ result, earlier }) => (epochs += (result?.epochs ?? 0) - (earlier.at(-1)?.epochs ?? 0)),
    });
    const halving = { method: 'halving', minEpochs: 1 };
    await finish(await submit({ ...sweep('halving', halving), seed: 900 }));
    const before = epochs;
    await finish(await submit({ ...sweep('halving', halving), seed: 900, name: 'again' }));
    expect(epochs).toBe(before);
  });

  it('nor what has been trained to its end, by a search that goes there step by step', async () => {
    startLeader();
    startWorkers({ count: 3, outcome });
    await finish(await submit({ ...sweep('grid'), seed: 901 }));
    const { results, jobs } = await finish(await submit({ ...sweep('halving', { minEpochs: 1 }), seed: 901 }));
    expect(results).toMatchObject({ status: 'completed', best: { trial: 2 } });
    const served = jobs.filter(({ servedBy }) => servedBy !== null);
    expect(served.length).toBeGreaterThan(0);
    // What the earlier rungs were decided by stays.
    for (const { earlier } of served) expect(earlier.length).toBeGreaterThan(0);
  });
});

describe('what is left in the end', () => {
  it('is trained once on everything, whoever leads; another trial, or all folds, later on, and the looks are counted', async () => {
    let leader = startLeader();
    const changes: Promise<void>[] = [];
    const taken: string[] = [];
    startWorkers({
      count: 2,
      outcome,
      onTaken: ({ id }) => taken.push(id),
      onEnded: ({ kind, trial }) => {
        if (kind === 'train' && trial < 5) return;
        changes.push(leader.stop());
        leader = startLeader();
      },
    });
    const id = await submit({ ...sweep('grid'), name: 'final', seed: 41, final: 'refit', dataset: { path: 'tested' } });
    const { results, jobs } = await finish(id);
    await Promise.all(changes);
    expect(results).toMatchObject({
      status: 'completed',
      best: { trial: 2 },
      final: { of: 'refit', trial: 2, epochs: 4, history: { loss: { length: 4 } } },
      test: { of: 'refit', trial: 2, looks: 1 },
    });
    expect(results.test).not.toHaveProperty('fold');
    expect(jobs.filter(({ kind }) => kind !== 'train').map((job) => [job.kind, job.of, job.until])).toEqual([
      ['test', 'refit', 0],
      ['refit', undefined, 4],
    ]);

    const before = taken.length;
    await client.refit(id, 'ensemble', 3);
    const together = (await finish(id)).results;
    const members = together.trials[3]?.folds.map((fold) => fold.status === 'completed' && fold.weightsSha256);
    expect(together).toMatchObject({
      final: { of: 'ensemble', trial: 3 },
      test: { of: 'ensemble', trial: 3, looks: 2 },
    });
    expect(together.final?.of === 'ensemble' && together.final.members.map((m) => m.weightsSha256)).toEqual(members);
    expect(taken.slice(before)).toEqual([`${id}.test-ensemble.3.0.0`]);
    await expect(client.refit(id, 'refit', 6)).rejects.toThrow(/--trial is 6: must be one of .*0, 1, 2, 3, 4, 5/);

    // On one cluster the folds are there already.
    const again = await submit({
      ...sweep('grid'),
      name: 'again',
      seed: 41,
      final: 'refit',
      dataset: { path: 'tested' },
    });
    expect((await finish(again)).results.final).toEqual(results.final);
    expect(taken.slice(before)).toHaveLength(1);
  });

  it('fails the experiment where it comes to nothing, and is tried again; folds stay', async () => {
    startLeader();
    let broken = true;
    const taken: string[] = [];
    startWorkers({
      count: 2,
      outcome: (job, epochs) => (broken && job.kind === 'refit' ? 'fails' : outcome(job, epochs)),
      onTaken: ({ id }) => taken.push(id),
    });
    const id = await submit(experiment({ name: 'unfit', seed: 43, final: 'refit' }), { fresh: true });
    await over(id);
    const { record, results } = await client.outcome(id, { models: false });
    expect(record).toMatchObject({
      state: 'failed',
      error: expect.stringMatching(/refit\.0\.0\.0: the loss became NaN/),
    });
    expect(results?.trials[0]?.status).toBe('completed');
    broken = false;
    await client.resume(id);
    expect((await finish(id)).results).toMatchObject({ status: 'completed', final: { of: 'refit' } });
    expect(taken).toHaveLength(6);
  });
});
