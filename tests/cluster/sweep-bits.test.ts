import type { CompletedFold, Results } from '@crossfold/shared/results';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { TrainingCluster } from '../support/cluster.ts';
import { smallExperiment, startTrainingCluster } from '../support/cluster.ts';

let cluster: TrainingCluster;
beforeAll(async () => {
  cluster = await startTrainingCluster({ workers: 2 });
}, 120_000);
afterAll(() => cluster?.stop());

const folds = ({ trials }: Results, trial: number): CompletedFold[] =>
  (trials[trial]?.folds ?? []).filter((fold) => fold.status === 'completed');

it('a fold that a search has let go on, rung by rung, is to the bit what training it at once makes of it', async () => {
  const parameters = { 'training.optimizer.learningRate': [0.00001, 0.003, 0.0001, 0.0003] };
  // Dropout and a schedule over all epochs: neither may know where a rung ended.
  const experiment = {
    ...smallExperiment,
    model: {
      layers: [
        { type: 'conv2d', filters: 4, kernelSize: 3, strides: 2, activation: 'relu' },
        { type: 'flatten' },
        { type: 'dropout', rate: 0.25 },
        { type: 'dense', units: 10, activation: 'softmax' },
      ],
    },
    training: { ...smallExperiment.training, epochs: 4, schedule: { name: 'cosine' } },
  } as const;
  const search = { method: 'halving', minEpochs: 1, parameters } as const;
  const sweep = (await cluster.run({ ...experiment, search })).results;
  expect(sweep).toMatchObject({ status: 'completed', best: { trial: 1 }, search: { exhaustiveFoldEpochs: 32 } });
  expect(sweep.search?.rounds.map(({ epochs }) => epochs)).toEqual([1, 2, 4]);
  expect(sweep.search?.foldEpochs).toBe(2 * (4 + 2 * 1 + 1 * 2));

  const optimizer = { ...experiment.training.optimizer, learningRate: 0.003 };
  const single = (await cluster.run({ ...experiment, training: { ...experiment.training, optimizer } })).results;
  expect(folds(sweep, 1)).toHaveLength(2);
  for (const [i, fold] of folds(sweep, 1).entries()) {
    const whole = folds(single, 0)[i];
    expect(fold.weightsSha256).toBe(whole?.weightsSha256);
    expect(fold.history).toEqual(whole?.history);
    expect(fold.validation).toEqual(whole?.validation);
    expect([fold.epochs, fold.samplesSeen]).toEqual([4, whole?.samplesSeen]);
  }
  // What the others had come to is what the same number of epochs of a whole training comes to.
  const [pruned] = sweep.trials[3]?.folds ?? [];
  expect(pruned).toMatchObject({ status: 'pruned', epochs: 2, history: { valLoss: { length: 2 } } });
}, 120_000);
