import type { Experiment } from '@crossfold/shared/config/experiment';
import type { CompletedFold, Results } from '@crossfold/shared/results';
import type { z } from 'zod';

export type ExperimentInput = z.input<typeof Experiment>;

/**
 * Everything that could differ between groups in one small job: augmentation, dropout, batch normalisation, L2, a last
 * batch of 3 samples for four slices, 101 validation samples, an optimizer with state, an average of the weights.
 */
export const everything: ExperimentInput = {
  name: 'everything',
  seed: 11,
  dataset: { name: 'mnist', limit: 404 },
  evaluation: { method: 'holdout', validation: 0.25 },
  model: {
    layers: [
      { type: 'conv2d', filters: 6, kernelSize: 3, strides: 2, activation: 'relu', kernelRegularizer: { l2: 0.001 } },
      { type: 'batchNormalization', momentum: 0.9 },
      { type: 'maxPooling2d' },
      { type: 'flatten' },
      { type: 'dropout', rate: 0.3 },
      { type: 'dense', units: 10, activation: 'softmax', kernelRegularizer: { l2: 0.01 } },
    ],
  },
  training: { epochs: 2, batchSize: 30, microBatches: 4, optimizer: { name: 'adam' }, average: { momentum: 0.8 } },
  augment: { rotation: 15, widthShift: 0.1, zoom: 0.1 },
};

/** A job whose steps are long enough that more workers pay: some seconds of the MNIST net. */
export const longer: ExperimentInput = {
  name: 'longer',
  seed: 3,
  // Enough steps that a second worker is worth its joining on a quick machine, too.
  dataset: { name: 'mnist', limit: 4000 },
  evaluation: { method: 'holdout' },
  model: { preset: 'mnist-convnet' },
  training: { epochs: 10, batchSize: 64, optimizer: { name: 'rmsprop' } },
};

export const completedFolds = (results: Results): CompletedFold[] =>
  results.trials.flatMap((trial) => trial.folds.filter((fold) => fold.status === 'completed'));

/** What must be the same, to the bit, whoever computed it. */
export const bitsOf = (results: Results) =>
  completedFolds(results).map(
    ({ fold, repeat, weightsSha256, samplesSeen, steps, bestEpoch, history, validation }) => ({
      fold,
      repeat,
      weightsSha256,
      samplesSeen,
      steps,
      bestEpoch,
      history,
      validation,
    }),
  );
