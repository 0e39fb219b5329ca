import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Experiment } from '@crossfold/shared/config/experiment';
import { FoldsDocument } from '@crossfold/shared/folds/folds';
import sharp from 'sharp';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { z } from 'zod';
import type { TrainingCluster } from '../support/cluster.ts';
import { startTrainingCluster } from '../support/cluster.ts';
import { idxBytes } from '../support/idx.ts';

const [samples, side] = [90, 8];
/** Each of one grey, so that a picture tells which it is of. */
const grey = (sample: number): number => 20 + 2 * sample;
const labels = Uint8Array.from({ length: samples }, (_, i) => (i * 7) % 3);

let cluster: TrainingCluster;
beforeAll(async () => {
  cluster = await startTrainingCluster({ workers: 2 });
  await mkdir(join(cluster.folder, 'data'));
  const pixels = Uint8Array.from({ length: samples * side * side }, (_, i) => grey(Math.floor(i / (side * side))));
  await writeFile(join(cluster.folder, 'data', 'train-images-idx3-ubyte'), idxBytes([samples, side, side], pixels));
  await writeFile(join(cluster.folder, 'data', 'train-labels-idx1-ubyte'), idxBytes([samples], labels));
}, 60_000);
afterAll(async () => await cluster?.stop());

it('without a test set the worst mistakes are those of each fold’s net on what it was not trained on', async () => {
  const experiment: z.input<typeof Experiment> = {
    name: 'grey',
    dataset: { path: 'data' },
    evaluation: { method: 'kfold', folds: 3 },
    model: { layers: [{ type: 'flatten' }, { type: 'dense', units: 3, activation: 'softmax' }] },
    training: { epochs: 2, batchSize: 16, optimizer: { name: 'sgd', learningRate: 0.1 } },
  };
  const { results, folds } = await cluster.run({ ...experiment, workersPerJob: 1 });
  const split = FoldsDocument.parse(folds);
  const { outOfFold, trials } = results;
  if (outOfFold === undefined) throw new Error('nothing was kept of the validation samples');
  expect(results.test).toBeUndefined();
  expect(outOfFold.samples).toBe(samples);
  // Greys say nothing about the class: there are plenty of mistakes.
  expect(outOfFold.mistakes).toHaveLength(12);
  const completed = trials[0]?.folds.flatMap((fold) => (fold.status === 'completed' ? [fold] : [])) ?? [];
  for (const { sample, fold, label, predicted, confidence, picture } of outOfFold.mistakes) {
    expect(label).toBe(labels[sample]);
    expect(predicted).not.toBe(label);
    expect(confidence).toBeGreaterThan(1 / 3);
    expect(split.folds[fold]?.validation).toContain(sample);
    expect(completed[fold]?.validation.confusionMatrix[label]?.[predicted]).toBeGreaterThan(0);
    const png = Buffer.from(picture.split(',')[1] ?? '', 'base64');
    expect((await sharp(png).raw().toBuffer())[0]).toBe(grey(sample));
  }
  const right = outOfFold.reliability.bins.reduce((sum, bin) => sum + bin.samples * bin.accuracy, 0);
  expect(right).toBeCloseTo(
    completed.reduce((sum, fold) => sum + fold.validation.accuracy * fold.validationSamples, 0),
  );
  // It does not depend on who trained.
  const together = await cluster.run({ ...experiment, workersPerJob: 2 });
  expect(together.results.trials[0]?.folds[0]).toMatchObject({ workers: { length: 2 } });
  expect(together.results.outOfFold).toEqual(outOfFold);
}, 120_000);
