import { readFileSync } from 'node:fs';
import { ExperimentFailedError } from '@crossfold/shared/errors';
import { outputsPerSample, scoreCounts, scoreOutputs } from '@crossfold/shared/metrics/scores';
import { studentTCdf, studentTQuantile, studentTTwoSided } from '@crossfold/shared/metrics/student-t';
import { summarize } from '@crossfold/shared/metrics/summary';
import { Scores } from '@crossfold/shared/results';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

interface Fixture {
  readonly scores: readonly {
    readonly name: string;
    readonly classes: number;
    readonly labels: readonly number[];
    readonly predicted: readonly number[];
    readonly accuracy: number;
    readonly confusionMatrix: readonly (readonly number[])[];
    readonly precision: readonly number[];
    readonly recall: readonly number[];
    readonly f1: readonly number[];
    readonly scores?: readonly number[];
    readonly rocAuc?: number;
  }[];
  readonly student: readonly {
    readonly freedom: number;
    readonly probability: number;
    readonly t: number;
    readonly twoSided: number;
  }[];
}
const fixture: Fixture = JSON.parse(readFileSync(new URL('../fixtures/scores/sklearn.json', import.meta.url), 'utf8'));

/** Outputs as an evaluation gives them. */
function outputsOf(predicted: readonly number[], losses: readonly number[] = [], scores: readonly number[] = []) {
  const outputs = new Float32Array(predicted.length * outputsPerSample);
  predicted.forEach((label, i) => {
    outputs.set([losses[i] ?? 0, label, scores[i] ?? 0], i * outputsPerSample);
  });
  return outputs;
}

const close = (found: readonly number[], expected: readonly number[]): void => {
  expect(found.length).toBe(expected.length);
  found.forEach((value, i) => {
    expect(value).toBeCloseTo(expected[i] ?? Number.NaN, 12);
  });
};

describe("scores are scikit-learn's", () => {
  it.each(fixture.scores.map((each) => [each.name, each] as const))('%s', (_, each) => {
    const found = scoreOutputs(outputsOf(each.predicted, [], each.scores), Int32Array.from(each.labels), each.classes);
    expect(Scores.parse(found)).toEqual(found);
    expect(found.confusionMatrix).toEqual(each.confusionMatrix);
    expect(found.accuracy).toBeCloseTo(each.accuracy, 12);
    close(found.precision, each.precision);
    close(found.recall, each.recall);
    close(found.f1, each.f1);
    if (each.rocAuc === undefined) expect(found.rocAuc).toBeUndefined();
    else expect(found.rocAuc).toBeCloseTo(each.rocAuc, 12);
  });
});

describe('scores', () => {
  const labels = (...classes: number[]): Int32Array => Int32Array.from(classes);

  it('take the mean of the losses in float64, in order of the samples', () => {
    const losses = Array.from({ length: 1000 }, (_, i) => Math.fround(0.1 + i * 1e-4));
    const found = scoreOutputs(outputsOf(new Array(1000).fill(0), losses), new Int32Array(1000), 1);
    expect(found.loss).toBe(losses.reduce((sum, loss) => sum + loss, 0) / 1000);
  });

  it('have no area under the curve where one of two classes does not occur', () => {
    expect(scoreOutputs(outputsOf([0, 1], [], [0.2, 0.9]), labels(1, 1), 2)).not.toHaveProperty('rocAuc');
  });

  it('of a diverged model are an error that says so', () => {
    const outputs = outputsOf([0, 1], [Number.NaN, 1]);
    expect(() => scoreOutputs(outputs, labels(0, 1), 2)).toThrow(ExperimentFailedError);
    expect(() => scoreOutputs(outputs, labels(0, 1), 2)).toThrow(/diverged.*learningRate/);
  });

  it('are of as many outputs as there are samples, each of a class that there is', () => {
    expect(() => scoreOutputs(outputsOf([0, 1]), labels(0), 2)).toThrow('6 outputs for 1 samples');
    expect(() => scoreOutputs(outputsOf([2]), labels(0), 2)).toThrow('predicted to be of class 2, of 2');
    expect(() => scoreOutputs(outputsOf([0]), labels(7), 2)).toThrow('of class 7');
  });

  it('of counts added up are those of all samples together', () => {
    const some = fc.array(fc.tuple(fc.integer({ min: 0, max: 3 }), fc.integer({ min: 0, max: 3 })), { minLength: 1 });
    const scored = (pairs: readonly (readonly [number, number])[]) =>
      scoreOutputs(
        outputsOf(pairs.map(([, p]) => p)),
        Int32Array.from(pairs, ([t]) => t),
        4,
      );
    fc.assert(
      fc.property(some, some, (a, b) => {
        const [one, two] = [scored(a).confusionMatrix, scored(b).confusionMatrix];
        const sum = one.map((row, t) => row.map((n, p) => n + (two[t]?.[p] ?? 0)));
        expect({ loss: 0, ...scoreCounts(sum) }).toEqual(scored([...a, ...b]));
      }),
    );
  });
});

describe("Student's t is SciPy's", () => {
  it.each(fixture.student.map((each) => [each.freedom, each.probability, each] as const))(
    '%d degrees of freedom, probability %d',
    (freedom, probability, { t, twoSided }) => {
      expect(studentTQuantile(probability, freedom) / t).toBeCloseTo(1, 9);
      expect(studentTCdf(t, freedom)).toBeCloseTo(probability, 12);
      expect(studentTTwoSided(t, freedom) / twoSided).toBeCloseTo(1, 9);
    },
  );

  it('has no quantile of 0 or 1', () => {
    expect(() => studentTQuantile(1, 3)).toThrow(RangeError);
    expect(() => studentTQuantile(0, 3)).toThrow(RangeError);
  });
});

describe('a summary over folds', () => {
  const folds = (...values: number[]) => values.map((value) => ({ value, trainSamples: 80, validationSamples: 20 }));

  it('has mean, sample standard deviation and the corrected interval', () => {
    const summary = summarize(folds(0.9, 0.92, 0.94, 0.91, 0.93));
    expect(summary).toMatchObject({ min: 0.9, max: 0.94, mean: expect.closeTo(0.92, 12) });
    expect(summary?.std).toBeCloseTo(Math.sqrt(0.001 / 4), 12);
    // Five folds: t of 4 degrees of freedom is 2.776445, and 1 / 5 + 20 / 80 is 0.45.
    const half = 2.7764451051977987 * Math.sqrt(0.45 * (0.001 / 4));
    expect(summary?.ci95).toEqual([expect.closeTo(0.92 - half, 10), expect.closeTo(0.92 + half, 10)]);
  });

  it('of a single fold has no spread and no interval', () => {
    expect(summarize(folds(0.9))).toEqual({ mean: 0.9, std: 0, min: 0.9, max: 0.9, ci95: [] });
  });

  it('of folds that came out equal has no interval: equal scores are no certainty', () => {
    expect(summarize(folds(0.9, 0.9, 0.9))).toMatchObject({ mean: expect.closeTo(0.9, 12), ci95: [] });
    expect(summarize(folds(0.9, 0.9, 0.9001))?.ci95).toHaveLength(2);
  });

  it('of no fold is none', () => {
    expect(summarize([])).toBeUndefined();
  });
});
