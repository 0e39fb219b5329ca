import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { main } from '@crossfold/coordinator/cli/main';
import { connectClient } from '@crossfold/coordinator/client/client';
import { checkExperiment } from '@crossfold/coordinator/config/load';
import { cut } from '@crossfold/coordinator/data/cut';
import { SourceBundle } from '@crossfold/coordinator/data/source';
import { uploadSource } from '@crossfold/coordinator/data/upload';
import { localLibrary } from '@crossfold/coordinator/datasets/local-library';
import { uploadDataset } from '@crossfold/coordinator/datasets/upload-dataset';
import { openBroker } from '@crossfold/shared/broker/broker';
import { getJson } from '@crossfold/shared/broker/json-blobs';
import { DatasetSpec } from '@crossfold/shared/config/dataset';
import type { NatsConnection, ObjectStore } from 'nats';
import { connect } from 'nats';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { TestBroker } from '../support/broker.ts';
import { startBroker } from '../support/broker.ts';
import { crossfoldIn } from '../support/cluster-cli.ts';
import { fakeWorld } from '../support/fake-client.ts';
import { memoryBlobs } from '../support/memory-blobs.ts';
import { noisyJpeg, writeFiles } from '../support/pictures.ts';

interface Broker {
  readonly nats: NatsConnection;
  readonly store: ObjectStore;
}

let server: TestBroker;
let folder: string;
beforeAll(async () => {
  server = await startBroker();
  folder = await mkdtemp(join(tmpdir(), 'crossfold data '));
  const picture = await noisyJpeg(40, 30);
  await writeFiles(join(folder, 'pets'), {
    'cats/1.png': { rgb: [200, 10, 10] },
    'cats/2.png': { rgb: [210, 10, 10] },
    'cats/3.jpg': picture.subarray(0, 300),
    'dogs/1.png': { rgb: [10, 10, 200] },
    'dogs/2.png': { rgb: [10, 10, 210] },
    'dogs/3.png': { rgb: [10, 10, 220] },
  });
});
afterAll(async () => {
  await server.stop();
  await rm(folder, { recursive: true, force: true });
});

const crossfold = (...words: readonly string[]) => crossfoldIn(join(folder, 'cache'), words);

describe.each(['on this machine', 'on a cluster'])('data sets %s', (where) => {
  const at = (): string[] => (where === 'on a cluster' ? ['--nats', server.url] : []);
  const pets = (): string[] => ['data', 'import', join(folder, 'pets'), '--image', '8x8', ...at()];

  it('are imported, shown, listed, verified and removed', async () => {
    expect(await crossfold(...pets())).toMatchObject({ code: 2, err: expect.stringContaining('cats/3.jpg') });
    expect((await crossfold('data', 'list', ...at())).out).toContain('no data sets on');
    const imported = await crossfold(...pets(), '--skip-unusable', '--json');
    const document = JSON.parse(imported.out);
    expect(document).toMatchObject({ name: 'pets', samples: 5, classes: 2, shards: 1, bytes: 5 * 8 * 8 * 3 });
    expect(document.skipped).toEqual([{ path: 'cats/3.jpg', reason: expect.any(String) }]);
    // Again: the same; others may not take the name.
    expect(JSON.parse((await crossfold(...pets(), '--skip-unusable', '--json')).out)).toEqual(document);
    expect(await crossfold(...pets(), '--skip-unusable', '--per-class', '1')).toMatchObject({
      code: 2,
      err: expect.stringMatching(/--name is pets: is taken .*crossfold data remove pets/),
    });
    const listed = JSON.parse((await crossfold('data', 'list', '--json', ...at())).out);
    expect(listed).toEqual([{ ...document, usedBy: [] }]);
    const shown = (await crossfold('data', 'show', 'pets', ...at())).out;
    expect(shown).toMatch(/cats +2\ndogs +3\n/);
    expect(shown).toContain('up to 2 folds');
    expect(shown).toContain('cats/3.jpg');
    expect(await crossfold('data', 'show', 'pest', ...at())).toMatchObject({
      code: 2,
      err: expect.stringContaining('did you mean pets?'),
    });
    expect(await crossfold('data', 'verify', 'pets', ...at())).toMatchObject({ code: 0 });
    expect(await crossfold('data', 'remove', 'pets', ...at())).toMatchObject({ code: 0 });
    expect((await crossfold('data', 'show', 'pets', ...at())).code).toBe(2);
  });

  it('with a damaged record are named, and hide no others', async () => {
    await crossfold(...pets(), '--skip-unusable');
    const damage: Record<string, (broker: Broker) => Promise<unknown>> = {
      garbage: (broker) => broker.store.putBlob({ name: 'dataset.garbage' }, new TextEncoder().encode('{"name":')),
      // Not even the store's own entry can be read: the newest of all, with which a listing would end.
      entry: async (broker) =>
        broker.nats.jetstream().publish(`$O.crossfold_data.M.${btoa('dataset.entry')}`, 'not an entry'),
    };
    const names = where === 'on a cluster' ? ['entry', 'garbage'] : ['garbage', 'no-file'];
    if (where === 'on a cluster') {
      const nats = await connect({ servers: server.url });
      const store = await nats.jetstream().views.os('crossfold_data');
      for (const name of names.toReversed()) await damage[name]?.({ nats, store });
      await nats.close();
    } else {
      const folder_ = join(folder, 'cache/datasets/names');
      await writeFile(join(folder_, 'garbage.json'), '{"name":');
      await mkdir(join(folder_, 'no-file.json/inside'), { recursive: true });
    }
    const listed = await crossfold('data', 'list', '--json', ...at());
    expect(listed.code).toBe(1);
    expect(JSON.parse(listed.out).map(({ name }: { name: string }) => name)).toEqual(['pets']);
    for (const name of names)
      expect(listed.err).toMatch(
        new RegExp(`^crossfold: data set ${name}: .* is not as it should be: .*crossfold data remove ${name}\\b`, 'm'),
      );
    expect(listed.err.trim().split('\n')).toHaveLength(2);
    // Others are found, and suggested, as ever.
    expect(await crossfold('data', 'show', 'pest', ...at())).toMatchObject({
      code: 2,
      err: expect.stringContaining('did you mean pets?'),
    });
    expect(await crossfold('data', 'show', 'garbage', ...at())).toMatchObject({ code: 1 });
    expect(await crossfold(...pets(), '--skip-unusable', '--name', 'garbage')).toMatchObject({
      code: 2,
      err: expect.stringMatching(/--name is garbage: has a record that is damaged .*crossfold data remove garbage/),
    });
    for (const name of [...names, 'pets'])
      expect(await crossfold('data', 'remove', name, ...at())).toMatchObject({ code: 0 });
    expect(await crossfold('data', 'list', '--json', ...at())).toMatchObject({ code: 0, out: '[]\n' });
  });
});

it('an import that is interrupted ends with 130 and leaves nothing behind', async () => {
  const { context, err } = fakeWorld({ env: { CROSSFOLD_CACHE: join(folder, 'cache') } });
  let interrupt: () => void = () => undefined;
  const code = await main(['data', 'import', join(folder, 'pets'), '--image', '8x8', '--skip-unusable'], {
    ...context,
    onInterrupt: (listener) => {
      interrupt = listener;
      return () => undefined;
    },
    // The first word of progress: pictures are about to be read.
    err: {
      write(text) {
        interrupt();
        return context.err.write(text);
      },
    },
  });
  expect(code).toBe(130);
  expect(err()).toContain('interrupted');
  const left = await readdir(join(folder, 'cache/datasets'));
  expect(left.filter((name) => name.startsWith('.import-'))).toEqual([]);
  expect((await crossfold('data', 'list', '--json')).out).toBe('[]\n');
});

it('a damaged shard and a missing one are named, with code 1', async () => {
  await crossfold('data', 'import', 'mnist', '--name', 'digits', '--limit', '6000');
  const blobs = join(folder, 'cache/datasets/blobs');
  const { parts } = JSON.parse((await crossfold('data', 'show', 'digits', '--json')).out);
  const [first, second] = parts.train.map(({ digest }: { digest: string }) => join(blobs, digest.slice(0, 2), digest));
  await writeFile(first, 'not a shard');
  await rm(second);
  const { code, out } = await crossfold('data', 'verify', 'digits');
  expect(code).toBe(1);
  expect(out).toMatch(/shard 0 of train \(samples 0 to 4095\), [0-9a-f]{12}: is damaged/);
  expect(out).toMatch(/shard 1 of train \(samples 4096 to 5999\), [0-9a-f]{12}: is not in/);
  expect(out).toContain('2 of ');
  // Importing it again mends it.
  expect(await crossfold('data', 'import', 'mnist', '--name', 'digits', '--limit', '6000')).toMatchObject({ code: 0 });
  expect(await crossfold('data', 'verify', 'digits')).toMatchObject({ code: 0 });
  await crossfold('data', 'remove', 'digits');
  expect((await readdir(blobs, { recursive: true })).filter((name) => name.length > 64)).toEqual([]);
});

it('an experiment that names one is given its very samples, and keeps it while it is not over', async () => {
  const at = ['--nats', server.url];
  await crossfold('data', 'import', 'mnist', '--name', 'far', '--limit', '3000', ...at);
  const { experiment } = await checkExperiment(
    {
      name: 'x',
      dataset: { name: 'far', limit: 500 },
      evaluation: { method: 'kfold', folds: 2 },
      model: { preset: 'mnist-convnet' },
      training: { epochs: 1, optimizer: { name: 'sgd' } },
    },
    '.',
  );
  const client = await connectClient(server.url);
  await client.submit(experiment, '.', 'x-1');
  const [record] = await client.list();
  if (record === undefined) throw new Error('it was submitted');
  const broker = await openBroker(server.url, 'test');
  const bundle = await getJson(broker.data, record.source, SourceBundle);
  const { manifest } = await cut(bundle, experiment.dataset, broker.data);
  // The same as of the files themselves, but for its name.
  const plain = memoryBlobs();
  const spec = DatasetSpec.parse({ name: 'mnist', limit: 500 });
  const files = await getJson(plain, await uploadSource(spec, '.', plain), SourceBundle);
  expect({ ...manifest, name: 'mnist' }).toEqual((await cut(files, spec, plain)).manifest);
  expect(await crossfold('data', 'remove', 'far', ...at)).toMatchObject({
    code: 2,
    err: expect.stringContaining('in use by x-1 (submitted)'),
  });
  expect(JSON.parse((await crossfold('data', 'list', '--json', ...at)).out)).toMatchObject([{ usedBy: ['x-1'] }]);
  await client.cancel('x-1');
  expect((await crossfold('data', 'remove', 'far', ...at)).code).toBe(0);
  // It can be resumed: what it has not been cut for yet is there all the same.
  expect((await cut(bundle, experiment.dataset, broker.data)).manifest.train).toEqual(manifest.train);
  // One that lies here alone is brought along.
  const local = localLibrary({ CROSSFOLD_CACHE: join(folder, 'cache') });
  await crossfold('data', 'import', 'mnist', '--name', 'near', '--limit', '500');
  const near = DatasetSpec.parse({ name: 'near' });
  const brought = await uploadDataset(near, '.', client.datasets, undefined, local);
  const whole = await cut(await getJson(broker.data, brought, SourceBundle), near, broker.data);
  expect(whole.manifest.train).toEqual(manifest.train);
  for (const { digest, bytes } of whole.manifest.train.shards)
    expect(await broker.data.get(digest, bytes)).toHaveLength(bytes);
  await broker.close();
  await client.close();
});
