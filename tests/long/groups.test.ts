import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { FinishedRun, TrainingCluster } from '../support/cluster.ts';
import { startTrainingCluster } from '../support/cluster.ts';
import type { ExperimentInput } from '../support/group-experiments.ts';
import { bitsOf, completedFolds, everything } from '../support/group-experiments.ts';

const { training, model } = everything;
const normalised: ExperimentInput['model'] = {
  layers: [
    { type: 'conv2d', filters: 6, kernelSize: 3, strides: 2, useBias: false },
    { type: 'batchNormalization', momentum: 0.9 },
    { type: 'activation', activation: 'relu' },
    { type: 'maxPooling2d' },
    { type: 'flatten' },
    { type: 'dropout', rate: 0.5 },
    { type: 'dense', units: 10, activation: 'softmax', kernelRegularizer: { l1: 0.0001, l2: 0.001 } },
  ],
};

/** Experiments that differ in what could depend on the group. */
const experiments: Readonly<Record<string, ExperimentInput>> = {
  'dropout, L2, a last batch smaller than its slices': everything,
  'batch normalisation, L1': { ...everything, model: normalised },
  'five slices, which no group but one of five shares evenly': {
    ...everything,
    training: { ...training, microBatches: 5, optimizer: { name: 'sgd', momentum: 0.9, nesterov: true } },
  },
  'early stopping that goes back to its best epoch': {
    ...everything,
    training: {
      ...training,
      epochs: 6,
      optimizer: { name: 'rmsprop', learningRate: 0.01 },
      earlyStopping: { patience: 1, restoreBest: true },
    },
  },
  'epochs that are no pass, part of the validation, a clipped gradient': {
    ...everything,
    model,
    training: { ...training, stepsPerEpoch: 7, validationSteps: 2, clip: { norm: 1 } },
  },
};

describe.each(Object.entries(experiments))('%s', (_, experiment) => {
  let cluster: TrainingCluster;
  let alone: FinishedRun;
  beforeAll(async () => {
    cluster = await startTrainingCluster({ workers: 4 });
    alone = await cluster.run({ ...experiment, workersPerJob: 1 });
  });
  afterAll(() => cluster?.stop());

  it.each([2, 3, 4].flatMap((size) => (['nats', 'direct'] as const).map((exchange) => [size, exchange] as const)))(
    'comes to the same bits with %i workers over %s',
    async (workersPerJob, exchange) => {
      const run = await cluster.run({ ...experiment, workersPerJob, exchange });
      expect(completedFolds(run.results)).toHaveLength(1);
      expect(bitsOf(run.results)).toEqual(bitsOf(alone.results));
      expect(completedFolds(run.results)[0]).toMatchObject({ exchange });
    },
  );
});
