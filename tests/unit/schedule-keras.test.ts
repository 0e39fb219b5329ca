import { TrainingSpec } from '@crossfold/shared/config/training';
import { createOptimizer } from '@crossfold/worker/engine/optimizers';
import { learningRateAt } from '@crossfold/worker/engine/schedule';
import { earlyStopping } from '@crossfold/worker/job/actions';
import { describe, expect, it } from 'vitest';
import { relativeError } from '../support/engine.ts';
import { kerasSchedules } from '../support/keras.ts';

const { schedules, warmUp, plateaus, stops, updates } = kerasSchedules();
const nothing = { valLoss: [], valAccuracy: [] };
/** Keras computes rates in float32, ours are float64. */
const close = 2 ** -23;

/** The rate of each update of a training, its first `count` ones. */
const ratesOf = (training: TrainingSpec, stepsPerEpoch: number, count: number): number[] =>
  Array.from({ length: count }, (_, update) =>
    learningRateAt(training, {
      epoch: Math.floor(update / stepsPerEpoch),
      update,
      updates: training.epochs * stepsPerEpoch,
      history: nothing,
    }),
  );

describe('the learning rate of every update, as in Keras', () => {
  it.each(schedules)('$name', ({ training, stepsPerEpoch, rates }) => {
    expect(rates).toHaveLength(training.epochs * stepsPerEpoch);
    expect(relativeError(ratesOf(training, stepsPerEpoch, rates.length), rates)).toBeLessThan(close);
  });

  it.each(warmUp)("CosineDecay's warm-up of $steps updates, without its first of rate 0", (given) => {
    const { steps, learningRate, rates } = given;
    const training = TrainingSpec.parse({ epochs: 9, optimizer: { name: 'sgd', learningRate }, warmUpSteps: steps });
    const [first, ...others] = rates;
    expect(first).toBe(0);
    expect(relativeError(ratesOf(training, 4, others.length), others)).toBeLessThan(close);
  });

  it.each(schedules)('$name, times the warm-up', ({ training, stepsPerEpoch, rates }) => {
    const ramp = warmUp[0]?.rates.slice(1) ?? [];
    const full = warmUp[0]?.learningRate ?? 1;
    const warmed = ratesOf({ ...training, warmUpSteps: warmUp[0]?.steps ?? 0 }, stepsPerEpoch, rates.length);
    const product = rates.map((rate, update) => (rate * (ramp[update] ?? full)) / full);
    expect(relativeError(warmed, product)).toBeLessThan(2 * close);
  });

  it.each(plateaus.map((given) => [JSON.stringify(given.schedule), given.values.length, given] as const))(
    'ReduceLROnPlateau: %s over %d epochs',
    (_name, _epochs, { learningRate, schedule, values, rates }) => {
      const training = TrainingSpec.parse({ epochs: 99, optimizer: { name: 'sgd', learningRate }, schedule });
      const watched = schedule.name === 'plateau' ? schedule.monitor : 'valLoss';
      let lowered = 0;
      rates.forEach((rate, epoch) => {
        if (epoch > 0 && rate !== rates[epoch - 1]) lowered++;
        const history = { ...nothing, [watched]: values.slice(0, epoch) };
        const ours = learningRateAt(training, { epoch, update: 4 * epoch, updates: 396, history });
        // Keras rounds whenever it lowers.
        expect(Math.abs(ours - rate)).toBeLessThanOrEqual(close * (1 + lowered) * rate);
      });
    },
  );

  it('in ten updates by AdamW under a cosine', () => {
    const { training } = updates;
    const optimizer = createOptimizer(training.optimizer);
    const weights = Float32Array.from(updates.weights);
    const state = new Float32Array(optimizer.slots * weights.length).fill(optimizer.initial);
    const rates = ratesOf(training, 1, 10);
    updates.gradients.forEach((given, i) => {
      const learningRate = rates[i] ?? 0;
      optimizer.apply(
        { weights, gradient: Float32Array.from(given), divisor: 1, state, learningRate, step: i + 1 },
        { from: 0, to: weights.length },
      );
      expect(relativeError(weights, updates.steps[i] ?? [])).toBeLessThan(4e-6);
    });
  });
});

describe("the end of a training and its best epoch, as by Keras' EarlyStopping", () => {
  it.each(stops.map((given) => [JSON.stringify(given.earlyStopping), given] as const))('%s', (_, given) => {
    const { earlyStopping: rule, values, epochs, ended, bestEpoch } = given;
    const stoppedAt = (count: number) =>
      earlyStopping(
        { earlyStopping: rule },
        {
          loss: [],
          accuracy: [],
          valLoss: [],
          valAccuracy: [],
          seconds: [],
          [rule.monitor]: values.slice(0, count),
        },
      );
    for (let count = 1; count < epochs; count++) expect(stoppedAt(count)?.ended).toBe(false);
    expect(stoppedAt(epochs)).toEqual({ bestEpoch, ended, restoreBest: true });
  });
});
