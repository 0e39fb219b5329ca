import { readFileSync } from 'node:fs';
import { EvaluationSpec } from '@crossfold/shared/config/evaluation';
import { ConfigError } from '@crossfold/shared/errors';
import { checkFolds } from '@crossfold/shared/folds/check';
import type { Fold } from '@crossfold/shared/folds/folds';
import { FoldsDocument, foldsDocument, makeFolds } from '@crossfold/shared/folds/folds';
import type { SplitSamples } from '@crossfold/shared/folds/samples';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

interface Fixture {
  readonly groups: readonly {
    name: string;
    labels: number[];
    groups: string[];
    folds: number;
    plain: number[];
    stratified: number[];
  }[];
  readonly predefined: readonly { column: number[]; validation: number[][] }[];
}
const sklearn: Fixture = JSON.parse(readFileSync(new URL('../fixtures/splits/sklearn.json', import.meta.url), 'utf8'));

const evaluation = (spec: object): EvaluationSpec => EvaluationSpec.parse(spec);
const groupKFold = (over: object = {}): EvaluationSpec =>
  evaluation({ method: 'group-kfold', groupBy: { column: 'patient' }, ...over });
const grouped = (labels: ArrayLike<number>, patient: string[]): SplitSamples => ({ labels, columns: { patient } });
const message = (spec: EvaluationSpec, samples: SplitSamples): string => {
  try {
    makeFolds(spec, samples, 1);
  } catch (error) {
    if (error instanceof ConfigError) return error.message;
    throw error;
  }
  throw new Error('it was split');
};

/** The fold that each sample is validated in. */
function foldOf(folds: readonly Fold[], samples: number): number[] {
  const of = new Array<number>(samples).fill(-1);
  for (const { fold, validation } of folds) for (const index of validation) of[index] = fold;
  return of;
}
const cycling = (count: number, classes: number): number[] => Array.from({ length: count }, (_, i) => i % classes);

describe('group k-fold', () => {
  it.each(sklearn.groups)("deals out as scikit-learn's: $folds folds of $name", ({ labels, groups, folds, ...of }) => {
    const dealt = (stratified: boolean): number[] =>
      foldOf(makeFolds(groupKFold({ folds, stratified, shuffle: false }), grouped(labels, groups), 1), labels.length);
    expect(dealt(false)).toEqual(of.plain);
    expect(dealt(true)).toEqual(of.stratified);
  });

  it('is refused, stratified, where every class has fewer samples than there are folds, as in scikit-learn', () => {
    const few = grouped([0, 0, 1, 1, 2, 2], ['a', 'b', 'c', 'd', 'e', 'f']);
    expect(() => makeFolds(groupKFold({ folds: 3, stratified: true }), few, 1)).toThrow(
      'evaluation.folds is 3: must be at most 2, the number of samples of the largest class',
    );
    expect(makeFolds(groupKFold({ folds: 3, stratified: false }), few, 1)).toHaveLength(3);
  });

  it('parts no group, shuffled or not', () => {
    const some = fc.integer({ min: 2, max: 5 }).chain((folds) =>
      fc.record({
        folds: fc.constant(folds),
        seed: fc.integer({ min: 0, max: 1000 }),
        samples: fc.array(fc.record({ label: fc.nat(2), group: fc.nat(11) }), { minLength: 60, maxLength: 90 }),
      }),
    );
    fc.assert(
      fc.property(some, fc.boolean(), fc.boolean(), ({ folds, samples, seed }, stratified, shuffle) => {
        const groups = samples.map(({ group }) => `g${group}`);
        fc.pre(new Set(groups).size >= 2 * folds);
        const labels = samples.map(({ label }) => label);
        const made = makeFolds(groupKFold({ folds, stratified, shuffle }), grouped(labels, groups), seed);
        const of = foldOf(made, labels.length);
        expect(new Set(of)).toEqual(new Set(Array.from({ length: folds }, (_, i) => i)));
        for (const group of new Set(groups))
          expect(new Set(of.filter((_, i) => groups[i] === group)).size, group).toBe(1);
      }),
    );
  });

  it('follows from the seed where it is shuffled, and not where it is not', () => {
    const samples = grouped(
      cycling(60, 3),
      cycling(60, 20).map((g) => `g${g}`),
    );
    for (const stratified of [true, false]) {
      const digest = (shuffle: boolean, seed: number): string =>
        foldsDocument(makeFolds(groupKFold({ shuffle, stratified }), samples, seed)).digest;
      expect(digest(true, 1)).not.toBe(digest(true, 2));
      expect(digest(true, 1)).toBe(digest(true, 1));
      expect(digest(false, 1)).toBe(digest(false, 2));
    }
  });

  it('groups by a folder of the name, counted from the file', () => {
    const names = ['train/cat/ann/1.jpg', 'train/cat/ben/1.jpg', 'train/dog/ann/1.jpg', 'train/dog/cy/1.jpg'];
    const by = (folder: number): number[] => {
      const spec = groupKFold({ groupBy: { folder }, folds: 2, stratified: false });
      return foldOf(makeFolds(spec, { labels: [0, 0, 1, 1], names }, 1), 4);
    };
    expect(by(1)[0]).toBe(by(1)[2]);
    const classes = by(2);
    expect([classes[0], classes[2]]).toEqual([classes[1], classes[3]]);
    expect(message(groupKFold({ groupBy: { folder: 4 } }), { labels: [0, 0, 1, 1], names })).toBe(
      'evaluation.groupBy.folder is 4: must be at most 3, the number of folders that train/cat/ann/1.jpg lies in',
    );
  });

  it('says what is missing', () => {
    expect(message(groupKFold(), { labels: [0, 1] })).toMatch(
      /^evaluation\.groupBy\.column is "patient": needs a data set that comes with a table/,
    );
    expect(message(groupKFold(), { labels: [0, 1], columns: { age: ['1', '2'] } })).toMatch(/which has age$/);
    expect(message(groupKFold({ groupBy: { folder: 1 } }), { labels: [0, 1] })).toMatch(/needs a data set of pictures/);
    expect(message(groupKFold({ folds: 3 }), grouped(cycling(9, 3), cycling(9, 2).map(String)))).toBe(
      'evaluation.folds is 3: must be at most the number of groups, which is 2',
    );
  });
});

describe('repeated k-fold', () => {
  const labels = cycling(40, 4);
  const repeated = (over: object = {}): Fold[] =>
    makeFolds(evaluation({ method: 'repeated-kfold', folds: 4, repeats: 3, ...over }), { labels }, 7);

  it('is k-fold, each time anew', () => {
    const folds = repeated();
    expect(folds.map(({ repeat, fold }) => `${repeat}.${fold}`)).toEqual(
      [0, 1, 2].flatMap((repeat) => [0, 1, 2, 3].map((fold) => `${repeat}.${fold}`)),
    );
    const of = (repeat: number): number[] =>
      foldOf(
        folds.filter((f) => f.repeat === repeat),
        40,
      );
    expect(of(0)).toEqual(foldOf(makeFolds(evaluation({ method: 'kfold', folds: 4 }), { labels }, 7), 40));
    expect(of(1)).not.toEqual(of(0));
    expect(of(2)).not.toEqual(of(1));
  });

  it('keeps the split where only the noise of training is of interest', () => {
    const folds = repeated({ resplit: false });
    const of = (repeat: number): number[] =>
      foldOf(
        folds.filter((f) => f.repeat === repeat),
        40,
      );
    expect(of(1)).toEqual(of(0));
    expect(of(2)).toEqual(of(0));
  });
});

describe('leave-one-out', () => {
  it('validates each sample alone', () => {
    const folds = makeFolds(evaluation({ method: 'leave-one-out' }), { labels: [0, 1, 1, 0] }, 1);
    expect(folds.map(({ train, validation }) => [[...train], [...validation]])).toEqual([
      [[1, 2, 3], [0]],
      [[0, 2, 3], [1]],
      [[0, 1, 3], [2]],
      [[0, 1, 2], [3]],
    ]);
  });
  it('is refused where it could not be written down, and for a single sample', () => {
    expect(message(evaluation({ method: 'leave-one-out' }), { labels: new Uint8Array(60_000) })).toMatch(
      /^evaluation\.method is leave-one-out: makes 60000 folds of 60000 samples/,
    );
    expect(message(evaluation({ method: 'leave-one-out' }), { labels: [0] })).toMatch(/at least 2 samples/);
  });
});

describe('predefined', () => {
  it.each(sklearn.predefined)("has the folds of a column as scikit-learn's PredefinedSplit: $column", (fixture) => {
    const part = fixture.column.map((value) => (value === -1 ? '' : String(value)));
    const spec = evaluation({ method: 'predefined', column: 'part' });
    const folds = makeFolds(spec, { labels: new Uint8Array(part.length), columns: { part } }, 1);
    expect(folds.map(({ validation }) => [...validation])).toEqual(fixture.validation);
    for (const { train, validation } of folds) expect(train.length + validation.length).toBe(part.length);
  });

  it("has the data set's own parts", () => {
    const [fold, ...others] = makeFolds(
      evaluation({ method: 'predefined' }),
      { labels: [0, 1, 0, 1, 0], validationFrom: 3 },
      1,
    );
    expect([[...(fold?.train ?? [])], [...(fold?.validation ?? [])], others]).toEqual([[0, 1, 2], [3, 4], []]);
  });

  it('says what is missing', () => {
    expect(message(evaluation({ method: 'predefined' }), { labels: [0, 1] })).toMatch(
      /^evaluation\.method is predefined: needs a data set that comes with a validation part/,
    );
    const lopsided = { labels: [0, 1, 0, 1, 1], validationFrom: 3, classes: ['cats', 'dogs'] };
    expect(message(evaluation({ method: 'predefined' }), lopsided)).toMatch(/samples of one class only, "dogs"/);
    const column = (part: string[]): string =>
      message(evaluation({ method: 'predefined', column: 'part' }), { labels: part.map(() => 0), columns: { part } });
    expect(column(['0', 'x'])).toMatch(/sample 1 has "x"/);
    expect(column(['-1', '-1'])).toMatch(/at least one sample/);
    expect(column(['4', '4'])).toMatch(/every sample into fold 4/);
  });
});

describe('nested', () => {
  const spec = (over: object = {}): EvaluationSpec =>
    evaluation({ method: 'nested', outer: { method: 'kfold', folds: 4 }, ...over });
  const labels = cycling(72, 3);

  it('splits the training samples of each outer fold, and touches nothing else', () => {
    const folds = makeFolds(spec(), { labels }, 5);
    expect(folds.map(({ fold, within }) => [fold, within])).toEqual([
      ...[0, 1, 2, 3].map((fold) => [fold, undefined]),
      ...[4, 5, 6].map((fold) => [fold, 0]),
      ...[7, 8, 9].map((fold) => [fold, 1]),
      ...[10, 11, 12].map((fold) => [fold, 2]),
      ...[13, 14, 15].map((fold) => [fold, 3]),
    ]);
    for (const outer of folds.slice(0, 4)) {
      const inner = folds.filter(({ within }) => within === outer.fold);
      expect(inner.flatMap(({ validation }) => [...validation]).sort((a, b) => a - b)).toEqual([...outer.train]);
      for (const { train, validation } of inner)
        expect([...train, ...validation].sort((a, b) => a - b)).toEqual([...outer.train]);
    }
    expect(foldOf(folds.slice(0, 4), 72)).toEqual(
      foldOf(makeFolds(evaluation({ method: 'kfold', folds: 4 }), { labels }, 5), 72),
    );
  });

  it('names the inner split where it parts what the outer one keeps together', () => {
    const patient = cycling(72, 24).map((p) => `p${p}`);
    const outer = { method: 'group-kfold', groupBy: { column: 'patient' } };
    for (const inner of [{ method: 'kfold' }, { method: 'holdout' }])
      expect(message(spec({ outer, inner }), grouped(labels, patient))).toMatch(
        /^evaluation\.inner\.method is \w+: must keep together what evaluation\.outer does, and parts the group "p\d+"/,
      );
    // Groups of one sample each cannot be parted.
    const alone = cycling(72, 72).map((p) => `p${p}`);
    expect(makeFolds(spec({ outer, inner: { method: 'kfold' } }), grouped(labels, alone), 1)).toHaveLength(20);
  });

  it('can hold out inside, and keep groups together at both levels', () => {
    const held = makeFolds(spec({ inner: { method: 'holdout' } }), { labels }, 5);
    expect(held.map(({ within }) => within)).toEqual([undefined, undefined, undefined, undefined, 0, 1, 2, 3]);
    const patient = cycling(72, 24).map((p) => `p${p}`);
    const by = { method: 'group-kfold', groupBy: { column: 'patient' } };
    const folds = makeFolds(
      spec({ outer: { ...by, folds: 4 }, inner: { ...by, folds: 2 } }),
      grouped(labels, patient),
      5,
    );
    for (const { train, validation } of folds) {
      const trained = new Set([...train].map((i) => patient[i]));
      expect([...validation].filter((i) => trained.has(patient[i]))).toEqual([]);
    }
  });

  it('names the level that does not work', () => {
    expect(message(spec({ inner: { method: 'kfold', folds: 30 } }), { labels })).toMatch(
      /^evaluation\.inner\.folds is 30/,
    );
    expect(message(spec({ outer: { method: 'kfold', folds: 30 } }), { labels })).toMatch(
      /^evaluation\.outer\.folds is 30/,
    );
  });

  it('reads back as it was written', () => {
    const document = foldsDocument(makeFolds(spec(), { labels }, 5));
    expect(FoldsDocument.parse(JSON.parse(JSON.stringify(document)))).toEqual(document);
    expect(document.folds[4]?.within).toBe(0);
  });
});

describe('a leak that is planted is found', () => {
  const nested = [
    { fold: 0, train: [2, 3, 4, 5], validation: [0, 1] },
    { fold: 1, train: [0, 1], validation: [2, 3, 4, 5] },
    { fold: 2, within: 0, train: [2, 3], validation: [4, 5] },
    { fold: 3, within: 0, train: [4, 5], validation: [2, 3] },
  ];
  const changed = (fold: number, change: object): typeof nested =>
    nested.map((f) => (f.fold === fold ? { ...f, ...change } : f));
  it.each([
    [
      'an outer validation sample in an inner training set',
      changed(2, { train: [0, 2, 3] }),
      /sample 0 is validated in fold 0, which this one lies within \(fold 2/,
    ],
    [
      'an outer validation sample in an inner validation set',
      changed(3, { validation: [1, 2, 3] }),
      /sample 1 is validated in fold 0, which/,
    ],
    ['an inner fold of no outer one', changed(3, { within: 9 }), /fold 3 lies within fold 9, which is not there/],
    ['a sample that an inner split forgot', changed(3, { validation: [3] }), /sample 2 is on neither side \(fold 3/],
    [
      'a sample validated in two inner folds',
      changed(3, { train: [5], validation: [2, 3, 4] }),
      /sample 4 is validated in fold 2 as well/,
    ],
    [
      'a sample validated in no inner fold',
      changed(3, { train: [3, 4, 5], validation: [2] }),
      /sample 3 is validated in no fold of repeat 0 within fold 0/,
    ],
  ])('%s', (_, folds, reason) => {
    expect(() => checkFolds(nested, 6)).not.toThrow();
    expect(() => checkFolds(folds, 6)).toThrow(reason);
  });

  it('a group on both sides', () => {
    const folds = nested.slice(0, 2);
    expect(() => checkFolds(folds, 6, { groups: ['a', 'a', 'b', 'c', 'c', 'b'] })).not.toThrow();
    expect(() => checkFolds(folds, 6, { groups: ['a', 'c', 'b', 'c', 'c', 'b'] })).toThrow(
      /sample 1 is validated, and others of its group "c" are trained on \(fold 0/,
    );
  });

  it('a sample that is never validated counts only where every sample should be', () => {
    const folds = [
      { fold: 0, train: [1, 2], validation: [0] },
      { fold: 1, train: [0, 2], validation: [1] },
    ];
    expect(() => checkFolds(folds, 3)).toThrow(/sample 2 is validated in no fold/);
    expect(() => checkFolds(folds, 3, { partial: true })).not.toThrow();
  });
});
