import { connectClient } from '@crossfold/coordinator/client/client';
import type { ExperimentClient } from '@crossfold/coordinator/client/types';
import { Experiment } from '@crossfold/shared/config/experiment';
import type { JobRecord, Selection } from '@crossfold/shared/jobs/records';
import { isFinal } from '@crossfold/shared/jobs/records';
import type { CompletedFold, Results } from '@crossfold/shared/results';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { TrainingCluster } from '../support/cluster.ts';
import { smallExperiment, startTrainingCluster } from '../support/cluster.ts';

/** Sweeps on real workers: parts of them are cancelled while they are trained, and resumed; nested ones choose within. */
const patience = 120_000;
let cluster: TrainingCluster;
let client: ExperimentClient;
beforeAll(async () => {
  cluster = await startTrainingCluster({ workers: 2 });
  client = await connectClient(cluster.url);
}, 120_000);
afterAll(async () => {
  await client?.close();
  await cluster?.stop();
});

/** Follows an experiment to its end; does something once a job is well under way, where one is named. */
async function follow(id: string, when?: (job: string) => boolean, then?: () => Promise<unknown>): Promise<void> {
  const signal = AbortSignal.timeout(patience);
  let done: Promise<unknown> | undefined;
  for await (const event of client.follow(id, signal))
    if (event.type === 'job' && event.state === 'running' && event.epoch >= 2 && when?.(event.job) === true)
      done ??= then?.();
  signal.throwIfAborted();
  if (when !== undefined) expect(done).toBeDefined();
  await done;
}

async function jobsOnceOver(id: string): Promise<Record<string, JobRecord['state']>> {
  for (const end = Date.now() + patience; ; ) {
    const jobs = (await client.jobs(id)).filter(({ kind }) => kind === 'train');
    if (jobs.every(({ state, members }) => isFinal(state) && members.length === 0))
      return Object.fromEntries(jobs.map(({ trial, fold, state }) => [`${trial}.${fold}`, state]));
    if (Date.now() > end) throw new Error('jobs that were cancelled go on');
  }
}

const foldsOf = ({ trials }: Results, trial: number): CompletedFold[] =>
  (trials[trial]?.folds ?? []).filter((fold) => fold.status === 'completed');

it('a trial, a fold, and all of it are cancelled while they train, and resumed: the same bits come of it', async () => {
  const training = { ...smallExperiment.training, epochs: 60 };
  const rates = [0.001, 0.003];
  const search = { method: 'grid', parameters: { 'training.optimizer.learningRate': rates } } as const;
  const id = 'controlled';
  const options = { fresh: true };
  await client.submit(Experiment.parse({ ...smallExperiment, training, search, workersPerJob: 1 }), '.', id, options);
  const cancel = (selection: Selection) => () => client.cancel(id, selection);

  await follow(id, (job) => job.includes('.train.1.'), cancel({ trial: 1 }));
  expect(await jobsOnceOver(id)).toEqual({
    '0.0': 'completed',
    '0.1': 'completed',
    '1.0': 'cancelled',
    '1.1': 'cancelled',
  });
  const first = (await client.outcome(id, { models: false })).results;
  expect(first).toMatchObject({ status: 'completed', best: { trial: 0 } });
  expect(first?.trials[1]?.status).toBe('cancelled');

  await client.resume(id, { trial: 1 });
  await follow(id, (job) => job === `${id}.train.1.0.1`, cancel({ trial: 1, fold: 1 }));
  expect(await jobsOnceOver(id)).toMatchObject({ '1.0': 'completed', '1.1': 'cancelled' });

  await client.resume(id, { fold: 1 });
  await follow(id, (job) => job === `${id}.train.1.0.1`, cancel({}));
  expect(await jobsOnceOver(id)).toMatchObject({ '1.0': 'completed', '1.1': 'cancelled' });
  expect((await client.list()).find((record) => record.id === id)?.state).toBe('cancelled');

  await client.resume(id);
  await follow(id);
  const { results } = await client.outcome(id, { models: false });
  if (results === undefined) throw new Error('it has completed');
  expect(results.status).toBe('completed');
  expect(results.trials.map(({ status }) => status)).toEqual(['completed', 'completed']);
  // What was not cancelled was computed once.
  expect(foldsOf(results, 0)).toEqual(foldsOf(first as Results, 0));

  const optimizer = { ...training.optimizer, learningRate: 0.003 };
  const whole = await cluster.run({ ...smallExperiment, training: { ...training, optimizer }, workersPerJob: 1 });
  const bits = (folds: readonly CompletedFold[]) =>
    folds.map(({ weightsSha256, samplesSeen }) => [weightsSha256, samplesSeen]);
  expect(bits(foldsOf(results, 1))).toEqual(bits(foldsOf(whole.results, 0)));
  expect(bits(foldsOf(results, 1))).toHaveLength(2);
}, 180_000);

it('nested: within each outer fold the better configuration is found, and scored on what nobody had seen', async () => {
  const { results, jobs, folds } = await cluster.run({
    ...smallExperiment,
    evaluation: { method: 'nested', outer: { method: 'kfold', folds: 2 }, inner: { method: 'kfold', folds: 2 } },
    search: { method: 'grid', parameters: { 'training.optimizer.learningRate': [0.000001, 0.003] } },
  });
  expect(results).toMatchObject({ status: 'completed', best: { trial: 1 } });
  expect(results.nested?.outer.map(({ fold, trial }) => [fold, trial])).toEqual([
    [0, 1],
    [1, 1],
  ]);
  // Two configurations on four inner folds, and what was found on two outer ones.
  expect(jobs.filter(({ kind }) => kind === 'train')).toHaveLength(2 * 4 + 2);
  const outer = (results.trials[1]?.folds ?? []).filter((fold) => fold.within === undefined);
  expect(results.nested?.outer.map(({ accuracy }) => accuracy)).toEqual(
    outer.map((fold) => (fold.status === 'completed' ? fold.validation.accuracy : undefined)),
  );
  const split = folds as { folds: { fold: number; within?: number; train: number[]; validation: number[] }[] };
  for (const { within, train, validation } of split.folds) {
    const around = split.folds.find(({ fold }) => fold === within);
    if (around === undefined) continue;
    const held = new Set(around.validation);
    expect([...train, ...validation].filter((sample) => held.has(sample))).toEqual([]);
  }
}, 120_000);
