import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connectClient } from '@crossfold/coordinator/client/client';
import { checkExperiment } from '@crossfold/coordinator/config/load';
import { openBroker } from '@crossfold/shared/broker/broker';
import { encodeModel } from '@crossfold/shared/model/model-file';
import type { ImportOptions } from 'crossfold';
import { connect, loadModel, localDatasets, openDataset } from 'crossfold';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { TestBroker } from '../support/broker.ts';
import { startBroker } from '../support/broker.ts';
import { crossfoldIn } from '../support/cluster-cli.ts';
import { colourNet } from '../support/colour-net.ts';
import { writeFiles } from '../support/pictures.ts';

// What imported data sets are good for, and the library's words for the `data` verbs.
let server: TestBroker;
let folder: string;
let model: string;
const cacheBefore = process.env.CROSSFOLD_CACHE;
beforeAll(async () => {
  server = await startBroker();
  folder = await mkdtemp(join(tmpdir(), 'crossfold data use '));
  process.env.CROSSFOLD_CACHE = join(folder, 'cache');
  model = join(folder, 'net.safetensors');
  await writeFile(model, encodeModel(colourNet()));
  await writeFiles(join(folder, 'set'), {
    'train/blue/1.png': { rgb: [0, 0, 250] },
    'train/blue/2.png': { rgb: [90, 0, 60] },
    'train/red/1.png': { rgb: [250, 0, 0] },
    'validation/blue/1.png': { rgb: [0, 30, 240] },
    'validation/red/1.png': { rgb: [0, 0, 200] },
    'test/blue/1.png': { rgb: [120, 10, 130] },
    'test/red/1.png': { rgb: [250, 0, 10] },
    'test/red/wrong.png': { rgb: [20, 0, 200] },
  });
});
afterAll(async () => {
  if (cacheBefore === undefined) delete process.env.CROSSFOLD_CACHE;
  else process.env.CROSSFOLD_CACHE = cacheBefore;
  await server.stop();
  await rm(folder, { recursive: true, force: true });
});

const crossfold = (...words: readonly string[]) => crossfoldIn(join(folder, 'cache'), words);

/** What it prints, as JSON. */
async function document(...words: readonly string[]) {
  const { code, out, err } = await crossfold(...words, '--json');
  expect({ code, err: code === 0 ? '' : err }).toEqual({ code: 0, err: '' });
  return JSON.parse(out);
}

describe('what is imported', () => {
  it('may be what an experiment file says, with a table, whose columns can split it', async () => {
    const table = join(folder, 'set/who.csv');
    const files = ['train/blue/1', 'train/blue/2', 'train/red/1', 'validation/blue/1', 'validation/red/1'];
    await writeFile(table, `file,photographer\n${files.map((file, i) => `${file}.png,p${i % 2}\n`).join('')}`);
    await writeFile(
      join(folder, 'experiment.yaml'),
      'dataset: { path: ./set, image: { height: 8, width: 8 } }\nname: colours\n',
    );
    const what = join(folder, 'experiment.yaml');
    const imported = await document('data', 'import', what, '--name', 'colours', '--table', table);
    expect(imported).toMatchObject({ name: 'colours', samples: 5, testSamples: 3, classes: 2, source: what });
    const shown = await document('data', 'show', 'colours');
    expect(shown.validationFrom).toBe(3);
    expect(shown.hints.join('\n')).toMatch(/group-kfold, predefined: its table has the columns file, photographer/);
    // Without a name it is the file's; what the file says wrongly is named with its line.
    expect(await document('data', 'import', what)).toMatchObject({ name: 'experiment' });
    await writeFile(join(folder, 'bad.yaml'), 'name: x\ndataset:\n  path: ./set\n  imaeg: { height: 8, width: 8 }\n');
    expect(await crossfold('data', 'import', join(folder, 'bad.yaml'))).toMatchObject({
      code: 2,
      err: expect.stringMatching(/bad\.yaml:4.*did you mean image\?/),
    });
    expect(await crossfold('data', 'import', join(folder, 'set'), '--table', join(folder, 'none.csv'))).toMatchObject({
      code: 2,
    });
    for (const name of ['colours', 'experiment']) await document('data', 'remove', name);
  });

  it('of pictures needs a size, which is asked for by its option', async () => {
    const { code, err } = await crossfold('data', 'import', join(folder, 'set'));
    expect({ code, err }).toEqual({
      code: 2,
      err: 'crossfold: --image: is missing; a data set of pictures needs the size to bring them to, height x width, as in --image 150x150\n',
    });
  });
});

describe.each(['on this machine', 'on a cluster'])('evaluate takes the name of a data set %s', (where) => {
  it('each part of it, with the scores that its folder has', async () => {
    const at = where === 'on a cluster' ? ['--nats', server.url] : [];
    await document('data', 'import', join(folder, 'set'), '--name', 'named', '--image', '8x8', ...at);
    for (const part of [[], ['--part', 'train'], ['--part', 'validation'], ['--part', 'all']]) {
      const byName = await document('evaluate', model, 'named', ...part, ...at);
      const byFolder = await document('evaluate', model, join(folder, 'set'), ...part);
      expect(byName).toEqual({ ...byFolder, dataset: byFolder.dataset.replace(join(folder, 'set'), 'named') });
    }
    expect(await crossfold('evaluate', model, 'nemad', ...at)).toMatchObject({
      code: 2,
      err: expect.stringMatching(
        /dataset is nemad: there is no such folder, and no such data set .*did you mean named\?/,
      ),
    });
    await document('data', 'remove', 'named', ...at);
    await document('data', 'import', join(folder, 'set'), '--name', 'large', '--image', '9x8', ...at);
    expect(await crossfold('evaluate', model, 'large', ...at)).toMatchObject({
      code: 2,
      err: expect.stringMatching(/has images of 9 x 8 x 3, and the net takes 8 x 8 x 3/),
    });
    await document('data', 'remove', 'large', ...at);
  });
});

describe('the library', () => {
  it.each(['on this machine', 'on a cluster'])(
    'imports, lists, shows, verifies and removes data sets %s',
    async (where) => {
      const cluster = where === 'on a cluster' ? await connect(server.url) : undefined;
      const datasets = cluster?.datasets ?? localDatasets();
      const said: string[] = [];
      const what: ImportOptions = {
        ...{ name: 'ours', image: { height: 8, width: 8 }, onProgress: (message) => said.push(message) },
      };
      const imported = await datasets.import(join(folder, 'set'), what);
      expect(said.join('\n')).toContain('pictures');
      expect(await datasets.list()).toEqual([{ ...imported, usedBy: [] }]);
      expect((await datasets.show('ours')).perClass).toContainEqual({ name: 'blue', train: 3, test: 1 });
      expect((await datasets.verify('ours')).damaged).toEqual([]);
      await expect(datasets.import(join(folder, 'set'), { ...what, perClass: 1 })).rejects.toThrow('ours: is taken');
      if (cluster === undefined) {
        const net = await loadModel(model);
        expect((await net.evaluate('ours')).scores).toEqual((await net.evaluate(join(folder, 'set'))).scores);
        net.close();
      }
      expect(await datasets.remove('ours')).toMatchObject({ kept: 0 });
      await expect(datasets.show('ours')).rejects.toThrow('no such data set');
      await cluster?.close();
    },
  );

  it('opens one by its name, and reads across its shards what its files have', async () => {
    await localDatasets().import('mnist', { name: 'digits', limit: 6000 });
    const [ours, files] = [
      await openDataset('digits', { part: 'train' }),
      await openDataset('mnist', { part: 'train' }),
    ];
    expect(ours.labels).toEqual(files.labels.subarray(0, 6000));
    expect(await ours.read(4090, 12)).toEqual(new Uint8Array(await files.read(4090, 12)));
    const all = await openDataset('digits', { part: 'all' });
    const test = await openDataset('digits');
    expect(all.labels).toHaveLength(16_000);
    // The last training samples and the first to test on.
    const both = await all.read(5998, 4);
    expect(both.subarray(0, 2 * 784)).toEqual(await ours.read(5998, 2));
    expect(both.subarray(2 * 784)).toEqual(await test.read(0, 2));
    await localDatasets().remove('digits');
  });
});

it('what an experiment that is over needs is removed by force alone', async () => {
  const at = ['--nats', server.url];
  const imported = await document('data', 'import', join(folder, 'set'), '--name', 'kept', '--image', '8x8', ...at);
  const { experiment } = await checkExperiment(
    {
      name: 'x',
      dataset: { name: 'kept' },
      evaluation: { method: 'holdout' },
      model: { layers: [{ type: 'flatten' }, { type: 'dense', units: 2, activation: 'softmax' }] },
      training: { epochs: 1, optimizer: { name: 'sgd' } },
    },
    '.',
  );
  const client = await connectClient(server.url);
  await client.submit(experiment, '.', 'x-1');
  await client.cancel('x-1');
  await client.close();
  const broker = await openBroker(server.url, 'test');
  const { digest } = imported;
  expect(await document('data', 'remove', 'kept', ...at)).toMatchObject({ removed: 0, finished: ['x-1'] });
  expect(await broker.data.has(digest)).toBe(true);
  await document('data', 'import', join(folder, 'set'), '--name', 'kept', '--image', '8x8', ...at);
  expect(await document('data', 'remove', 'kept', '--force', ...at)).toMatchObject({ kept: 0, finished: ['x-1'] });
  expect(await broker.data.has(digest)).toBe(false);
  await broker.close();
});

it('an id that no experiment can have is one that there is not', async () => {
  for (const id of ['no such one', '.', 'ünicode'])
    expect(await crossfold('status', id, '--nats', server.url)).toMatchObject({
      code: 2,
      err: expect.stringMatching(/^crossfold: [^\n]*\n$/),
    });
});
