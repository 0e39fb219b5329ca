import { TrainingSpec } from '@crossfold/shared/config/training';
import { learningRateAt } from '@crossfold/worker/engine/schedule';
import { describe, expect, it } from 'vitest';

const training = (given: object): TrainingSpec =>
  TrainingSpec.parse({ epochs: 10, optimizer: { name: 'sgd', learningRate: 0.8 }, ...given });

const stepsPerEpoch = 4;
const rateAt = (spec: TrainingSpec, update: number, valLoss: number[] = [], valAccuracy: number[] = []): number =>
  learningRateAt(spec, {
    epoch: Math.floor(update / stepsPerEpoch),
    update,
    updates: spec.epochs * stepsPerEpoch,
    history: { valLoss, valAccuracy },
  });

describe('the learning rate', () => {
  it("is the optimizer's own without a schedule", () => {
    expect(rateAt(training({}), 0)).toBe(0.8);
    expect(rateAt(training({}), 39)).toBe(0.8);
  });

  it('rises in equal steps while warming up, and reaches the full rate with the last of them', () => {
    const spec = training({ warmUpSteps: 4 });
    expect([0, 1, 2, 3, 4].map((update) => rateAt(spec, update))).toEqual([0.2, 0.4, 0.6000000000000001, 0.8, 0.8]);
  });

  it('falls step by step', () => {
    const spec = training({ schedule: { name: 'step', everyEpochs: 2, factor: 0.5 } });
    expect([0, 7, 8, 15, 16, 39].map((update) => rateAt(spec, update))).toEqual([0.8, 0.8, 0.4, 0.4, 0.2, 0.05]);
  });

  it('falls along half a cosine', () => {
    const spec = training({ schedule: { name: 'cosine', minimum: 0.25 } });
    expect(rateAt(spec, 0)).toBe(0.8);
    expect(rateAt(spec, 20)).toBeCloseTo(0.8 * 0.625, 12);
    expect(rateAt(spec, 39)).toBeGreaterThan(0.2);
    expect(rateAt(spec, 39)).toBeLessThan(0.205);
  });

  it('falls on a plateau after `patience` epochs without progress, and begins to count anew', () => {
    const spec = training({ schedule: { name: 'plateau', factor: 0.5, patience: 2, minDelta: 0.01, minimum: 0.15 } });
    const rated = (...valLoss: number[]): number => rateAt(spec, 4 * valLoss.length, valLoss);
    expect(rated()).toBe(0.8);
    expect(rated(1, 0.9, 0.89)).toBe(0.8);
    // 0.895 is no progress by more than 0.01.
    expect(rated(1, 0.9, 0.895, 0.895)).toBe(0.4);
    expect(rated(1, 0.9, 0.895, 0.895, 0.95)).toBe(0.4);
    expect(rated(1, 0.9, 0.895, 0.895, 0.95, 0.93)).toBe(0.2);
    expect(rated(1, 0.9, 0.895, 0.895, 0.95, 0.93, 0.9, 0.9)).toBe(0.15);
    expect(rated(1, 0.9, 0.895, 0.895, 0.95, 0.5, 0.6)).toBe(0.4);
  });

  it('can watch the accuracy', () => {
    const spec = training({
      schedule: { name: 'plateau', monitor: 'valAccuracy', patience: 1, factor: 0.5, minDelta: 0 },
    });
    expect(rateAt(spec, 8, [1, 2], [0.5, 0.6])).toBe(0.8);
    expect(rateAt(spec, 8, [2, 1], [0.6, 0.5])).toBe(0.4);
  });
});
