import { connectClient } from '@crossfold/coordinator/client/client';
import { isFinal } from '@crossfold/shared/jobs/records';
import type { ProgressEvent } from '@crossfold/shared/progress';
import { Results } from '@crossfold/shared/results';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { smallExperiment } from '../support/cluster.ts';
import { bitsOf, everything } from '../support/group-experiments.ts';
import { HandStarted } from '../support/hand-started.ts';

const folds = (n: number) => ({ ...smallExperiment, evaluation: { method: 'kfold' as const, folds: n } });

let cluster: HandStarted;
beforeAll(async () => {
  cluster = await HandStarted.start();
}, 60_000);
afterAll(() => cluster?.close());
/** Steps back from a final state that the tests themselves have asked for, which the check cannot know. */
const asked: string[] = [];
afterEach(async () => {
  await cluster.dismiss();
  expect(await cluster.faults()).toEqual(asked);
});

describe('a job that throws wherever it is tried', { timeout: 120_000 }, () => {
  it('fails with its reason after bounded attempts, beside others that complete; only it is tried again', async () => {
    const undisturbed = await cluster.undisturbed(folds(3));
    const faults = [{ at: 'computing', job: 'train.0.0.1', do: 'throw', again: true }] as const;
    const workers = ['one', 'two'].map((name) => cluster.services.worker(name, { faults }));
    await Promise.all(workers.map((worker) => worker.says('ready')));
    const { record, jobs, results } = await cluster.run(folds(3));
    expect(record).toMatchObject({ state: 'failed' });
    expect(record.error).toMatch(/\.train\.0\.0\.1: failed on purpose at computing$/);
    expect(jobs.map(({ state, fold, throws }) => [fold, state, throws]).toSorted()).toEqual([
      [0, 'completed', 0],
      [1, 'failed', 3],
      [2, 'completed', 0],
    ]);
    expect(bitsOf(results)).toEqual(undisturbed.filter(({ fold }) => fold !== 1));
    expect(await cluster.faults()).toEqual([]);

    await cluster.dismiss();
    const mended = cluster.services.worker('mended');
    await mended.says('ready');
    const client = await connectClient(cluster.server.url);
    await client.resume(record.id);
    asked.push(`${record.id}.train.0.0.1 was failed and became queued`);
    for await (const _ of client.follow(record.id, AbortSignal.timeout(60_000)));
    const outcome = await client.outcome(record.id);
    const after = await client.jobs(record.id);
    await client.close();
    expect(outcome.record.state).toBe('completed');
    expect(bitsOf(Results.parse(outcome.results))).toEqual(undisturbed);
    const ofFolds = (which: typeof jobs) => which.filter(({ kind, fold }) => kind === 'train' && fold !== 1);
    expect(ofFolds(after)).toEqual(ofFolds(jobs));
    expect(after.every(({ state }) => isFinal(state))).toBe(true);
  });

  it('and one that diverges at once, for good', async () => {
    const worker = cluster.services.worker('worker');
    await worker.says('ready');
    const { record, results } = await cluster.run({
      ...smallExperiment,
      evaluation: { method: 'holdout' },
      // Two layers whose gradients grow with each other's weights.
      model: {
        layers: [
          { type: 'flatten' },
          { type: 'dense', units: 16 },
          { type: 'dense', units: 10, activation: 'softmax' },
        ],
      },
      training: { epochs: 1, batchSize: 16, optimizer: { name: 'sgd' } },
      search: { method: 'grid', parameters: { 'training.optimizer.learningRate': [1000, 0.01] } },
    });
    expect(record.state).toBe('completed');
    expect(results.trials.map(({ status }) => status)).toEqual(['failed', 'completed']);
    expect(results.trials[0]?.folds[0]).toMatchObject({ error: expect.stringMatching(/loss became (NaN|Infinity)/) });
  });
});

describe('a worker on which every job fails', { timeout: 120_000 }, () => {
  it('is set aside and named, and the jobs are done by others', async () => {
    const faults = [{ at: 'computing', do: 'throw', again: true }] as const;
    const bad = cluster.services.worker('bad', { faults });
    const good = cluster.services.worker('good');
    await Promise.all([bad.says('ready'), good.says('ready')]);
    const said: string[] = [];
    const listen = (event: ProgressEvent): void => {
      if (event.type === 'log') said.push(event.message);
    };
    const { record, jobs } = await cluster.run(folds(12), listen);
    expect(record.state).toBe('completed');
    expect(await bad.says('job after job fails here: this worker leaves them to others for a while')).toBeDefined();
    expect(said).toContainEqual(
      expect.stringMatching(/^worker bad-[0-9a-f]{4} is set aside: 3 jobs in a row failed on it, the last one with: /),
    );
    for (const { members, workers, throws } of jobs)
      expect({ members, workers, throws }).toMatchObject({ members: [] });
    expect(jobs.filter(({ failedOn }) => failedOn.length > 0)).toHaveLength(3);
  });
});

describe('an engine that hangs', { timeout: 120_000 }, () => {
  it('is found out and named: its worker ends, and its peers go on', async () => {
    const undisturbed = await cluster.undisturbed();
    const faults = [{ at: 'in the engine', position: 5, do: 'hang' }] as const;
    const pair = await cluster.pair({ faults, parameters: ['--hung-after', '2'] });
    const { first, second } = pair;
    const { run } = await cluster.runWith(pair, everything);
    expect(bitsOf((await run).results)).toEqual(undisturbed);
    const failed = await first.says('the job failed here');
    expect(failed.err).toMatchObject({
      message: expect.stringMatching(/^the gradient of epoch 1, step \d+ has not got on for 2 s: TensorFlow hangs/),
    });
    await first.ended();
    expect(second.lines.map(({ msg }) => msg)).not.toContain('went on from a checkpoint');
  });
});
