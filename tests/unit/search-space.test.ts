import { datasetDemand } from '@crossfold/coordinator/estimate/demand';
import { checkSameSamples, imagesOf } from '@crossfold/coordinator/search/images';
import { isProblem, trialParameters } from '@crossfold/coordinator/search/space';
import type { Trial } from '@crossfold/coordinator/search/trials';
import { fittingTrials, makeTrials } from '@crossfold/coordinator/search/trials';
import { Experiment } from '@crossfold/shared/config/experiment';
import { SearchSpec } from '@crossfold/shared/config/search';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { finishedExperiment } from '../support/finished.ts';

const base = {
  name: 'sweep',
  dataset: { name: 'mnist' },
  model: { preset: 'mnist-convnet' },
  training: { epochs: 4, optimizer: { name: 'rmsprop', learningRate: 0.002, rho: 0.8 } },
};
const experiment = (search: object, over: object = {}): Experiment => Experiment.parse({ ...base, ...over, search });
const grid = (parameters: object): object => ({ method: 'grid', parameters });
const pictures = { dataset: { path: 'pictures', image: { height: 32, width: 32 } } };
const random = (trials: number, parameters: object): object => ({ method: 'random', trials, parameters });

const drawn = (search: object, seed = 1): Readonly<Record<string, unknown>>[] => {
  const parameters = trialParameters(SearchSpec.parse(search), seed);
  if (isProblem(parameters)) throw new Error(parameters.allowed);
  return parameters;
};
const trialsOf = (search: object, over: object = {}): Trial[] => {
  const trials = makeTrials(experiment(search, over));
  if (isProblem(trials)) throw new Error(`${trials.path.join('.')}: ${trials.allowed}`);
  return trials;
};
const problemOf = (search: object, over: object = {}): string => {
  const trials = makeTrials(experiment(search, over));
  if (!isProblem(trials)) throw new Error('nothing is wrong');
  return `${trials.path.join('.')}${trials.value === undefined ? '' : ` is ${trials.value}`}: ${trials.allowed}`;
};

describe('a grid', () => {
  it('is every combination, the last parameter the fastest', () => {
    expect(drawn(grid({ a: [1, 2], b: ['x', 'y', 'z'] }))).toEqual([
      { a: 1, b: 'x' },
      { a: 1, b: 'y' },
      { a: 1, b: 'z' },
      { a: 2, b: 'x' },
      { a: 2, b: 'y' },
      { a: 2, b: 'z' },
    ]);
  });
  it('has a size that can be handled', () => {
    const hundred = Array.from({ length: 101 }, (_, i) => i);
    expect(() => drawn(grid({ a: hundred, b: hundred }))).toThrow(/10201 combinations, and must make at most 10000/);
  });
});

describe('draws', () => {
  const ranges = {
    uniform: { uniform: [0.25, 0.5] },
    log: { logUniform: [0.0001, 0.1] },
    integer: { integer: [3, 9] },
    stepped: { integer: [8, 60], step: 8 },
    logInteger: { logInteger: [1, 1000] },
    choice: { choice: ['a', 'b'] },
  };

  it('stay within their ranges, at the values that these have', () => {
    fc.assert(
      fc.property(fc.nat(), (seed) => {
        for (const of of drawn(random(20, ranges), seed) as Record<string, number>[]) {
          expect(of.uniform).toBeGreaterThanOrEqual(0.25);
          expect(of.uniform).toBeLessThanOrEqual(0.5);
          expect(of.log).toBeGreaterThanOrEqual(0.0001);
          expect(of.log).toBeLessThanOrEqual(0.1);
          expect([3, 4, 5, 6, 7, 8, 9]).toContain(of.integer);
          expect([8, 16, 24, 32, 40, 48, 56]).toContain(of.stepped);
          expect(of.logInteger === Math.round(of.logInteger ?? 0.5) && of.logInteger >= 1).toBe(true);
          expect(of.logInteger).toBeLessThanOrEqual(1000);
          expect(['a', 'b']).toContain(of.choice);
        }
      }),
      { numRuns: 30 },
    );
  });

  it('are as often in one part of a range as they should be', () => {
    const all = drawn(random(3000, ranges)) as Record<string, number>[];
    const share = (holds: (of: Record<string, number>) => boolean): number => all.filter(holds).length / all.length;
    // Binomial(3000, p): four standard deviations are at most 0.037.
    expect(share(({ uniform = 0 }) => uniform < 0.3)).toBeCloseTo(0.2, 1.13);
    expect(share(({ log = 0 }) => log < 0.001)).toBeCloseTo(1 / 3, 1.13);
    expect(share(({ integer }) => integer === 3)).toBeCloseTo(1 / 7, 1.13);
    expect(share(({ integer }) => integer === 9)).toBeCloseTo(1 / 7, 1.13);
    // 1 to 31 stand for what rounds to them.
    expect(share(({ logInteger = 0 }) => logInteger <= 31)).toBeCloseTo(
      Math.log(31.5 / 0.5) / Math.log(1000.5 / 0.5),
      1.13,
    );
  });

  it('leave no large gap in any parameter, and do not go together', () => {
    const ranges = { a: { uniform: [0, 1] }, b: { logUniform: [1, 10] } };
    for (let seed = 0; seed < 20; seed++) {
      const all = drawn(random(32, ranges), seed) as Record<string, number>[];
      for (const place of [
        (of: Record<string, number>) => of.a ?? 0,
        (of: Record<string, number>) => Math.log10(of.b ?? 1),
      ])
        for (const first of [0, 16])
          expect(new Set(all.slice(first, first + 16).map((of) => Math.floor(16 * place(of)))).size).toBe(16);
      const order = all.map((of) => Math.floor(16 * (of.a ?? 0)) - Math.floor(16 * Math.log10(of.b ?? 1)));
      expect(new Set(order).size).toBeGreaterThan(8);
    }
  });

  it('follow from the seed, and do not change when parameters or trials are added', () => {
    const few = drawn(random(5, { a: { uniform: [0, 1] } }));
    expect(drawn(random(5, { a: { uniform: [0, 1] } }))).toEqual(few);
    expect(drawn(random(5, { a: { uniform: [0, 1] } }), 2)).not.toEqual(few);
    const more = drawn(random(9, { b: { integer: [1, 1000] }, a: { uniform: [0, 1] } }));
    expect(more.slice(0, 5).map(({ a }) => a)).toEqual(few.map(({ a }) => a));
  });

  it('are never made twice', () => {
    const all = drawn(random(12, { a: [1, 2, 3], b: [1, 2, 3, 4] }));
    expect(new Set(all.map((of) => JSON.stringify(of))).size).toBe(12);
    expect(() => drawn(random(13, { a: [1, 2, 3], b: [1, 2, 3, 4] }))).toThrow(/at most .* which is 12/);
  });
});

describe('a parameter in its place', () => {
  it('is as if it had been written there, and the rest as it was', () => {
    const [first, second] = trialsOf(grid({ 'training.optimizer.learningRate': [0.1, 0.2] }));
    expect(first?.experiment.training.optimizer).toMatchObject({ name: 'rmsprop', learningRate: 0.1, rho: 0.8 });
    expect(second?.experiment).toEqual({
      ...first?.experiment,
      training: {
        ...first?.experiment.training,
        optimizer: { ...first?.experiment.training.optimizer, learningRate: 0.2 },
      },
    });
    expect(first?.experiment.search).toBeUndefined();
    expect(first?.parameters).toEqual({ 'training.optimizer.learningRate': 0.1 });
  });

  it('can lie in the layers, and in those of a preset', () => {
    const [small] = trialsOf(grid({ 'model.layers.0.filters': [8], 'model.layers.6.units': [16] }));
    expect(small?.experiment.model).toMatchObject({
      layers: [
        { type: 'conv2d', filters: 8 },
        {},
        { filters: 64 },
        {},
        {},
        {},
        { type: 'dense', units: 16 },
        { units: 10 },
      ],
    });
  });

  it('can choose another kind, which keeps what both have and forgets the rest', () => {
    const [adam] = trialsOf(grid({ 'training.optimizer.name': ['adam'] }));
    expect(adam?.experiment.training.optimizer).toEqual({
      name: 'adam',
      learningRate: 0.002,
      beta1: 0.9,
      beta2: 0.999,
      epsilon: 1e-7,
      amsgrad: false,
    });
  });

  it('can be a whole part of the experiment, made where it was not there', () => {
    const search = grid({
      'training.earlyStopping.patience': [2],
      augment: [{ rotation: 10 }],
      'training.optimizer': [{ name: 'sgd' }],
    });
    expect(trialsOf(search)[0]?.experiment).toMatchObject({
      training: { earlyStopping: { patience: 2, monitor: 'valLoss' }, optimizer: { name: 'sgd', learningRate: 0.01 } },
      augment: { rotation: 10, zoom: 0 },
    });
  });

  it('takes a field, or a layer, away where it is null', () => {
    const over = { augment: { rotation: 5 } };
    const [without, other] = trialsOf(
      grid({ augment: [null, { zoom: 0.1 }], 'model.layers.1': [null], 'model.layers.0.filters': [4] }),
      over,
    );
    expect(without?.experiment.augment).toBeUndefined();
    expect(other?.experiment.augment).toMatchObject({ zoom: 0.1, rotation: 0 });
    const { model } = without?.experiment ?? {};
    expect(model !== undefined && 'layers' in model ? model.layers.map(({ type }) => type) : []).toEqual([
      'conv2d',
      'conv2d',
      'maxPooling2d',
      'conv2d',
      'flatten',
      'dense',
      'dense',
    ]);
  });

  it('may be the seed', () => {
    expect(trialsOf(grid({ seed: [1, 2] })).map(({ experiment: { seed } }) => seed)).toEqual([1, 2]);
  });
});

describe('sizes of pictures', () => {
  const sizes = { 'dataset.image.height': [16, 32], 'dataset.image.width': [16], 'training.batchSize': [8, 16] };

  it('are a parameter like any other, and cut once each', () => {
    const heights = trialsOf(grid(sizes), pictures).map(({ experiment: { dataset } }) => dataset.image?.height);
    expect(heights).toEqual([16, 16, 32, 32]);
    const images = imagesOf(experiment(grid(sizes), pictures));
    expect(images.map((image) => [image?.height, image?.width])).toEqual([
      [16, 16],
      [32, 16],
    ]);
    expect(imagesOf(experiment(grid({ seed: [1, 2] }), pictures))).toEqual([
      trialsOf(grid({ seed: [1] }), pictures)[0]?.experiment.dataset.image,
    ]);
    expect(imagesOf(experiment(grid({ seed: [1, 2] })))).toEqual([undefined]);
  });

  it('take room on the broker, each its own', () => {
    const of = (search: object): number =>
      datasetDemand(imagesOf(experiment(search, pictures)), 100, 1000).datasetBytes?.value ?? 0;
    expect(of(grid({ seed: [1, 2] }))).toBe(1000 + 100 * 32 * 32 * 3);
    expect(of(grid(sizes))).toBe(1000 + 100 * (16 + 32) * 16 * 3);
  });

  it('have to fit the net, each of them', () => {
    const tiny = experiment(
      grid({
        'dataset.image': [
          { height: 32, width: 32 },
          { height: 4, width: 4 },
        ],
      }),
      pictures,
    );
    expect(() => fittingTrials(tiny, { height: 32, width: 32, channels: 3 }, 10)).toThrow(/^trial 1 \(dataset\.image=/);
  });

  it('are of the same samples, or refused', () => {
    const { manifest } = finishedExperiment();
    const other = { ...manifest, imageShape: { height: 8, width: 8, channels: 1 } };
    expect(() => checkSameSamples(manifest, other)).not.toThrow();
    const fewer = { ...other, train: { ...other.train, count: other.train.count - 1 }, skipped: 1 };
    expect(() => checkSameSamples(manifest, fewer)).toThrow(/not the same pictures can be used with all of its values/);
  });
});

describe('what is wrong with a search is said of its parameter', () => {
  const path = 'search.parameters.';
  it.each([
    [
      { 'training.optimiser.learningRate': [1] },
      `${path}training.optimiser.learningRate is 1: training.optimiser: is not a known key; did you mean optimizer? (trial 0)`,
    ],
    [
      { 'training.optimizer.learningRat': [1] },
      `${path}training.optimizer.learningRat is 1: is not a known key of name rmsprop; did you mean learningRate? (trial 0)`,
    ],
    [
      { 'training.batchSize': [64, 0] },
      `${path}training.batchSize is 0: must be a whole number from 1 to 65536 (trial 1)`,
    ],
    [
      { 'model.layers.8.units': [5] },
      `${path}model.layers.8.units: 8 is not one of the list's entries 0 to 7 (trial 0)`,
    ],
    [
      { 'training.epochs.count': [5] },
      `${path}training.epochs.count: there is nothing below a number (before .count) (trial 0)`,
    ],
    [
      { 'evaluation.folds': [5] },
      `${path}evaluation.folds: cannot be searched: must be a field below model, training, augment or dataset.image, or seed; trials share the samples and their split so that they can be compared`,
    ],
    [
      { 'training.batchSize': [2] },
      `${path.slice(0, -1)}: do not go together in trial 0 (training.batchSize=2): training.microBatches is 4: at most training.batchSize, which is 2`,
    ],
    [
      { 'training.batchSize': { integer: [2, 4] } },
      `${path}training.batchSize is {"integer":[2,4],"step":1}: must be a list of values in a grid; ranges are for random, halving and racing`,
    ],
    [
      { 'training.optimizer.name': ['adam'], 'training.optimizer.rho': [0.5] },
      `${path}training.optimizer.rho is 0.5: is not a known key of name adam; known here: name, learningRate, beta1, beta2, epsilon, amsgrad (trial 0)`,
    ],
    [
      { 'training.optimizer.learningRate': [0.1, 0.1] },
      `${path.slice(0, -1)}: make the same configuration twice, as trials 0 (training.optimizer.learningRate=0.1) and 1 (training.optimizer.learningRate=0.1)`,
    ],
  ])('%j', (parameters, message) => {
    expect(problemOf(grid(parameters))).toBe(message);
  });

  it.each([
    [
      { 'dataset.limit': [5] },
      {},
      /^search\.parameters\.dataset\.limit: cannot be searched: .*share the samples and their split/,
    ],
    [{ workersPerJob: [1, 2] }, {}, /cannot be searched: .*; trials share all else/],
    [
      { 'dataset.image.height': [16, 32] },
      {},
      /image\.height: cannot be searched here: must be of a data set of pictures/,
    ],
    [
      { 'dataset.image.maxPixels': [100] },
      pictures,
      /of dataset\.image height, width, channels, fit and kernel can, or all/,
    ],
    [
      { 'dataset.image': [{ height: 8, width: 8, store: 'files' }] },
      pictures,
      /store is "files": must be "pixels", as it is in/,
    ],
    [{ 'dataset.image': [null] }, pictures, /dataset\.image is null: must be there in every trial \(trial 0\)/],
    [{ 'dataset.image.height': [0] }, pictures, /dataset\.image\.height is 0: must be .*\(trial 0\)/],
  ])('%j of data', (parameters, over, message) => {
    expect(problemOf(grid(parameters), over)).toMatch(message);
  });

  it('and of its method', () => {
    const range = { 'training.optimizer.learningRate': { logUniform: [0.001, 0.1] } };
    expect(problemOf({ method: 'racing', parameters: range })).toMatch(
      /is a range, so how many configurations to draw must be said: search\.trials/,
    );
    expect(problemOf({ method: 'halving', parameters: { 'training.epochs': [1, 2] } })).toMatch(
      /cannot be searched by halving/,
    );
  });

  it('by the schema too', () => {
    const reason = (search: object, over: object = {}): string =>
      Experiment.safeParse({ ...base, ...over, search })
        .error?.issues.map(({ path: at, message }) => `${at.join('.')}: ${message}`)
        .join() ?? '';
    const parameters = { seed: [1, 2] };
    expect(reason({ method: 'racing', parameters }, { evaluation: { method: 'holdout' } })).toMatch(
      /^search\.method: needs several folds/,
    );
    expect(reason({ method: 'halving', minEpochs: 5, parameters })).toMatch(
      /^search\.minEpochs: at most training\.epochs, which is 4/,
    );
    expect(reason({ method: 'grid', parameters: {} })).toMatch(/at least one field/);
    expect(reason({ method: 'grid', parameters: { 'a..b': [1] } })).not.toBe('');
  });

  it('and of an evaluation that is for nothing without one', () => {
    const trials = makeTrials(Experiment.parse({ ...base, evaluation: { method: 'nested' } }));
    expect(trials).toMatchObject({ path: ['evaluation', 'method'], allowed: expect.stringMatching(/^needs a search/) });
  });
});
