import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { main } from '@crossfold/coordinator/cli/main';
import { LayerSpec } from '@crossfold/shared/config/layers';
import { TrainingSpec } from '@crossfold/shared/config/training';
import type { TrainedModel } from '@crossfold/shared/model/model-file';
import { encodeModel } from '@crossfold/shared/model/model-file';
import { planModel } from '@crossfold/shared/model/plan';
import { readKerasH5 } from '@crossfold/worker/keras/h5';
import sharp from 'sharp';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { colourNet } from '../support/colour-net.ts';
import { fakeWorld } from '../support/fake-client.ts';
import { writeFiles } from '../support/pictures.ts';

let folder = '';
let model = '';
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'crossfold-models-'));
  model = join(folder, 'net.safetensors');
  await writeFile(model, encodeModel(colourNet()));
  const plain = (r: number, g: number, b: number) => ({ rgb: [r, g, b] as const });
  await writeFiles(join(folder, 'set'), {
    'train/blue/1.png': plain(0, 0, 250),
    'train/red/1.png': plain(250, 0, 0),
    'test/blue/1.png': plain(10, 10, 250),
    'test/blue/2.png': plain(120, 10, 130),
    'test/red/1.png': plain(250, 0, 10),
    'test/red/wrong.png': plain(20, 0, 200),
  });
});
afterEach(() => rm(folder, { recursive: true }));

async function crossfold(...words: string[]): Promise<{ code: number; out: string; err: string }> {
  const world = fakeWorld();
  const code = await main(words, world.context);
  return { code, out: world.out(), err: world.err() };
}

const red = (r: number, b: number): number => 1 / (1 + Math.exp((-4 * (r - b)) / 255));

describe('predict', () => {
  it('says what each picture shows, and how sure it is', async () => {
    const { code, out } = await crossfold(
      'predict',
      model,
      join(folder, 'set/test/red'),
      join(folder, 'set/test/blue/2.png'),
      '--json',
    );
    expect(code).toBe(0);
    const { predictions } = z
      .object({
        predictions: z.array(
          z.object({
            image: z.string(),
            class: z.string(),
            probabilities: z.object({ red: z.number(), blue: z.number() }),
          }),
        ),
      })
      .parse(JSON.parse(out));
    expect(predictions.map((p) => [p.image.slice(folder.length + 10), p.class])).toEqual([
      ['red/1.png', 'red'],
      ['red/wrong.png', 'blue'],
      ['blue/2.png', 'blue'],
    ]);
    expect(predictions[0]?.probabilities.red).toBeCloseTo(red(250, 10), 5);
    expect(predictions[1]?.probabilities.blue).toBeCloseTo(1 - red(20, 200), 5);
    expect((await crossfold('predict', model, join(folder, 'set/test/red'))).out).toMatch(
      /red\/1\.png +red +97\.74 %\n/,
    );
  });

  it('takes a folder of folders, and says how often it is right where these are its classes', async () => {
    const set = join(folder, 'set');
    await writeFiles(set, { '.hidden/1.png': 'x', 'notes.txt': 'x' });
    const { code, out } = await crossfold('predict', model, join(set, 'test'), join(set, 'train/red/1.png'));
    const [, second, , last, , , summary] = out.split('\n');
    expect(code).toBe(0);
    expect(second).toMatch(/set\/test\/blue\/2\.png +blue +\d/);
    expect(last).toMatch(/set\/test\/red\/wrong\.png +blue +[\d.]+ % {2}lies in red\/$/);
    expect(summary).toBe('in the folders of its classes: 3 of 4 pictures right, 75.00 %');
    const { predictions, labelled } = JSON.parse(
      (await crossfold('predict', model, join(set, 'test/red'), '--json')).out,
    );
    expect(labelled).toEqual({ right: 1, of: 2 });
    expect(predictions[1]).toMatchObject({ class: 'blue', label: 'red' });
  });

  it('passes over nothing in silence, and leaves out what it cannot use if asked to', async () => {
    const own = join(folder, 'set/test/red');
    await writeFiles(own, { '0.gif': 'GIF89a', '2.jpg': 'x' });
    const refused = await crossfold('predict', model, own);
    expect(refused).toMatchObject({
      code: 2,
      out: '',
      err: expect.stringContaining('2 of 4 pictures cannot be used: '),
    });
    const { code, out, err } = await crossfold('predict', model, own, '--skip-unusable', '--json');
    expect(code).toBe(0);
    expect(err).toMatch(/^left out 2 files: .*0\.gif is a GIF, .*2\.jpg is something else, /);
    const { predictions, labelled, skipped } = JSON.parse(out);
    expect(predictions.map((one: { image: string }) => one.image.slice(own.length + 1))).toEqual([
      '1.png',
      'wrong.png',
    ]);
    expect(labelled).toEqual({ right: 1, of: 2 });
    expect(skipped).toHaveLength(2);
    expect(await crossfold('predict', model, join(own, '2.jpg'), '--skip-unusable')).toMatchObject({ code: 2 });
  });

  it('names what it cannot use', async () => {
    await writeFiles(folder, { 'notes.txt': 'x', 'broken.jpg': 'x' });
    const { code, err } = await crossfold('predict', model, join(folder, 'no.png'), join(folder, 'broken.jpg'));
    expect(code).toBe(2);
    expect(err).toContain('no.png is not there; ');
    expect(err).toContain('broken.jpg is something else, not a JPEG, PNG or WebP picture');
    expect(await crossfold('predict', join(folder, 'nothing'), model)).toMatchObject({
      code: 2,
      err: expect.stringContaining('there is no model at'),
    });
    expect(await crossfold('predict', join(folder, 'notes.txt'), model)).toMatchObject({
      code: 2,
      err: expect.stringContaining('is damaged'),
    });
  });
});

describe('evaluate', () => {
  it('scores the test part, and names the worst mistakes', async () => {
    const sheet = join(folder, 'mistakes.png');
    const { code, out } = await crossfold('evaluate', model, join(folder, 'set'), '--json', '--mistakes', sheet);
    expect(code).toBe(0);
    const losses = [1 - red(10, 250), 1 - red(120, 130), red(250, 10), red(20, 200)].map((p) => -Math.log(p));
    expect(JSON.parse(out)).toMatchObject({
      samples: 4,
      scores: {
        accuracy: 0.75,
        loss: expect.closeTo(losses.reduce((sum, l) => sum + l, 0) / 4, 5),
        confusionMatrix: [
          [2, 0],
          [1, 1],
        ],
        precision: [expect.closeTo(2 / 3), 1],
        recall: [1, 0.5],
        rocAuc: 0.75,
      },
      mistakes: [
        { name: 'test/red/wrong.png', label: 1, predicted: 0, confidence: expect.closeTo(1 - red(20, 200), 5) },
      ],
    });
    // The one mistake is drawn: a square of its colour.
    const { data, info } = await sharp(sheet).raw().toBuffer({ resolveWithObject: true });
    expect([...data.subarray((40 * info.width + 40) * 3).subarray(0, 3)]).toEqual([20, 0, 200]);
    expect((await crossfold('evaluate', model, join(folder, 'set'))).out).toMatch(
      /accuracy 75\.00 %.*\n[\s\S]*red +1 +1\n/,
    );
  });

  it('takes another part, and says what there is not', async () => {
    expect(
      JSON.parse((await crossfold('evaluate', model, join(folder, 'set'), '--part', 'train', '--json')).out),
    ).toMatchObject({ samples: 2, scores: { accuracy: 1 } });
    expect(await crossfold('evaluate', model, join(folder, 'set'), '--part', 'validation')).toMatchObject({
      code: 2,
      err: expect.stringContaining('has no such part'),
    });
    expect(await crossfold('evaluate', model, 'mnist')).toMatchObject({
      code: 2,
      err: expect.stringContaining('the net takes 8 x 8 x 3'),
    });
  });
});

describe('evaluate finds classes', () => {
  const accuracyOf = async (net: string, set: string, ...more: string[]): Promise<unknown> => {
    const { code, out, err } = await crossfold('evaluate', net, join(folder, set), '--json', ...more);
    return code === 0 ? JSON.parse(out).scores.accuracy : err;
  };
  const classed = async (...classes: string[]): Promise<string> => {
    const net = join(folder, 'other.safetensors');
    await writeFile(net, encodeModel({ ...colourNet(), classes }));
    return net;
  };

  it('by name, in whatever order the net has them', async () => {
    // The net is right about what it calls red where it is blue: three of four are wrong.
    expect(await accuracyOf(await classed('red', 'blue'), 'set')).toBe(0.25);
  });

  it('never by number where names differ, unless asked to', async () => {
    const net = await classed('azul', 'rojo');
    expect(await accuracyOf(net, 'set')).toMatch(
      /has the classes blue, red, and the net tells azul, rojo apart: it does not know blue, red\. .*--by-order if this is what they are: blue = azul, red = rojo/,
    );
    expect(await accuracyOf(net, 'set', '--by-order')).toBe(0.75);
    expect((await crossfold('evaluate', net, join(folder, 'set'), '--by-order')).out).toContain(
      'classes are matched by order, not by name: blue = azul, red = rojo\n',
    );
    await writeFiles(
      join(folder, 'three'),
      Object.fromEntries(['a', 'b', 'c'].map((c, i) => [`${c}/1.png`, { rgb: [i, 0, 0] }])),
    );
    expect(await accuracyOf(net, 'three', '--by-order')).toMatch(
      /classes a, b, c, .*Leave out what is of other classes/,
    );
  });

  it('by order where the net has no names for them, as a file of Keras has none', async () => {
    expect(await accuracyOf(await classed('0', '1'), 'set')).toBe(0.75);
    await writeFiles(join(folder, 'counted'), { '1/1.png': { rgb: [0, 0, 9] }, '2/1.png': { rgb: [9, 0, 0] } });
    expect(await accuracyOf(await classed('0', '1'), 'counted')).toMatch(/does not know 2\. /);
  });
});

describe('--tta flip', () => {
  /** A net that sees a picture's left half alone. */
  function leftNet(): TrainedModel {
    const layers = [{ type: 'flatten' }, { type: 'dense', units: 1, activation: 'sigmoid' }];
    const net = colourNet();
    const plan = planModel(
      { layers: layers.map((layer) => LayerSpec.parse(layer)) },
      { height: 8, width: 8, channels: 3 },
      2,
      net.training.loss,
    );
    const weights = Float32Array.from({ length: plan.weightCount }, (_, i) =>
      Math.floor(i / 3) % 8 < 4 && i < 192 ? ([4, 0, -4][i % 3] ?? 0) / 32 : 0,
    );
    return { ...net, plan, weights };
  }

  it('is the mean over a picture and its mirror image, in predictions and in scores', async () => {
    const net = join(folder, 'left.safetensors');
    await writeFile(net, encodeModel(leftNet()));
    // Left red, right blue, and the other way round: one sees the truth, the mirror image the opposite.
    const halves = (left: readonly number[], right: readonly number[]) =>
      sharp(
        Uint8Array.from({ length: 192 }, (_, i) => (Math.floor(i / 3) % 8 < 4 ? left : right)[i % 3] ?? 0),
        { raw: { width: 8, height: 8, channels: 3 } },
      );
    await halves([200, 0, 0], [0, 0, 80]).png().toFile(join(folder, 'set/test/red/1.png'));
    await halves([0, 0, 100], [0, 0, 220]).png().toFile(join(folder, 'set/test/blue/1.png'));
    await rm(join(folder, 'set/test/red/wrong.png'));
    await rm(join(folder, 'set/test/blue/2.png'));
    const both = [(red(200, 0) + red(0, 80)) / 2, (red(0, 100) + red(0, 220)) / 2];
    const asked = async (...words: string[]) => JSON.parse((await crossfold(...words, '--json')).out);
    const one = join(folder, 'set/test/red/1.png');
    expect((await asked('predict', net, one)).predictions[0].probabilities.red).toBeCloseTo(red(200, 0), 5);
    const { predictions } = await asked('predict', net, one, '--tta', 'flip');
    expect(predictions[0].probabilities.red).toBeCloseTo(both[0] ?? 0, 5);
    expect(await asked('evaluate', net, join(folder, 'set'), '--tta', 'flip')).toMatchObject({
      tta: 'flip',
      samples: 2,
      scores: { loss: expect.closeTo(-(Math.log(both[0] ?? 0) + Math.log(1 - (both[1] ?? 0))) / 2, 5), accuracy: 1 },
    });
    expect((await crossfold('evaluate', net, join(folder, 'set'), '--tta', 'flip')).out).toContain(
      '2 pictures, each with its mirror image\n',
    );
    expect(await crossfold('predict', net, one, '--tta', 'turn')).toMatchObject({ code: 2 });
  });
});

describe('export', () => {
  it('writes what Keras opens, from a model file', async () => {
    const out = join(folder, 'deep/cats.h5');
    expect(await crossfold('export', model, '--format', 'h5', '--out', out)).toMatchObject({
      code: 0,
      out: `h5: ${out}\n`,
    });
    expect([...(await readKerasH5(out)).weights]).toEqual([...colourNet().weights]);
    // A Keras file is as good a model as any.
    expect((await crossfold('predict', out, join(folder, 'set/test/red/1.png'))).out).toMatch(/ red +97\.74 %/);
    expect(await crossfold('export', model, '--format', 'h5', '--out', folder)).toMatchObject({
      code: 2,
      err: expect.stringContaining('--out'),
    });
  });

  it('says what of the optimizer a format has no place for, and which has', async () => {
    const net = colourNet();
    const training = TrainingSpec.parse({
      ...net.training,
      optimizer: { name: 'adamw', weightDecay: 0.05 },
      average: { momentum: 0.995 },
    });
    await writeFile(model, encodeModel({ ...net, training }));
    const out = join(folder, 'net.h5');
    const { code, err } = await crossfold('export', model, '--format', 'h5', '--out', out);
    expect({ code, err }).toEqual({
      code: 0,
      err: 'h5: AdamW is written as Adam, without its weight decay of 0.05, and the average of weights (momentum 0.995) is left out of its settings, since Keras 2 opens no file that has such settings; predictions are the same, and --format keras keeps them\n',
    });
    const keras = await crossfold('export', model, '--format', 'keras', '--out', join(folder, 'net.keras'));
    expect(keras).toMatchObject({ code: 0, err: '' });
  });
});

describe('inspect', () => {
  it('draws the maps of convolutions and poolings', async () => {
    const out = join(folder, 'maps.png');
    const half = sharp(
      Uint8Array.from({ length: 8 * 8 * 3 }, (_, i) => (Math.floor(i / 3) % 8 < 4 ? 0 : 200)),
      { raw: { width: 8, height: 8, channels: 3 } },
    );
    await half.png().toFile(join(folder, 'half.png'));
    expect(await crossfold('inspect', 'activations', model, join(folder, 'half.png'), '--out', out)).toMatchObject({
      code: 0,
    });
    const { data, info } = await sharp(out).raw().toBuffer({ resolveWithObject: true });
    const at = (x: number, y: number): number[] => [...data.subarray((y * info.width + x) * 3).subarray(0, 3)];
    // Left half a standard deviation below the mean: 64 of 255; right half above: 192.
    expect(at(20, 60)).toEqual(at(20, 70));
    expect(at(20, 60)[2]).toBeGreaterThan(at(80, 60)[2] ?? 0);
    expect(at(80, 60)[1]).toBeGreaterThan(150);
  });

  it('draws pictures as training would vary them', async () => {
    const out = join(folder, 'preview.png');
    const dataset = join(folder, 'set');
    expect(
      await crossfold('inspect', 'augment', dataset, '--image', 'train/red/1.png', '--count', '2', '--out', out),
    ).toMatchObject({ code: 0, out: `2 of train/red/1.png: ${out}\n` });
    const { data, info } = await sharp(out).raw().toBuffer({ resolveWithObject: true });
    // The original and two more, each red all over: there is nothing else in it, and its edges go on.
    for (let i = 0; i < 3; i++) {
      const at = (60 * info.width + 16 + 75 + Math.floor(i * ((info.width - 16) / 3))) * 3;
      expect([...data.subarray(at, at + 3)]).toEqual([250, 0, 0]);
    }
    for (const image of ['test/red/wrong.png', join(dataset, 'test/red/wrong.png'), '5'])
      expect(
        await crossfold('inspect', 'augment', dataset, '--image', image, '--count', '1', '--out', out),
      ).toMatchObject({
        out: `1 of test/red/wrong.png: ${out}\n`,
      });
    expect(await crossfold('inspect', 'augment', dataset, '--image', 'nope.png')).toMatchObject({
      code: 2,
      err: expect.stringContaining('must be one of the 6 pictures of'),
    });
    await writeFile(
      join(folder, 'x.yaml'),
      `dataset: { path: set, image: { height: 8, width: 8 } }\nmodel: { preset: cats-dogs-baseline }\ntraining: { epochs: 1, optimizer: { name: sgd } }\n`,
    );
    expect(await crossfold('inspect', 'augment', join(folder, 'x.yaml'))).toMatchObject({
      code: 2,
      err: expect.stringContaining('augment: is missing'),
    });
    expect((await readFile(out)).length).toBeGreaterThan(100);
  });
});
