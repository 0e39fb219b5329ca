import { demandOf } from '@crossfold/coordinator/estimate/demand';
import { Experiment } from '@crossfold/shared/config/experiment';
import { makeFolds } from '@crossfold/shared/folds/folds';
import {
  overQuota,
  quotaSettings,
  quotaSettingsOf,
  quotasOf,
  showBytes,
  tooManyExperiments,
} from '@crossfold/shared/quotas';
import { describe, expect, it } from 'vitest';
import { read } from '../support/documents.ts';

const GiB = 2 ** 30;

describe('quotas', () => {
  it('have defaults, which are shares of the storage where that is small', () => {
    const { limits, storage } = quotaSettingsOf({});
    expect(storage).toBeUndefined();
    expect(quotasOf(limits, undefined)).toMatchObject({ experiments: 1000, jobs: 100_000, datasetBytes: 64 * GiB });
    expect(quotasOf(limits, 12 * GiB)).toMatchObject({
      experiments: 1000,
      datasetBytes: Math.floor(4.8 * GiB),
      experimentBytes: 4 * GiB,
      checkpointBytes: 0.75 * GiB,
    });
    expect(quotasOf(limits, 1000 * GiB).datasetBytes).toBe(64 * GiB);
  });

  it('are what the environment says', () => {
    const env = {
      CROSSFOLD_QUOTA_EXPERIMENTS: '3',
      CROSSFOLD_QUOTA_DATASET: '1.5 GiB',
      CROSSFOLD_QUOTA_RESULT: '1000',
      CROSSFOLD_QUOTA_CHECKPOINT: '20M',
      CROSSFOLD_QUOTA_STORAGE: '2TiB',
      CROSSFOLD_QUOTA_JOBS: '',
    };
    const { limits, storage } = quotaSettingsOf(env);
    expect(storage).toBe(2 ** 41);
    expect(limits).toEqual({
      experiments: 3,
      datasetBytes: 1.5 * GiB,
      resultBytes: 1000,
      checkpointBytes: 20 * 2 ** 20,
    });
    expect(quotasOf(limits, undefined)).toMatchObject({ jobs: 100_000, experiments: 3 });
  });

  it.each(['0', '-1', 'NaN', '1e3', 'Infinity', '5 elephants', '99999999999999999999', '9999999TiB', '0x10', '.5GiB'])(
    'are no %s',
    (text) => {
      for (const variable of ['CROSSFOLD_QUOTA_DATASET', 'CROSSFOLD_QUOTA_JOBS', 'CROSSFOLD_QUOTA_STORAGE'])
        expect(() => quotaSettingsOf({ [variable]: text })).toThrow(variable);
    },
  );

  it('let through what is equal to them, and name the field, both sizes, the remedy and the setting of what is over', () => {
    const limits = quotasOf({ jobs: 10, datasetBytes: 3 * 2 ** 20, experiments: 2 }, undefined);
    expect(overQuota({ jobs: { value: 10, field: 'search' } }, limits)).toBeUndefined();
    expect(overQuota({ jobs: { value: 11, field: 'search' } }, limits)).toEqual({
      field: 'search',
      allowed: expect.stringMatching(/comes to 11, .* 10 for jobs.*; search fewer .*CROSSFOLD_QUOTA_JOBS/),
    });
    expect(overQuota({ datasetBytes: { value: 5.5 * 2 ** 20, field: 'dataset' } }, limits)?.allowed).toMatch(
      /comes to 5.5 MiB, .* 3 MiB for .*dataset.limit.*CROSSFOLD_QUOTA_DATASET/,
    );
    expect(tooManyExperiments(1, limits)).toBeUndefined();
    expect(tooManyExperiments(2, limits)?.message).toMatch(/there are 2 experiments .*quota is 2.*EXPERIMENTS/);
  });

  it('are all in the documents, with their defaults', () => {
    const rows = read('docs/operations.md').split('\n');
    for (const { variable, most } of Object.values(quotaSettings)) {
      const row = rows.find((line) => line.startsWith(`| \`${variable}\` |`));
      expect(row, variable).toContain(most >= GiB ? showBytes(most) : String(most));
    }
  });

  it('show bytes as people do', () => {
    expect([0, 1, 1023, 1024, 1536, 5 * GiB, 123.4 * GiB].map(showBytes)).toEqual([
      ...['0 B', '1 B', '1023 B', '1 KiB', '1.5 KiB', '5 GiB', '123 GiB'],
    ]);
  });
});

describe('what an experiment comes to', () => {
  const experiment = (over: object = {}): Experiment =>
    Experiment.parse({
      name: 'small',
      dataset: { path: 'pictures', image: { height: 8, width: 8, channels: 1 } },
      evaluation: { method: 'kfold', folds: 3 },
      model: { layers: [{ type: 'flatten' }, { type: 'dense', units: 2, activation: 'softmax' }] },
      training: { epochs: 2, optimizer: { name: 'adam' } },
      ...over,
    });
  const samples = { labels: Array.from({ length: 30 }, (_, i) => i % 2), classes: ['a', 'b'] };
  const demand = (over: object = {}) => {
    const own = experiment(over);
    const data = { name: 'x', image: { height: 8, width: 8, channels: 1 }, classes: 2, samples, testSamples: 6 };
    const trials = [0, 1].map((trial) => ({ trial, parameters: {}, experiment: own }));
    const folds = makeFolds(own.evaluation, samples, 1);
    return demandOf(own, { data: { ...data, sourceBytes: 10_000 }, trials, folds });
  };
  // 64 x 2 weights and 2 biases; adam keeps two numbers for each.
  const weights = 130;

  it('counts jobs, the net with what the optimizer keeps and the best weights, and nets of all jobs', () => {
    const { jobs, checkpointBytes, resultBytes, experimentBytes } = demand();
    expect(jobs).toEqual({ value: 6, field: 'evaluation' });
    expect(checkpointBytes?.value).toBeGreaterThanOrEqual(4 * weights * 4);
    expect(checkpointBytes?.value).toBeLessThan(4 * weights * 4 + 1000);
    expect(resultBytes?.value).toBeGreaterThan(4 * weights + 12 * 8 * 8);
    expect(experimentBytes?.value).toBe(6 * (resultBytes?.value ?? 0));
  });

  it('counts pixels beside files, unless shards hold the files', () => {
    expect(demand().datasetBytes).toEqual({ value: 10_000 + 36 * 64, field: 'dataset' });
    const image = { height: 8, width: 8, channels: 1, store: 'files' };
    expect(demand({ dataset: { path: 'pictures', image } }).datasetBytes?.value).toBe(10_000);
  });
});
