import { describe, expect, it } from 'vitest';
import {
  client,
  experiment,
  finish,
  outcome,
  over,
  patience,
  running,
  startLeader,
  startWorkers,
  statesOf,
  submit,
  sweep,
  useSweepCluster,
} from '../support/sweep-cluster.ts';

useSweepCluster();

describe('cancelling and resuming', () => {
  it('a trial, while the others go on', async () => {
    startLeader();
    const id = await submit(sweep('grid'), { fresh: true });
    let cancelled: Promise<unknown> | undefined;
    startWorkers({
      count: 2,
      outcome,
      // It is cancelled with the first job, and must not have its turn before that is on record.
      jobMs: ({ trial }) => (trial < 2 ? 300 : 30),
      onTaken: () => {
        cancelled ??= client.cancel(id, { trial: 2 });
      },
    });
    const { results, jobs } = await finish(id);
    await cancelled;
    expect(results).toMatchObject({ status: 'completed' });
    expect(results.best?.trial).not.toBe(2);
    expect(
      jobs.filter(({ trial, kind }) => trial === 2 && kind === 'train').every(({ state }) => state === 'cancelled'),
    ).toBe(true);

    expect((await client.resume(id, { trial: 2 })).state).toBe('running');
    const after = await finish(id);
    expect(after.results).toMatchObject({ status: 'completed', best: { trial: 2 } });
    expect(statesOf(after.jobs)).toEqual({ completed: 24 });
  });

  it('all of it; what was computed stays', async () => {
    startLeader();
    const id = await submit(experiment({ name: 'whole', seed: 11 }), { fresh: true });
    const ended: string[] = [];
    let cancelled: Promise<unknown> | undefined;
    startWorkers({
      count: 1,
      outcome,
      jobMs: ({ fold }) => (fold === 2 ? 10_000 : 0),
      onTaken: ({ fold }) => {
        if (fold === 2) cancelled ??= client.cancel(id);
      },
      onEnded: (job) => ended.push(job.id),
    });
    await over(id);
    await cancelled;
    for (
      const end = Date.now() + patience;
      (await client.jobs(id)).some(({ state }) => state === 'queued' || state === 'running');
    )
      if (Date.now() > end) throw new Error('jobs of a cancelled experiment go on');
    expect(statesOf(await client.jobs(id))).toEqual({ completed: 2, cancelled: 2 });
    for (const one of running.splice(1)) await one.stop();
    startWorkers({ count: 2, outcome, onEnded: (job) => ended.push(job.id) });
    await client.resume(id);
    const { jobs, results } = await finish(id);
    expect(results.status).toBe('completed');
    expect(statesOf(jobs)).toEqual({ completed: 4 });
    expect(ended.filter((job) => job.endsWith('.0')).length).toBe(1);
    expect((await client.resume(id)).state).toBe('completed');
  });

  it('after a failure: only what failed is tried again', async () => {
    startLeader();
    const id = await submit(experiment({ name: 'failing', seed: 13 }), { fresh: true });
    let broken = true;
    const taken: string[] = [];
    startWorkers({
      count: 2,
      outcome: (job, epochs) => (broken && job.fold === 3 ? 'fails' : outcome(job, epochs)),
      onTaken: ({ id: job }) => taken.push(job),
    });
    await over(id);
    const { record, results } = await client.outcome(id, { models: false });
    expect(record).toMatchObject({ state: 'failed', error: expect.stringMatching(/NaN/) });
    expect(results?.trials[0]?.folds.map(({ status }) => status)).toEqual([
      'completed',
      'completed',
      'completed',
      'failed',
    ]);
    broken = false;
    await client.resume(id);
    expect((await finish(id)).results.status).toBe('completed');
    expect(taken.filter((job) => job.endsWith('.3'))).toHaveLength(2);
    expect(taken).toHaveLength(5);
  });

  it('of what there is not', async () => {
    startLeader();
    startWorkers({ count: 1, outcome });
    const id = await submit(experiment({ name: 'small', seed: 17 }));
    await finish(id);
    await expect(client.cancel(id, { trial: 1 })).rejects.toThrow('--trial is 1: must be from 0 to 0');
    await expect(client.resume(id, { fold: 4 })).rejects.toThrow('--fold is 4: must be from 0 to 3');
    await expect(client.resume('nothing')).rejects.toThrow(/there is no experiment "nothing"/);
  });
});
