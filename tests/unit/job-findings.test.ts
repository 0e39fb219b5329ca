import { putJson } from '@crossfold/shared/broker/json-blobs';
import type { Manifest } from '@crossfold/shared/data/manifest';
import { Mistake } from '@crossfold/shared/results';
import { findingsOf } from '@crossfold/worker/job/findings';
import sharp from 'sharp';
import { expect, it } from 'vitest';
import { memoryBlobs } from '../support/memory-blobs.ts';

it('the findings of a test are how sure the net was, and its most confident mistakes as pictures', async () => {
  const blobs = memoryBlobs();
  const names = ['a/1.png', 'a/2.png', 'b/3.png', 'b/4.png'];
  const size = 4 * 4 * 3;
  const pixels = new SharedArrayBuffer(4 * size);
  new Uint8Array(pixels).set(Array.from({ length: 4 * size }, (_, i) => Math.floor(i / size) * 60));
  const store = { pixels, sampleBytes: size, labels: Int32Array.of(0, 0, 1, 1), all: Uint32Array.of(0, 1, 2, 3) };
  const samples = { count: 4, labels: '', sampleDigests: '', shards: [], names: await putJson(blobs, names) };
  const manifest: Manifest = {
    schema: 1,
    name: 'x',
    imageShape: { height: 4, width: 4, channels: 3 },
    dtype: 'uint8',
    classes: ['a', 'b'],
    train: samples,
    test: samples,
  };
  // Loss, predicted class, probability of class 1.
  const outputs = Float32Array.of(0.1, 0, 0.08, 1.2, 1, 0.75, 2.3, 0, 0.05, 0.1, 1, 0.92);
  const { reliability, mistakes } = await findingsOf(
    { outputs, places: store.all, store, manifest, names: samples.names },
    blobs,
  );
  expect(mistakes.map(({ name, label, predicted }) => [name, label, predicted])).toEqual([
    ['b/3.png', 1, 0],
    ['a/2.png', 0, 1],
  ]);
  expect(mistakes[0]?.confidence).toBeCloseTo(0.95, 6);
  expect(mistakes[1]?.loss).toBeCloseTo(1.2, 6);
  // Two of three in the highest range are right, at 0.92, 0.95 and 0.92; the one at 0.75 is wrong.
  expect(reliability.error).toBeCloseTo((Math.abs(2.79 - 2) + 0.75) / 4, 5);
  for (const mistake of mistakes) expect(Mistake.safeParse(mistake).success).toBe(true);
  const png = Buffer.from(mistakes[0]?.picture.split(',')[1] ?? '', 'base64');
  expect([...(await sharp(png).raw().toBuffer())].every((value) => value === 120)).toBe(true);
});
