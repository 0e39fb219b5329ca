import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { text } from 'node:stream/consumers';
import { FoldsDocument } from '@crossfold/shared/folds/folds';
import type { CompletedFold } from '@crossfold/shared/results';
import { Results } from '@crossfold/shared/results';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { FinishedRun, TrainingCluster } from '../support/cluster.ts';
import { smallExperiment, startTrainingCluster } from '../support/cluster.ts';

const completed = (results: Results): CompletedFold[] =>
  results.trials.flatMap((trial) => trial.folds.filter((fold) => fold.status === 'completed'));

describe('a job trained by a group', () => {
  let cluster: TrainingCluster;
  let alone: FinishedRun;
  beforeAll(async () => {
    cluster = await startTrainingCluster({ workers: 2 });
    alone = await cluster.run({ ...smallExperiment, workersPerJob: 1 });
  }, 120_000);
  afterAll(() => cluster?.stop());

  it('is recorded once, with every sample of every epoch used once', () => {
    expect(alone.record.state).toBe('completed');
    const folds = completed(alone.results);
    expect(folds.map((fold) => fold.fold)).toEqual([0, 1]);
    for (const fold of folds) {
      expect(fold.samplesSeen).toBe(2 * fold.trainSamples);
      expect(fold.exchange).toBe('none');
      expect(fold.workers).toHaveLength(1);
      expect(fold.history.valLoss).toHaveLength(2);
    }
    expect(alone.jobs.filter((job) => job.kind === 'train').map((job) => job.state)).toEqual([
      'completed',
      'completed',
    ]);
    expect(alone.results.test?.samples).toBe(10_000);
  });

  it.each(['nats', 'direct'] as const)(
    'of two, over %s, has the same weights and scores to the bit; two such jobs do not wait for each other',
    async (exchange) => {
      const together = await cluster.run({ ...smallExperiment, workersPerJob: 2, exchange });
      expect(together.record.state).toBe('completed');
      const pairs = completed(together.results).map((fold, i) => [fold, completed(alone.results)[i]] as const);
      expect(pairs).toHaveLength(2);
      for (const [fold, single] of pairs) {
        expect(fold.exchange).toBe(exchange);
        expect(fold.workers).toHaveLength(2);
        expect(fold.weightsSha256).toBe(single?.weightsSha256);
        expect(fold.history).toEqual(single?.history);
        expect(fold.validation).toEqual(single?.validation);
        expect(fold.samplesSeen).toBe(single?.samplesSeen);
      }
      expect(together.results.test).toEqual(alone.results.test);
      expect(together.folds).toEqual(alone.folds);
    },
  );
});

describe('crossfold run', () => {
  const root = resolve(import.meta.dirname, '../..');
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'crossfold-run-'));
  });
  afterAll(() => rm(folder, { recursive: true, force: true }));

  it('leaves a complete run folder, and nothing else running or lying about', async () => {
    const words = ['run', join(root, 'examples/mnist-kfold.yaml'), '--workers', '2', '--out', 'out', '--json'];
    const sets = ['dataset.limit=600', 'training.epochs=1', 'evaluation.folds=3'].flatMap((set) => ['--set', set]);
    const env = { ...process.env, CROSSFOLD_NATS_URL: '' };
    const child = spawn(process.execPath, [join(root, 'coordinator/bin/main.cjs'), ...words, ...sets], {
      cwd: folder,
      env,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const [out, err, [code]] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'close')]);
    expect({ code, err: code === 0 ? '' : err }).toEqual({ code: 0, err: '' });

    const run = join(folder, 'out');
    const results = Results.parse(JSON.parse(await readFile(join(run, 'results.json'), 'utf8')));
    expect(Results.parse(JSON.parse(out))).toEqual(results);
    expect(results).toMatchObject({ status: 'completed', seed: 42, dataset: { name: 'mnist', samples: 600 } });
    const files = await readdir(run);
    expect(files).toEqual(
      expect.arrayContaining(['experiment.yaml', 'folds.json', 'history.csv', 'models', 'report.html', 'logs']),
    );
    expect(files.filter((file) => /\.(new|tmp|part)$|^\.cluster/.test(file))).toEqual([]);

    const folds = FoldsDocument.parse(JSON.parse(await readFile(join(run, 'folds.json'), 'utf8')));
    const validated = folds.folds.flatMap((fold) => fold.validation).sort((a, b) => a - b);
    expect(validated).toEqual(Array.from({ length: 600 }, (_, i) => i));
    expect(createHash('sha256').update(JSON.stringify(folds.folds)).digest('hex')).toBe(folds.digest);

    const ended = completed(results);
    expect(ended).toHaveLength(3);
    expect(new Set(ended.flatMap((fold) => fold.workers)).size).toBe(2);
    for (const fold of ended) expect(fold.samplesSeen).toBe(fold.trainSamples);
    const history = (await readFile(join(run, 'history.csv'), 'utf8')).trim().split('\n');
    expect(history[0]).toBe('trial,fold,epoch,loss,accuracy,valLoss,valAccuracy,seconds');
    expect(history).toHaveLength(1 + 3);
    expect(existsSync(join(run, 'experiment.yaml'))).toBe(true);
    expect(await readdir(join(run, 'models'))).not.toEqual([]);
  }, 120_000);
});
