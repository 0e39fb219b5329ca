import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { main } from '@crossfold/coordinator/cli/main';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { fakeWorld } from '../support/fake-client.ts';
import { idxBytes } from '../support/idx.ts';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'crossfold-inspect-'));
});
afterEach(() => rm(folder, { recursive: true }));

async function summary(...words: string[]) {
  const world = fakeWorld();
  const code = await main(['inspect', 'summary', ...words], world.context);
  return { code, out: world.out(), err: world.err() };
}

async function experiment(dataset: string, model = '{ preset: mnist-convnet }', loss = ''): Promise<string> {
  const file = join(folder, 'x.yaml');
  const training = `{ epochs: 1, optimizer: { name: rmsprop }${loss} }`;
  await writeFile(file, `dataset: ${dataset}\nmodel: ${model}\ntraining: ${training}\n`);
  return file;
}

/** Numbers of parameters as Keras' `summary()` has them for the same nets. */
describe('inspect summary', () => {
  it('shows the layers of a net that is built in', async () => {
    const { code, out } = await summary('mnist-convnet');
    expect(code).toBe(0);
    expect(out).toMatch(/^layer +type +output +parameters\n-+\ninput +28 x 28 x 1\n/);
    expect(out).toMatch(/\nconv2d_1 +conv2d +11 x 11 x 64 +18,496\n/);
    expect(out).toMatch(/\n93,322 parameters \(0\.4 MiB\): 93,322 trained\n$/);
  });

  it('takes shapes that are given', async () => {
    const { out } = await summary('cats-dogs-baseline', '--image', '64x64x1', '--json');
    expect(JSON.parse(out)).toMatchObject({ inputShape: [64, 64, 1], classes: 2, parameters: { total: 503_425 } });
    const usual = JSON.parse((await summary('cats-dogs-baseline', '--json')).out);
    expect(usual).toMatchObject({ inputShape: [150, 150, 3], parameters: { total: 3_453_121, trained: 3_453_121 } });
    expect(usual.layers.at(-1)).toMatchObject({ name: 'dense_1', type: 'dense', outputShape: [1], parameters: 513 });
  });

  it("takes an experiment's shapes from its data set: digits, pictures, IDX files", async () => {
    expect((await summary(await experiment('{ name: mnist }'))).out).toContain('93,322 parameters');

    for (const name of ['cats', 'dogs', 'hens']) {
      await mkdir(join(folder, 'photos', name), { recursive: true });
      await writeFile(join(folder, 'photos', name, 'a.png'), 'never opened');
    }
    const photos = await experiment('{ path: photos, image: { height: 40, width: 30, channels: 3 } }');
    expect(JSON.parse((await summary(photos, '--json')).out)).toMatchObject({ inputShape: [40, 30, 3], classes: 3 });

    await mkdir(join(folder, 'idx'));
    await writeFile(join(folder, 'idx', 'train-images-idx3-ubyte'), idxBytes([3, 20, 22], new Uint8Array(3 * 440)));
    await writeFile(join(folder, 'idx', 'train-labels-idx1-ubyte'), idxBytes([3], Uint8Array.of(0, 4, 1)));
    const idx = await experiment('{ path: idx }');
    expect(JSON.parse((await summary(idx, '--json')).out)).toMatchObject({ inputShape: [20, 22, 1], classes: 5 });
  });

  it('tells averaged from trained parameters', async () => {
    const layers =
      '{ layers: [ { type: conv2d, filters: 4, kernelSize: 3 }, { type: batchNormalization }, { type: flatten }, { type: dense, units: 10, activation: softmax } ] }';
    const file = await experiment('{ name: mnist }', layers);
    expect((await summary(file)).out).toMatch(/27,106 parameters \(0\.1 MiB\): 27,098 trained, 8 averaged/);
  });

  it('says on which line of the file the layer stands that does not fit', async () => {
    const layers = '{ layers: [\n  { type: conv2d, filters: 4, kernelSize: 3 },\n  { type: dense, units: 10 } ] }';
    const file = await experiment('{ name: mnist }', layers);
    const { code, err } = await summary(file);
    expect(code).toBe(2);
    expect(err).toBe(
      `crossfold: ${file}:4: model.layers.1 is dense (dense): needs a flat input, and gets 26 x 26 x 4; put a flatten or globalAveragePooling2d layer before it\n`,
    );
  });

  it('may be tried with other fields', async () => {
    const file = await experiment('{ name: mnist }');
    expect((await summary(file, '--set', 'model.preset=cats-dogs-baseline')).err).toMatch(
      /window of 3 x 3 does not fit/,
    );
  });

  it.each([
    [['nope'], /nope: neither a file nor a net that is built in; those are mnist-convnet, /],
    [['mnist-convnet', '--image', '28x28'], /argument '28x28' is invalid\. It must be height x width x channels/],
    [['mnist-convnet', '--set', 'seed=1'], /--set is for experiment files/],
    [['cats-dogs-baseline', '--classes', '3'], /one output tells two classes apart, and the data set has 3/],
  ])('says what is wrong: %j', async (words, message) => {
    expect(await summary(...words)).toMatchObject({ code: 2, out: '', err: expect.stringMatching(message) });
  });

  it('without the data set says how to go without it', async () => {
    const file = await experiment('{ path: gone }');
    expect(await summary(file)).toMatchObject({
      code: 2,
      err: expect.stringMatching(/there is no folder .*gone; without the data set, give --image and --classes\n$/),
    });
    expect((await summary(file, '--image', '28x28x1', '--classes', '10')).out).toContain('93,322 parameters');
  });
});
