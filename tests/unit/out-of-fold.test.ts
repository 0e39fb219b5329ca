import { pooledFindings } from '@crossfold/coordinator/results/out-of-fold';
import { reliabilityOf } from '@crossfold/shared/metrics/calibration';
import { expect, it } from 'vitest';

const picture = 'data:image/png;base64,AAAA';
const mistake = (sample: number, confidence: number) => ({
  sample,
  label: 0,
  predicted: 1,
  confidence,
  loss: 1,
  picture,
});

it('findings of folds are those of all of their samples together', () => {
  const all = [0.15, 0.35, 0.38, 0.62, 0.91, 0.97, 1, 0.99];
  const right = [false, true, false, true, true, true, false, true];
  const of = (from: number, to: number) =>
    reliabilityOf(all.slice(from, to), (sample) => right[from + sample] ?? false);
  const pooled = pooledFindings([
    { repeat: 0, fold: 0, reliability: of(0, 3), mistakes: [mistake(4, 0.8), mistake(9, 0.6)] },
    { repeat: 0, fold: 1, reliability: of(3, 8), mistakes: [mistake(7, 0.9)] },
    // The same sample in another repeat: the more confident mistake counts.
    { repeat: 1, fold: 0, reliability: of(0, 0), mistakes: [mistake(9, 0.95)] },
  ]);
  const whole = of(0, 8);
  expect(pooled?.samples).toBe(8);
  expect(pooled?.reliability.error).toBeCloseTo(whole.error, 12);
  expect(pooled?.reliability.bins.map(({ from, samples }) => [from, samples])).toEqual(
    whole.bins.map(({ from, samples }) => [from, samples]),
  );
  for (const [i, { confidence, accuracy }] of whole.bins.entries()) {
    expect(pooled?.reliability.bins[i]?.confidence).toBeCloseTo(confidence, 12);
    expect(pooled?.reliability.bins[i]?.accuracy).toBeCloseTo(accuracy, 12);
  }
  expect(pooled?.mistakes.map(({ sample, repeat, fold }) => [sample, repeat, fold])).toEqual([
    [9, 1, 0],
    [7, 0, 1],
    [4, 0, 0],
  ]);
});

it('there are none without folds, and twelve of many', () => {
  expect(pooledFindings([])).toBeUndefined();
  const reliability = reliabilityOf([0.5], () => false);
  const mistakes = Array.from({ length: 12 }, (_, i) => mistake(i, 0.5 + i / 100));
  const two = [0, 1].map((fold) => ({
    repeat: 0,
    fold,
    reliability,
    mistakes: mistakes.map((each) => ({ ...each, sample: each.sample + 100 * fold })),
  }));
  expect(pooledFindings(two)?.mistakes.map(({ sample }) => sample)).toEqual([
    11, 111, 10, 110, 9, 109, 8, 108, 7, 107, 6, 106,
  ]);
});
