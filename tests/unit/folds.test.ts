import { readFileSync } from 'node:fs';
import { EvaluationSpec } from '@crossfold/shared/config/evaluation';
import { ConfigError, ExperimentFailedError } from '@crossfold/shared/errors';
import { checkFolds } from '@crossfold/shared/folds/check';
import type { Fold } from '@crossfold/shared/folds/folds';
import { FoldsDocument, foldsDocument, makeFolds as makeFoldsOf } from '@crossfold/shared/folds/folds';
import { scarceClasses } from '@crossfold/shared/folds/kfold';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

interface Fixture {
  readonly kfold: readonly { name: string; labels: number[]; folds: number; plain: number[]; stratified: number[] }[];
  readonly holdout: readonly { name: string; labels: number[]; share: number; train: number[]; validation: number[] }[];
  readonly sizes: readonly { samples: number; share: number; train: number; validation: number }[];
  readonly document: { labels: number[]; folds: number; digest: string };
}
const sklearn: Fixture = JSON.parse(readFileSync(new URL('../fixtures/splits/sklearn.json', import.meta.url), 'utf8'));

const makeFolds = (evaluation: EvaluationSpec, labels: ArrayLike<number>, seed: number, classes?: string[]): Fold[] =>
  makeFoldsOf(evaluation, { labels, ...(classes === undefined ? {} : { classes }) }, seed);
const kfold = (over: object = {}): EvaluationSpec => EvaluationSpec.parse({ method: 'kfold', ...over });
const holdout = (over: object = {}): EvaluationSpec => EvaluationSpec.parse({ method: 'holdout', ...over });

/** The fold that each sample is validated in. */
function foldOf(folds: readonly Fold[], samples: number): number[] {
  const of = new Array<number>(samples).fill(-1);
  for (const { fold, validation } of folds) for (const index of validation) of[index] = fold;
  return of;
}

/** How many of each class, in order of the labels, are among some samples. */
function classCounts(indices: Iterable<number>, labels: readonly number[]): number[] {
  const classes = [...new Set(labels)].sort((a, b) => a - b);
  const chosen = [...indices].map((i) => labels[i]);
  return classes.map((label) => chosen.filter((of) => of === label).length);
}

const spread = (counts: readonly number[]): number => Math.max(...counts) - Math.min(...counts);

/** Labels of which each class has at least as many as there are folds. */
const splittable = fc.tuple(fc.integer({ min: 2, max: 7 }), fc.integer({ min: 1, max: 6 })).chain(([folds, classes]) =>
  fc.record({
    folds: fc.constant(folds),
    labels: fc.array(fc.integer({ min: 0, max: classes - 1 }), { maxLength: 120 }).chain((some) =>
      fc.shuffledSubarray([...some, ...Array.from({ length: classes * folds }, (_, i) => i % classes)], {
        minLength: some.length + classes * folds,
      }),
    ),
    seed: fc.integer({ min: 0, max: 0xffffffff }),
  }),
);

describe('k-fold, compared with scikit-learn', () => {
  it.each(sklearn.kfold)('$folds folds of: $name', ({ labels, folds, plain, stratified }) => {
    const ordered = (over: object): number[] =>
      foldOf(makeFolds(kfold({ folds, shuffle: false, ...over }), labels, 1), labels.length);
    expect(ordered({ stratified: false })).toEqual(plain);
    expect(ordered({ stratified: true })).toEqual(stratified);

    const countsOf = (of: readonly number[]): number[][] =>
      Array.from({ length: folds }, (_, fold) =>
        classCounts(
          of.flatMap((f, i) => (f === fold ? [i] : [])),
          labels,
        ),
      );
    const shuffled = foldOf(makeFolds(kfold({ folds }), labels, 1), labels.length);
    expect(countsOf(shuffled)).toEqual(countsOf(stratified));
  });
});

describe('classes with fewer members than folds', () => {
  const labels = [0, 1, 0, 0, 2, 1, 0, 0, 1, 0, 2, 0, 1];
  it('are told of where folds are stratified', () => {
    expect(scarceClasses(kfold({ folds: 5 }), labels)).toEqual([
      { label: 1, samples: 4, folds: 5 },
      { label: 2, samples: 2, folds: 5 },
    ]);
    expect(scarceClasses(EvaluationSpec.parse({ method: 'nested' }), labels)).toHaveLength(2);
    for (const other of [kfold({ folds: 2 }), kfold({ folds: 5, stratified: false }), holdout()])
      expect(scarceClasses(other, labels)).toEqual([]);
  });
});

describe('hold-out, compared with scikit-learn', () => {
  it.each(sklearn.holdout)('$share of: $name', ({ labels, share, train, validation }) => {
    const [fold] = makeFolds(holdout({ validation: share }), labels, 1);
    expect(classCounts(fold?.train ?? [], labels)).toEqual(train);
    expect(classCounts(fold?.validation ?? [], labels)).toEqual(validation);
  });

  it.each(sklearn.sizes)('$share of $samples samples', ({ samples, share, train, validation }) => {
    const [fold] = makeFolds(holdout({ validation: share, stratified: false }), new Uint8Array(samples), 1);
    expect([fold?.train.length, fold?.validation.length]).toEqual([train, validation]);
  });
});

describe('any split', () => {
  it('k-fold validates every sample once, in folds and classes as equal as can be', () => {
    fc.assert(
      fc.property(splittable, fc.boolean(), fc.boolean(), ({ folds, labels, seed }, stratified, shuffle) => {
        const made = makeFolds(kfold({ folds, stratified, shuffle }), labels, seed);
        const all = labels.map((_, i) => i);
        expect(made.flatMap(({ validation }) => [...validation]).sort((a, b) => a - b)).toEqual(all);
        for (const { train, validation } of made) expect([...train, ...validation].sort((a, b) => a - b)).toEqual(all);
        expect(spread(made.map(({ validation }) => validation.length))).toBeLessThanOrEqual(1);
        if (!stratified) return;
        const counts = made.map(({ validation }) => classCounts(validation, labels));
        counts[0]?.forEach((_, i) => {
          expect(spread(counts.map((of) => of[i] ?? 0))).toBeLessThanOrEqual(1);
        });
      }),
    );
  });

  it('hold-out keeps the proportions of the classes within one sample', () => {
    fc.assert(
      fc.property(splittable, ({ folds, labels, seed }) => {
        const share = 1 / folds;
        const classes = new Set(labels).size;
        const held = Math.ceil(share * labels.length);
        fc.pre(held >= classes && labels.length - held >= classes);
        const [fold] = makeFolds(holdout({ validation: share }), labels, seed);
        const total = classCounts(labels.keys(), labels);
        classCounts(fold?.train ?? [], labels).forEach((count, i) => {
          const exact = ((total[i] ?? 0) * (labels.length - held)) / labels.length;
          expect(Math.abs(count - exact)).toBeLessThan(1 + 1e-9);
        });
      }),
    );
  });

  it('follows from the seed', () => {
    const labels = Array.from({ length: 60 }, (_, i) => i % 3);
    for (const evaluation of [kfold(), kfold({ stratified: false }), holdout(), holdout({ stratified: false })]) {
      const digest = (seed: number): string => foldsDocument(makeFolds(evaluation, labels, seed)).digest;
      expect(digest(7)).toBe(digest(7));
      expect(digest(7)).not.toBe(digest(8));
    }
  });

  it('is shuffled well: each sample of a class is as likely in one fold as in another', () => {
    const labels = new Uint8Array(10);
    const times = new Array<number>(10).fill(0);
    const seeds = 1000;
    for (let seed = 0; seed < seeds; seed++)
      for (const index of makeFolds(kfold({ folds: 2 }), labels, seed)[0]?.validation ?? [])
        times[index] = (times[index] ?? 0) + 1;
    // Binomial(1000, 1/2): four standard deviations are 63.
    for (const count of times) expect(Math.abs(count - seeds / 2)).toBeLessThan(64);
  });
});

describe('what cannot be split', () => {
  const message = (evaluation: EvaluationSpec, labels: number[]): string => {
    try {
      makeFolds(evaluation, labels, 1, ['cat', 'dog']);
    } catch (error) {
      if (error instanceof ConfigError) return error.message;
      throw error;
    }
    throw new Error('it was split');
  };
  it('by stratified folds, where all classes have fewer members than there are folds', () => {
    expect(message(kfold({ folds: 6 }), [0, 1, 0, 0, 1, 0, 1, 0])).toMatch(
      /^evaluation\.folds is 6: must be at most 5, the number of samples of the largest class, "cat"/,
    );
  });
  it('fewer samples than folds', () => {
    expect(message(kfold({ folds: 4, stratified: false }), [0, 1, 0])).toBe(
      'evaluation.folds is 4: must be at most the number of samples, which is 3',
    );
  });
  it('a hold-out without all classes, or without anything to train on', () => {
    expect(message(holdout({ validation: 0.1 }), [0, 0, 0, 0, 0, 1, 1, 1])).toMatch(
      /^evaluation\.validation is 0\.1: .*2 samples/,
    );
    expect(message(holdout({ validation: 0.9, stratified: false }), [0, 1, 0, 0, 0])).toMatch(/gives 0 to train on/);
    expect(message(holdout({ validation: 0.5 }), [0, 0, 0, 0, 1])).toMatch(
      /^evaluation\.stratified is true: .*"dog" has 1/,
    );
  });
});

describe('a split that leaks is found', () => {
  const good = [
    { fold: 0, train: [2, 3], validation: [0, 1] },
    { fold: 1, train: [0, 1], validation: [2, 3] },
  ];
  const changed = (change: Partial<(typeof good)[0]>): typeof good =>
    good.map((f) => (f.fold === 1 ? { ...f, ...change } : f));
  it.each([
    ['in train and validation', changed({ train: [0, 1, 2] }), /sample 2 is in train and validation \(fold 1/],
    ['on neither side', changed({ train: [0] }), /sample 1 is on neither side/],
    ['trained on twice', changed({ train: [0, 1, 1] }), /sample 1 is trained on twice/],
    ['validated twice', changed({ train: [0, 3], validation: [1, 2] }), /sample 1 is validated in fold 0 as well/],
    ['no sample at all', changed({ train: [0, 1, 4] }), /sample 4 is not one of the 4/],
    ['validated nowhere', changed({ train: [0, 1, 3], validation: [2] }), /sample 3 is validated in no fold/],
    ['nothing to validate on', changed({ train: [0, 1, 2, 3], validation: [] }), /0 to validate on/],
  ])('%s', (_, folds, reason) => {
    expect(() => checkFolds(good, 4)).not.toThrow();
    expect(() => checkFolds(folds, 4)).toThrow(ExperimentFailedError);
    expect(() => checkFolds(folds, 4)).toThrow(reason);
  });
});

describe('the folds document', () => {
  it("has the digest that Python computes from scikit-learn's split", () => {
    const { labels, folds, digest } = sklearn.document;
    expect(foldsDocument(makeFolds(kfold({ folds, shuffle: false }), labels, 1)).digest).toBe(digest);
  });
  it('reads back as it was written', () => {
    const document = foldsDocument(
      makeFolds(
        kfold(),
        Array.from({ length: 40 }, (_, i) => i % 4),
        3,
      ),
    );
    expect(FoldsDocument.parse(JSON.parse(JSON.stringify(document)))).toEqual(document);
    expect(Object.keys(document.folds[0] ?? {})).toEqual(['fold', 'train', 'validation']);
  });
});

describe('evaluation in an experiment file', () => {
  it('is five stratified folds by default', () => {
    expect(EvaluationSpec.parse(undefined)).toEqual({ method: 'kfold', folds: 5, stratified: true, shuffle: true });
    expect(EvaluationSpec.parse({ method: 'holdout' })).toEqual({
      method: 'holdout',
      validation: 0.2,
      stratified: true,
    });
  });
});
