import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { loadExperiment, resolvedYaml } from '@crossfold/coordinator/config/load';
import { Experiment, newExperimentId } from '@crossfold/shared/config/experiment';
import { ConfigError } from '@crossfold/shared/errors';
import { Token } from '@crossfold/shared/jobs/records';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const example = resolve(import.meta.dirname, '../../examples/mnist-kfold.yaml');
let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'crossfold-config-'));
});
afterAll(() => rm(folder, { recursive: true }));

const minimal = `dataset: { name: mnist }
evaluation: { method: kfold, folds: 5 }
model: { preset: mnist-convnet }
training: { epochs: 1, optimizer: { name: rmsprop } }
`;

async function file(name: string, text: string): Promise<string> {
  const path = join(folder, name);
  await writeFile(path, text);
  return path;
}

const complaint = async (text: string, ...sets: string[]): Promise<string> => {
  const path = await file('x.yaml', text);
  const error = await loadExperiment(path, sets).catch((e: unknown) => e);
  expect(error).toBeInstanceOf(ConfigError);
  const { message } = error as ConfigError;
  expect(message).not.toContain('\n');
  return message.replace(`${folder}/`, '');
};

describe('an experiment file', () => {
  it('is the example, with the defaults that are promised', async () => {
    const { experiment, baseDir } = await loadExperiment(example);
    expect(experiment).toMatchObject({
      name: 'mnist-kfold',
      seed: 42,
      dataset: { name: 'mnist', limit: 12800 },
      evaluation: { method: 'kfold', folds: 5, stratified: true },
      model: { preset: 'mnist-convnet' },
      training: { epochs: 3, batchSize: 64, microBatches: 4, optimizer: { name: 'rmsprop', learningRate: 0.001 } },
      workersPerJob: 'auto',
      threadsPerWorker: 1,
      exchange: 'auto',
    });
    expect(baseDir).toBe(resolve(example, '..'));
  });

  it('has defaults for what it leaves out, its name included', async () => {
    const { experiment } = await loadExperiment(await file('my first (try).yaml', minimal));
    expect(experiment).toMatchObject({ name: 'my-first-try-', seed: 42, exchange: 'auto', workersPerJob: 'auto' });
    expect(experiment.training.microBatches).toBe(4);
  });

  it('written out in full reads as the same experiment', async () => {
    for (const path of [example, await file('m.yaml', minimal)]) {
      const { experiment } = await loadExperiment(path);
      const again = await loadExperiment(await file('resolved.yaml', resolvedYaml(experiment)));
      expect(again.experiment).toEqual(experiment);
      expect(Experiment.parse(experiment)).toEqual(experiment);
    }
  });

  it('can be overridden', async () => {
    const sets = [
      'training.epochs=1',
      'dataset.limit=640',
      'evaluation={method: holdout, validation: 0.25}',
      'workersPerJob=2',
    ];
    const { experiment } = await loadExperiment(example, sets);
    expect(experiment).toMatchObject({
      training: { epochs: 1 },
      dataset: { limit: 640 },
      evaluation: { method: 'holdout', validation: 0.25 },
      workersPerJob: 2,
    });
  });

  it.each([
    [
      'a colon without its space',
      minimal.replace('{ name: mnist }', '{name:mnist}'),
      [],
      'x.yaml:1: dataset.name:mnist: is not a known key; YAML needs a space after the colon, as in name: ...',
    ],
    ['a misspelt key', `${minimal}sed: 1\n`, [], 'x.yaml:5: sed: is not a known key; did you mean seed?'],
    [
      'a misspelt key deep inside',
      minimal.replace('name: rmsprop', 'name: rmsprop, learningrate: 1'),
      [],
      'x.yaml:4: training.optimizer.learningrate: is not a known key of name rmsprop; did you mean learningRate?',
    ],
    [
      'too few folds',
      minimal,
      ['evaluation.folds=1'],
      /^--set evaluation\.folds=1: evaluation\.folds is 1: must be a whole number from 2 to \d+$/,
    ],
    [
      'more folds than samples',
      minimal,
      ['dataset.limit=4'],
      'x.yaml:2: evaluation.folds is 5: at most the number of samples, which dataset.limit makes 4',
    ],
    [
      'more workers than slices',
      minimal,
      ['workersPerJob=5'],
      /^--set workersPerJob=5: workersPerJob is 5: at most training\.microBatches, which is 4/,
    ],
    [
      'a name that cannot be a folder',
      `${minimal}name: ../up\n`,
      [],
      /^x\.yaml:5: name is "\.\.\/up": letters, digits/,
    ],
    ['nothing', '# nothing\n', [], 'x.yaml is empty: an experiment needs at least dataset, model and training'],
    [
      'an override of nothing known',
      minimal,
      ['training.epohcs=1'],
      '--set training.epohcs=1: training.epohcs: is not a known key; did you mean epochs?',
    ],
  ])('is refused: %s', async (_, text, sets, expected) => {
    const message = await complaint(text, ...sets);
    if (typeof expected === 'string') expect(message).toBe(expected);
    else expect(message).toMatch(expected);
  });

  it('is refused where it is no file', async () => {
    await expect(loadExperiment(join(folder, 'none.yaml'))).rejects.toThrow(/none\.yaml: no such file; /);
    await expect(loadExperiment(folder)).rejects.toThrow(/: is a folder, and must be a file; name an experiment file/);
    await expect(loadExperiment(folder)).rejects.toThrow(ConfigError);
  });
});

describe('the id of an experiment', () => {
  it('is name, time and four digits, and fits a broker token', () => {
    const id = newExperimentId('a'.repeat(64), new Date(Date.UTC(2026, 0, 2, 3, 4, 5)), 0xf0a);
    expect(id).toBe(`${'a'.repeat(64)}-20260102-030405-0f0a`);
    expect(Token.parse(id)).toBe(id);
  });
});
