import { copyFile, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connectClient } from '@crossfold/coordinator/client/client';
import type { ExperimentClient, SubmitOptions } from '@crossfold/coordinator/client/types';
import { lead } from '@crossfold/coordinator/leader/leader';
import { defaultSweeps } from '@crossfold/coordinator/leader/sweep-timing';
import type { Broker } from '@crossfold/shared/broker/broker';
import { openBroker } from '@crossfold/shared/broker/broker';
import { Roster } from '@crossfold/shared/broker/presence';
import { Experiment } from '@crossfold/shared/config/experiment';
import type { ExperimentRecord, PublicJob } from '@crossfold/shared/jobs/records';
import { createLogger } from '@crossfold/shared/logger';
import { quotasOf } from '@crossfold/shared/quotas';
import type { Results } from '@crossfold/shared/results';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { z } from 'zod';
import type { FakeWorkerOptions } from '../../bench/support/fake-workers.ts';
import { startFakeWorkers } from '../../bench/support/fake-workers.ts';
import type { TestBroker } from '../support/broker.ts';
import { startBroker } from '../support/broker.ts';
import { idxBytes } from '../support/idx.ts';
import { unsettledJobs } from '../support/record-check.ts';

/**
 * The real leader, broker, records, plans and results; only workers compute nothing. Leaders are stopped and replaced on
 * the way.
 */
const logger = createLogger({ service: 'test', env: { CROSSFOLD_LOG_LEVEL: 'silent' } });
const patience = 60_000;
let server: TestBroker;
let broker: Broker;
let client: ExperimentClient;
let folder: string;
beforeAll(async () => {
  server = await startBroker();
  broker = await openBroker(server.url, 'test');
  client = await connectClient(server.url);
  folder = await mkdtemp(join(tmpdir(), 'crossfold-sweep-'));
  const labels = Array.from({ length: 60 }, (_, i) => i % 3);
  const pixels = Uint8Array.from({ length: 60 * 16 }, (_, i) => i % 251);
  await writeFile(join(folder, 'train-images-idx3-ubyte'), idxBytes([60, 4, 4], pixels));
  await writeFile(join(folder, 'train-labels-idx1-ubyte'), idxBytes([60], Uint8Array.from(labels)));
  // The same with a test set.
  await mkdir(join(folder, 'tested'));
  for (const [part, file] of [
    ['train-images', 'train-images'],
    ['train-labels', 'train-labels'],
    ['t10k-images', 'train-images'],
    ['t10k-labels', 'train-labels'],
  ] as const) {
    const kind = part.endsWith('images') ? 'idx3' : 'idx1';
    await copyFile(join(folder, `${file}-${kind}-ubyte`), join(folder, 'tested', `${part}-${kind}-ubyte`));
  }
});
afterAll(async () => {
  const unsettled = await unsettledJobs(server.url);
  await client.close();
  await broker.close();
  await server.stop();
  await rm(folder, { recursive: true, force: true });
  expect(unsettled).toEqual([]);
});

let running: { stop(): Promise<void> }[] = [];
beforeEach(() => {
  running = [];
});
afterEach(async () => {
  for (const one of running.toReversed()) await one.stop();
});

function startLeader(): { stop(): Promise<void> } {
  const over = new AbortController();
  const now = (): number => performance.timeOrigin + performance.now();
  const quotas = quotasOf({}, undefined);
  const observer = { lead: () => undefined, lost: () => undefined, waits: () => undefined };
  const roster = new Roster(broker.nats, over.signal, now);
  const leading = lead(
    { broker, roster, logger, now, leads: () => !over.signal.aborted, observer, quotas, sweeps: defaultSweeps },
    over.signal,
  );
  const leader = {
    async stop() {
      over.abort();
      await leading;
    },
  };
  running.push(leader);
  return leader;
}

function startWorkers(options: Omit<FakeWorkerOptions, 'broker'>): { stop(): Promise<void> } {
  const workers = startFakeWorkers({ broker, ...options });
  running.push(workers);
  return workers;
}

const experiment = (over: object = {}): Experiment => {
  const input: z.input<typeof Experiment> = {
    name: 'sweep',
    dataset: { path: '.' },
    evaluation: { method: 'kfold', folds: 4 },
    model: { layers: [{ type: 'flatten' }, { type: 'dense', units: 3, activation: 'softmax' }] },
    training: { epochs: 4, optimizer: { name: 'sgd', learningRate: 0.1 } },
    workersPerJob: 1,
    ...over,
  };
  return Experiment.parse(input);
};
const rates = { 'training.optimizer.learningRate': [0.1, 0.2, 0.3, 0.4, 0.5, 0.6] };
const sweep = (method: string, over: object = {}): Experiment =>
  experiment({ search: { method, parameters: rates, ...over } });

/** Trial 2 is the best; the further from it the worse; folds differ, and later epochs are better. */
const outcome = ({ trial, fold }: PublicJob, epochs: number): number =>
  0.9 - 0.02 * Math.abs(trial - 2) + 0.003 * fold - 0.1 / (epochs + 1) + 0.001 * ((trial * 7 + fold * 3) % 5);

let submitted = 0;
const submit = async (what: Experiment, options?: SubmitOptions): Promise<string> => {
  const id = `${what.name}-${submitted++}`;
  await client.submit(what, folder, id, options);
  return id;
};
/** Resolves once the leader has prepared all of some experiments. */
async function areRunning(ids: readonly string[]): Promise<void> {
  const seen = new Set<string>();
  const enough = new AbortController();
  const signal = AbortSignal.any([enough.signal, AbortSignal.timeout(patience)]);
  await new Promise<void>((resolve, reject) => {
    signal.addEventListener('abort', () => (enough.signal.aborted ? resolve() : reject(signal.reason)), { once: true });
    const look = ({ value: { id, state } }: { readonly value: ExperimentRecord }): void => {
      if (state === 'running') seen.add(id);
      if (ids.every((one) => seen.has(one))) enough.abort();
    };
    broker.experiments.watch('>', signal, look, reject).catch(reject);
  });
}
async function over(id: string): Promise<void> {
  const signal = AbortSignal.timeout(patience);
  for await (const _ of client.follow(id, signal));
  signal.throwIfAborted();
}
async function finish(id: string): Promise<{ results: Results; jobs: readonly PublicJob[] }> {
  await over(id);
  const { results, record } = await client.outcome(id, { models: false });
  if (results === undefined) throw new Error(`${id} left no results: ${record.error}`);
  return { results, jobs: await client.jobs(id) };
}
const statesOf = (jobs: readonly PublicJob[]): Record<string, number> => {
  const counts: Record<string, number> = {};
  for (const { state, kind } of jobs) if (kind === 'train') counts[state] = (counts[state] ?? 0) + 1;
  return counts;
};

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

describe('several experiments at once', () => {
  it('share the workers; one of higher priority goes first; none has more jobs at a time than it sets itself', async () => {
    const ahead = await submit(experiment({ name: 'ahead', seed: 20, priority: 2 }));
    const [a, b, first, few] = await Promise.all([
      submit(experiment({ name: 'even-a', seed: 21 })),
      submit(experiment({ name: 'even-b', seed: 22 })),
      submit(experiment({ name: 'urgent', seed: 23, priority: 1 })),
      submit(experiment({ name: 'few', seed: 24, maxConcurrentJobs: 1 })),
    ]);
    const at = { [first]: 0, [few]: 0 } as Record<string, number>;
    let most = 0;
    const order: string[] = [];
    // The workers have something else to do until all of them are prepared, in whatever order.
    const prepared = areRunning([a, b, first, few]);
    startLeader();
    startWorkers({
      count: 4,
      outcome,
      jobMs: ({ experiment: of }) => (of === ahead ? prepared.then(() => 40) : 40),
      onTaken: ({ experiment: of }) => {
        if (of === ahead) return;
        order.push(of);
        at[of] = (at[of] ?? 0) + 1;
        most = Math.max(most, at[few] ?? 0);
      },
      onEnded: ({ experiment: of }) => {
        at[of] = (at[of] ?? 0) - 1;
      },
    });
    await Promise.all([ahead, a, b, first, few].map(finish));
    expect(most).toBe(1);
    expect(order).toHaveLength(16);
    const lastOf = (id: string): number => order.lastIndexOf(id);
    // Prepared last it may be; from its first job on, only seats that were out already go to others before its own.
    const urgent = order.flatMap((id, place) => (id === first ? [place] : []));
    expect(urgent).toHaveLength(4);
    expect((urgent[3] ?? 16) - (urgent[0] ?? 0)).toBeLessThanOrEqual(3 + 2);
    expect(Math.abs(lastOf(a) - lastOf(b))).toBeLessThanOrEqual(6);
  });
});
