import { readFileSync } from 'node:fs';
import { calibrationOf, probabilitiesOf } from '@crossfold/shared/metrics/calibration';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';

const { cases } = z
  .object({
    cases: z.array(
      z.object({
        classes: z.int(),
        probabilities: z.array(z.number()),
        labels: z.array(z.int()),
        error: z.number(),
        brier: z.number(),
      }),
    ),
  })
  .parse(JSON.parse(readFileSync(new URL('../fixtures/calibration/sklearn.json', import.meta.url), 'utf8')));

describe('calibration', () => {
  it.each(cases)("is scikit-learn's for $classes classes", ({ classes, probabilities, labels, error, brier }) => {
    const found = calibrationOf(Float32Array.from(probabilities), labels, classes);
    expect(found.error).toBeCloseTo(error, 6);
    expect(found.brier).toBeCloseTo(brier, 6);
    expect(found.bins.reduce((sum, bin) => sum + bin.samples, 0)).toBe(labels.length);
    for (const { from, to, confidence } of found.bins) {
      expect(confidence).toBeGreaterThanOrEqual(from - 1e-6);
      expect(confidence).toBeLessThanOrEqual(to + 1e-6);
    }
  });

  it('takes a single output for the probability of class 1', () => {
    expect([...probabilitiesOf(Float32Array.of(0.25, 1), 1)]).toEqual([0.75, 0.25, 0, 1]);
  });
});
