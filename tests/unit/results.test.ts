import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { loadExperiment } from '@crossfold/coordinator/config/load';
import { aggregate } from '@crossfold/coordinator/results/aggregate';
import { formatFoldTable } from '@crossfold/coordinator/results/fold-table';
import { historyCsv } from '@crossfold/coordinator/results/history-csv';
import { resultsJson, writeRunFolder } from '@crossfold/coordinator/results/run-folder';
import { decodeTensors } from '@crossfold/shared/codec/safetensors';
import { FoldsDocument } from '@crossfold/shared/folds/folds';
import { Results } from '@crossfold/shared/results';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { finishedExperiment, storyOutcome, storyResults } from '../support/finished.ts';
import { aJob } from '../support/records.ts';

const three = [
  { accuracy: 0.9, parameters: { 'training.epochs': 1 } },
  { accuracy: 0.97, parameters: { 'training.epochs': 3 } },
  { accuracy: 0.95, parameters: { 'training.epochs': 2 } },
];

describe('results', () => {
  it('are as the contract has them', () => {
    const results = storyResults();
    expect(Results.parse(JSON.parse(JSON.stringify(results)))).toEqual(results);
    expect(results).toMatchObject({
      schema: 1,
      status: 'completed',
      dataset: { name: 'mnist', samples: 1280 },
      split: { method: 'kfold', folds: 5, repeats: 1 },
      engine: { version: '2.21.0' },
      best: { trial: 0, by: 'accuracy' },
      test: { of: 'fold', trial: 0, fold: 3, samples: 400 },
    });
    const accuracies = results.trials[0]?.folds.map((fold) =>
      fold.status === 'completed' ? fold.validation.accuracy : 0,
    );
    const mean = (accuracies ?? []).reduce((sum, value) => sum + value, 0) / 5;
    expect(results.trials[0]?.summary?.accuracy.mean).toBeCloseTo(mean, 12);
    expect(results.trials[0]?.folds.map(({ validationSamples }) => validationSamples)).toEqual([
      256, 256, 256, 256, 256,
    ]);
  });

  it('are in order of trial and fold, whoever was done first', () => {
    const all = finishedExperiment({ trials: three });
    const turned = aggregate({
      ...all,
      finished: [...all.finished].reverse(),
      plans: new Map([...all.plans].reverse()),
    });
    expect(turned).toEqual(aggregate(all));
  });

  it('name the trial with the highest mean accuracy', () => {
    expect(storyResults({ trials: three }).best).toMatchObject({ trial: 1, by: 'accuracy' });
  });

  it('keep what is known of folds that did not complete, and take no trial that lacks any for the best', () => {
    const results = storyResults({
      trials: three,
      ended: { '1.2': { state: 'failed', error: 'weights diverged' }, '2.4': { state: 'pruned' } },
      testSamples: 0,
    });
    expect(results.trials.map(({ status }) => status)).toEqual(['completed', 'failed', 'pruned']);
    expect(results.trials[1]?.folds[2]).toMatchObject({
      status: 'failed',
      error: 'weights diverged',
      trainSamples: 1024,
      validationSamples: 256,
    });
    expect(results.trials[1]?.summary?.accuracy.ci95).toHaveLength(2);
    // A configuration that does not work is what a sweep is there to find out.
    expect(results).toMatchObject({ status: 'completed', best: { trial: 0 } });
    expect(Results.safeParse(results).success).toBe(true);
    const ended = { '0.1': { state: 'failed' }, '1.2': { state: 'failed' }, '2.0': { state: 'cancelled' } } as const;
    expect(storyResults({ trials: three, ended, testSamples: 0 })).toMatchObject({ status: 'failed', best: null });
  });

  it('keep what pruned folds had come to, apart from those that were trained to their end', () => {
    const pruned = Object.fromEntries([0, 1, 2, 3, 4].map((f) => [`2.${f}`, { state: 'pruned', kept: true } as const]));
    const results = storyResults({ trials: three, ended: pruned, testSamples: 0 });
    const [, , third] = results.trials;
    expect(third).toMatchObject({ status: 'pruned', folds: { length: 5 } });
    expect(third?.folds[0]).toMatchObject({ status: 'pruned', epochs: 6, history: { valLoss: { length: 6 } } });
    expect(third?.summary?.accuracy.mean).toBeCloseTo(three[2]?.accuracy ?? 0, 1);
    expect(historyCsv(results).split('\n')).toContainEqual(expect.stringMatching(/^2,4,5,/));
    expect(Results.safeParse(results).success).toBe(true);
  });

  it('carry how the search went', () => {
    const round = { folds: 5, epochs: 6, scores: [{ trial: 0, accuracy: 0.9, loss: 0.3 }], dropped: [] };
    const search = { method: 'racing', foldEpochs: 60, exhaustiveFoldEpochs: 90, rounds: [round] };
    const results = storyResults({ trials: three, search });
    expect(results.search).toEqual(search);
    expect(Results.safeParse(results).success).toBe(true);
  });

  it('fail where the test set could not be scored', () => {
    const all = finishedExperiment();
    const job = aJob({ kind: 'test', state: 'failed', error: 'no memory' });
    const results = aggregate({ ...all, test: { job, result: undefined, looks: 0 } });
    expect(results.status).toBe('failed');
    expect(results).not.toHaveProperty('test');
  });

  it('of nothing but cancelled folds have neither best nor engine', () => {
    const ended = Object.fromEntries([0, 1, 2].map((fold) => [`0.${fold}`, { state: 'cancelled' as const }]));
    const results = storyResults({ folds: 3, ended, testSamples: 0 });
    expect(results).toMatchObject({ status: 'cancelled', best: null, engine: null, trials: [{ summary: null }] });
  });

  it('of a hold-out have one fold', () => {
    const results = storyResults({ method: 'holdout' });
    expect(results.split).toMatchObject({ method: 'holdout', folds: 1, repeats: 1 });
    expect(results.trials[0]?.summary?.accuracy).toMatchObject({ std: 0, ci95: [] });
  });
});

describe('the table for the terminal', () => {
  it('has a row a fold, mean and standard deviation, and the test', () => {
    const lines = formatFoldTable(storyResults(), { color: false }).split('\n');
    expect(lines[0]).toBe('mnist-kfold: 5-fold cross-validation of 1,280 samples of mnist');
    expect(
      lines.filter((line) => /^ +[0-4] +9\d\.\d\d % +0\.\d{4} +6 +[\d,]+ +\d+\.\d s {2}worker-/.test(line)),
    ).toHaveLength(5);
    expect(lines).toContainEqual(expect.stringMatching(/^mean +9\d\.\d\d ± \d\.\d\d % +0\.\d{4} ± 0\.\d{4}$/));
    expect(lines.at(-1)).toMatch(
      /^test 9\d\.\d\d %, loss 0\.\d{4}: 400 held-out samples, scored once by the model of fold 3$/,
    );
    expect(lines.join('')).not.toContain('\u001b');
  });

  it('has colours where they are wanted', () => {
    expect(formatFoldTable(storyResults(), { color: true })).toContain('\u001b[1m');
  });

  it('of several trials begins with them, the best first', () => {
    const table = formatFoldTable(storyResults({ trials: three }), { color: false });
    expect(table).toMatch(/trial .*parameters\n\* +1 .* 5\/5 +completed +training.epochs=3\n +2 .*\n +0 /);
    expect(table).toContain('Trial 1, the best:');
  });

  it('says why a fold failed, on one line', () => {
    const ended = { '0.1': { state: 'failed' as const, error: 'weights\ndiverged' } };
    expect(formatFoldTable(storyResults({ ended }), { color: false })).toMatch(/\nfold 1: weights diverged/);
  });
});

it('the history has a line an epoch of every completed fold', () => {
  const csv = historyCsv(storyResults({ epochs: 3, trials: three, ended: { '0.0': { state: 'failed' } } }));
  const [header, ...lines] = csv.trimEnd().split('\n');
  expect(header).toBe('trial,fold,epoch,loss,accuracy,valLoss,valAccuracy,seconds');
  expect(lines).toHaveLength((3 * 5 - 1) * 3);
  expect(lines[0]).toMatch(/^0,1,0,\d\.\d+,0\.\d+,\d\.\d+,0\.\d+,\d\.\d+$/);
});

describe('the run folder', () => {
  let folder: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'crossfold-results-'));
  });
  afterEach(() => rm(folder, { recursive: true }));

  it('holds all of the contract, and nothing that is half written', async () => {
    const outcome = storyOutcome({ folds: 3 });
    await writeRunFolder(outcome, folder);
    expect((await readdir(folder)).sort()).toEqual(
      ['experiment.yaml', 'folds.json', 'history.csv', 'models', 'report.html', 'results.json'].sort(),
    );
    expect(await readdir(join(folder, 'models'))).toEqual([0, 1, 2].map((fold) => `trial-0-fold-${fold}.safetensors`));
    const read = async (name: string): Promise<unknown> => JSON.parse(await readFile(join(folder, name), 'utf8'));
    expect(Results.parse(await read('results.json'))).toEqual(outcome.results);
    expect(FoldsDocument.parse(await read('folds.json'))).toEqual(outcome.folds);
    expect((await loadExperiment(join(folder, 'experiment.yaml'))).experiment).toEqual(outcome.experiment);
    const model = await readFile(join(folder, 'models', 'trial-0-fold-2.safetensors'));
    expect(decodeTensors(model, 'the model').tensors.get('dense/bias')?.data).toEqual(Float32Array.of(1, 2));
  });

  it('is written again over an earlier one', async () => {
    await writeFile(join(folder, 'results.json'), 'half');
    await writeRunFolder(storyOutcome(), folder);
    expect(Results.safeParse(JSON.parse(await readFile(join(folder, 'results.json'), 'utf8'))).success).toBe(true);
  });

  it('of an experiment without results has what there is', async () => {
    await writeRunFolder({ ...storyOutcome(), results: undefined, folds: undefined, models: [] }, folder);
    expect(await readdir(folder)).toEqual(['experiment.yaml']);
  });

  it('has results with lists of numbers on one line, and texts as they were', () => {
    const results = { ...storyResults({ folds: 2, samples: 40 }), name: 'a [ 1, 2 ] b' };
    const text = resultsJson(results);
    expect(JSON.parse(text)).toEqual(results);
    expect(text).toMatch(/"valLoss": \[\d\.\d+, \d\.\d+, /);
  });
});
