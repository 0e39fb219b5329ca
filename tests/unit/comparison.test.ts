import { compareTrials, falseDiscovery } from '@crossfold/shared/metrics/comparison';
import { type PlacedScore, spreadOfRepeats } from '@crossfold/shared/metrics/repeats';
import { sampleStd } from '@crossfold/shared/metrics/summary';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

const placed = (...values: number[]): PlacedScore[] =>
  values.map((value, fold) => ({ value, fold, repeat: 0, trainSamples: 80, validationSamples: 20 }));

describe('a paired comparison', () => {
  it('is the corrected resampled t-test', () => {
    const found = compareTrials(placed(0.9, 0.92, 0.91, 0.95, 0.9), placed(0.88, 0.91, 0.9, 0.91, 0.89));
    const differences = [0.02, 0.01, 0.01, 0.04, 0.01];
    // t of 4 degrees of freedom: 0.018 / (std sqrt(1 / 5 + 20 / 80)).
    const error = sampleStd(differences) * Math.sqrt(0.45);
    expect(found?.difference).toBeCloseTo(0.018, 12);
    expect(found?.ci95[0]).toBeCloseTo(0.018 - 2.7764451051977987 * error, 10);
    expect(found?.folds).toBe(5);
    // From SciPy 1.17: 2 * stats.t.sf(0.018 / (np.std(d, ddof=1) * 0.45 ** 0.5), 4)
    expect(found?.p).toBeCloseTo(0.1087009513, 9);
  });

  it('counts folds once where all repeats have the same split', () => {
    const again = (scores: PlacedScore[]) => scores.map((score) => ({ ...score, repeat: 1 }));
    const [a, b] = [placed(0.9, 0.92, 0.91), placed(0.88, 0.91, 0.88)];
    const once = compareTrials(a, b);
    const twice = compareTrials([...a, ...again(a)], [...b, ...again(b)], true);
    expect(twice).toEqual(once);
    expect(compareTrials([...a, ...again(a)], [...b, ...again(b)])?.p).toBeLessThan(once?.p ?? 0);
  });

  it('tells the spread of initialisation from that of the split', () => {
    const at = (repeat: number, ...values: number[]) => placed(...values).map((score) => ({ ...score, repeat }));
    const spread = spreadOfRepeats([...at(0, 0.9, 0.8), ...at(1, 0.92, 0.82)]);
    // Two repeats that are 0.02 apart, twice; folds whose means are 0.1 apart.
    expect(spread?.initialisation).toBeCloseTo(0.02 / Math.SQRT2, 12);
    expect(spread?.split).toBeCloseTo(0.1 / Math.SQRT2, 12);
    expect(spreadOfRepeats(at(0, 0.9, 0.8))).toBeUndefined();
  });

  it('takes only the folds that both have, by repeat and fold', () => {
    const later = placed(0.7, 0.8).map((score) => ({ ...score, repeat: 1 }));
    const found = compareTrials([...placed(0.9, 0.9), ...later], [...placed(0.8, 0.7), ...later.slice(1)]);
    expect(found).toMatchObject({ folds: 3, difference: expect.closeTo(0.1, 12) });
    expect(compareTrials(placed(0.9, 0.9), placed(0.8))).toBeUndefined();
  });

  it('of equals finds nothing, of a constant difference what its signs tell', () => {
    expect(compareTrials(placed(0.5, 0.75), placed(0.5, 0.75))?.p).toBe(1);
    expect(compareTrials(placed(0.5, 0.75), placed(0.25, 0.5))).toMatchObject({ p: 0.5, ci95: [] });
    // Differences that are equal but for rounding.
    const [high, low] = [placed(0.9, 0.8, 0.7, 0.6, 0.5), placed(0.8, 0.7, 0.6, 0.5, 0.4)];
    expect(compareTrials(high, low)).toMatchObject({ p: 1 / 16, ci95: [], difference: expect.closeTo(0.1, 12) });
    expect(compareTrials(low, high)?.p).toBe(1 / 16);
  });
});

describe("Benjamini and Hochberg's adjustment", () => {
  it('is as in R: p.adjust(c(0.01, 0.04, 0.03, 0.005), "BH")', () => {
    expect(falseDiscovery([0.01, 0.04, 0.03, 0.005])).toEqual(
      [0.02, 0.04, 0.04, 0.02].map((p) => expect.closeTo(p, 12)),
    );
  });

  it('never makes a p-value smaller, and keeps their order', () => {
    fc.assert(
      fc.property(fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { maxLength: 20 }), (pValues) => {
        const adjusted = falseDiscovery(pValues);
        adjusted.forEach((p, i) => {
          expect(p).toBeGreaterThanOrEqual(pValues[i] ?? 0);
          expect(p).toBeLessThanOrEqual(1);
          adjusted.forEach((other, j) => {
            if ((pValues[i] ?? 0) < (pValues[j] ?? 0)) expect(p).toBeLessThanOrEqual(other);
          });
        });
      }),
    );
  });
});
