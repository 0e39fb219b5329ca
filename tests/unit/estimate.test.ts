import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { checkExperiment } from '@crossfold/coordinator/config/load';
import { preflight } from '@crossfold/coordinator/data/preflight';
import { forwardFlops, secondsBetweenJobs } from '@crossfold/coordinator/estimate/cost';
import { dryRun } from '@crossfold/coordinator/estimate/dry-run';
import { searchShare } from '@crossfold/coordinator/estimate/search';
import { dryRunText } from '@crossfold/coordinator/estimate/text';
import { decide } from '@crossfold/coordinator/search/decide';
import { SearchSpec } from '@crossfold/shared/config/search';
import { planModel } from '@crossfold/shared/model/plan';
import { describe, expect, it } from 'vitest';
import { writeFiles } from '../support/pictures.ts';

const image = { height: 28, width: 28, channels: 1 };
const speed = {
  backend: 'tensorflow',
  device: 'cpu',
  imagesPerSecond: 1000,
  secondsPerJob: 0.5,
  flopsPerSecond: 1e9,
} as const;

describe('the cost of a net', () => {
  it('is what its convolutions and dense layers multiply', () => {
    const convolutions = 2 * 9 * (32 * 26 ** 2 + 32 * 64 * 11 ** 2 + 64 * 64 * 3 ** 2);
    const dense = 2 * (576 * 64 + 64 * 10);
    const plan = planModel({ preset: 'mnist-convnet' }, image, 10, 'categoricalCrossentropy');
    expect(forwardFlops(plan)).toBe(convolutions + dense);
  });
});

describe("a search's share", () => {
  const parameters = { seed: [1] };
  it.each([
    [16, 12],
    [27, 12],
    [5, 30],
    [3, 1],
  ])('is what halving of %i configurations with %i epochs then takes', (trials, epochs) => {
    const search = SearchSpec.parse({ method: 'halving', parameters });
    const trained = new Map<string, number>();
    const contest = { search, epochs: new Array<number>(trials).fill(epochs), folds: 5, validationShare: 0.25 };
    for (;;) {
      const decision = decide(contest, (trial, fold, wanted) =>
        (trained.get(`${trial}.${fold}`) ?? 0) >= wanted ? { accuracy: trial, loss: 0 } : undefined,
      );
      for (const want of decision.wants) trained.set(`${want.trial}.${want.fold}`, want.epochs);
      if (decision.over) break;
    }
    const taken = [...trained.values()].reduce((sum, n) => sum + n, 0) / (trials * epochs * 5);
    expect(searchShare(search, trials, 5, epochs).most).toBeCloseTo(taken);
  });

  it('is known within bounds for racing', () => {
    const search = SearchSpec.parse({ method: 'racing', parameters });
    expect(searchShare(search, 10, 5, 3)).toEqual({ least: (10 * 2 + 3) / 50, most: 1 });
  });
});

describe('a dry run', () => {
  const base = {
    name: 'dry',
    dataset: { name: 'mnist', limit: 1000 },
    model: { preset: 'mnist-convnet' },
    training: { epochs: 4, batchSize: 50, optimizer: { name: 'rmsprop' } },
  };

  it('says trials x folds, parameters, memory and time', async () => {
    const search = {
      method: 'halving',
      parameters: { 'training.batchSize': [25, 50], 'training.optimizer.learningRate': [0.1, 0.01] },
    };
    const loaded = await checkExperiment(
      { ...base, final: 'refit', search, evaluation: { method: 'kfold', folds: 5 } },
      '.',
    );
    const run = dryRun(loaded.experiment, await preflight(loaded), speed, 2);
    expect(run).toMatchObject({
      jobs: 20,
      split: { method: 'kfold', folds: 5, repeats: 1 },
      dataset: { samples: 1000, testSamples: 10_000, classes: 10 },
      final: 'refit',
    });
    expect(run.folds).toHaveLength(5);
    expect(run.trials.map(({ batchSize, stepsPerEpoch }) => [batchSize, stepsPerEpoch])).toEqual([
      [25, 32],
      [25, 32],
      [50, 16],
      [50, 16],
    ]);
    // 800 samples are trained on, at three times what it takes to validate the other 200.
    // Before its first step, and between it and the next, each job takes a while whatever it trains.
    const around = 0.5 + secondsBetweenJobs;
    const fold = (4 * (3 * 800 + 200) * 5_588_480) / 1e9 + around;
    expect(run.trials[0]?.secondsPerFold).toBeCloseTo(fold);
    const share = (4 * 1 + 2 * 1 + 1 * 2) / 16;
    expect(run.estimate.workerSeconds[1]).toBeCloseTo(20 * fold * share + (4 * 3 * 1000 * 5_588_480) / 1e9 + around);
    expect(run.estimate.seconds?.[1]).toBeCloseTo(run.estimate.workerSeconds[1] / 2);
    // Workers that train this net on as few digits were seen to peak at 523 and 539 MiB.
    expect(run.estimate.memoryBytes / 2 ** 20).toBeGreaterThan(539);
    expect(run.estimate.memoryBytes / 2 ** 20).toBeLessThan(600);
    const text = dryRunText(run);
    expect(text).toContain('4 trials x 5 folds = 20 jobs, at most, by halving');
    expect(text).toContain('training.batchSize=25, training.optimizer.learningRate=0.1');
  });

  it('names pictures that are known to be of no use without being opened, and what comes of them', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'crossfold-dry-'));
    const rgb = (r: number) => ({ rgb: [r, 0, 0] as const });
    await writeFiles(folder, {
      'a/1.png': rgb(1),
      'a/2.png': '',
      'a/3.gif': 'x',
      'b/1.png': rgb(2),
      'b/2.png': rgb(3),
    });
    const text = async (more: object): Promise<string> => {
      const dataset = { path: folder, image: { height: 28, width: 28, channels: 1 }, ...more };
      const evaluation = { method: 'holdout', validation: 0.4 };
      const loaded = await checkExperiment({ ...base, dataset, evaluation }, '.');
      return dryRunText(dryRun(loaded.experiment, await preflight(loaded), speed, 2));
    };
    expect(await text({})).toMatch(
      /unusable +2 pictures .*nothing will be trained before .*: a\/2\.png is empty, a\/3\.gif is not/,
    );
    expect(await text({ onError: 'skip' })).toMatch(/unusable +2 pictures .*counted above, they will be left out: /);
    await rm(join(folder, 'a'), { recursive: true });
    await writeFiles(folder, { 'a/1.png': rgb(1), 'a/2.png': rgb(4), 'a/3.png': rgb(5) });
    expect(await text({})).not.toContain('unusable');
    await rm(folder, { recursive: true });
  });

  it('says what cannot be split, before anything is started, with the line', async () => {
    const loaded = await checkExperiment({ ...base, dataset: { name: 'mnist', limit: 12 } }, '.');
    await expect(preflight(loaded)).rejects.toThrow(
      /^evaluation\.folds is 5: must be at most 3, the number of samples of the largest class, "1"/,
    );
  });
});
