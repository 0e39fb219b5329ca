import { join } from 'node:path';
import { reportMarkdown } from '@crossfold/coordinator/results/markdown';
import { reportHtml } from '@crossfold/coordinator/results/report/report';
import type { Experiment } from '@crossfold/shared/config/experiment';
import { FoldsDocument } from '@crossfold/shared/folds/folds';
import type { Results, TrialResult } from '@crossfold/shared/results';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { z } from 'zod';
import type { TrainingCluster } from '../support/cluster.ts';
import { startTrainingCluster } from '../support/cluster.ts';
import { type Content, writeFiles } from '../support/pictures.ts';

let cluster: TrainingCluster;
beforeAll(async () => {
  cluster = await startTrainingCluster({ workers: 2 });
  const files: Record<string, Content> = {};
  for (let i = 0; i < 18; i++) {
    files[`train/warm/${i}.png`] = { rgb: [150 + 5 * i, 20 + i, 10 * (i % 7)], size: 16 + i };
    files[`train/cold/${i}.png`] = { rgb: [10 * (i % 5), 30 + i, 120 + 7 * i], size: 40 - i };
  }
  await writeFiles(join(cluster.folder, 'pictures'), files);
}, 60_000);
afterAll(async () => await cluster?.stop());

const shas = (trial: TrialResult | undefined): string[] =>
  (trial?.folds ?? []).flatMap((fold) => (fold.status === 'completed' ? [fold.weightsSha256] : []));

it('a search over the size of pictures trains on the very same samples and folds in each', async () => {
  const plain: z.input<typeof Experiment> = {
    name: 'plain',
    dataset: { path: 'pictures', image: { height: 10, width: 12 } },
    evaluation: { method: 'kfold', folds: 3 },
    model: { layers: [{ type: 'flatten' }, { type: 'dense', units: 2, activation: 'softmax' }] },
    training: { epochs: 2, batchSize: 8, optimizer: { name: 'sgd', learningRate: 0.1 } },
    workersPerJob: 1,
  };
  const alone = await cluster.run(plain);
  const sizes = [
    { height: 6, width: 6 },
    { height: 10, width: 12 },
    { height: 6, width: 6, channels: 1 },
  ];
  const sweep = await cluster.run({
    ...plain,
    name: 'sizes',
    final: 'refit',
    search: { method: 'grid', parameters: { 'dataset.image': sizes } },
  });
  const { trials, split, best, final } = sweep.results;
  // A flattened picture and a bias for each of two classes.
  expect(trials.map(({ weights }) => weights)).toEqual([2 * 108 + 2, 2 * 360 + 2, 2 * 36 + 2]);
  expect(trials.map(({ status }) => status)).toEqual(['completed', 'completed', 'completed']);
  // The split is that of the experiment without a search, and so is what the trial of that size comes to.
  expect(split.digest).toBe(alone.results.split.digest);
  expect(FoldsDocument.parse(sweep.folds)).toEqual(FoldsDocument.parse(alone.folds));
  expect(shas(trials[1])).toEqual(shas(alone.results.trials[0]));
  expect(new Set(trials.flatMap(shas)).size).toBe(9);
  // And so they are compared fold by fold.
  for (const { trial, comparison } of trials) expect(comparison?.folds).toBe(trial === best?.trial ? undefined : 3);
  expect(final).toMatchObject({ of: 'refit', trial: best?.trial, trainSamples: 36 });
  // The data of each size are named, by what jobs read.
  const named = sweep.results.dataset.sizes ?? [];
  expect(named.map(({ image: { height, channels } }) => [height, channels])).toEqual([
    [6, 3],
    [10, 3],
    [6, 1],
  ]);
  const { manifest, otherManifests = [] } = sweep.record;
  expect(named.map(({ digest }) => digest)).toEqual([manifest, ...otherManifests].map((one) => one?.digest));
  expect(named[1]?.digest).toBe(alone.record.manifest?.digest);
  expect(alone.results.dataset.sizes).toBeUndefined();
  for (const page of [reportHtml, ({ results }: { results: Results }) => reportMarkdown(results, '')])
    for (const { digest } of named) expect(page({ results: sweep.results, yaml: '' })).toContain(digest);
}, 120_000);
