import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { cut } from '@crossfold/coordinator/data/cut';
import { readIdxHeader } from '@crossfold/coordinator/data/idx';
import { SourceBundle } from '@crossfold/coordinator/data/source';
import { uploadSource } from '@crossfold/coordinator/data/upload';
import { getJson } from '@crossfold/shared/broker/json-blobs';
import { DatasetSpec } from '@crossfold/shared/config/dataset';
import { Manifest, readLabels } from '@crossfold/shared/data/manifest';
import { ConfigError } from '@crossfold/shared/errors';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { idxBytes } from '../support/idx.ts';
import { memoryBlobs } from '../support/memory-blobs.ts';

const bytes = (length: number): Uint8Array => Uint8Array.from({ length }, (_, i) => (i * 7) % 251);
const images = idxBytes([6, 4, 3], bytes(72));
const labels = idxBytes([6], Uint8Array.from([0, 2, 1, 1, 0, 2]));
const testImages = idxBytes([2, 4, 3], bytes(24));
const testLabels = idxBytes([2], Uint8Array.from([3, 0]));

const packed = { 'train-images-idx3-ubyte.gz': gzipSync(images), 'train-labels-idx1-ubyte.gz': gzipSync(labels) };
const plain = { 'train-images-idx3-ubyte': images, 'train-labels-idx1-ubyte': labels };
const withTest = { ...plain, 't10k-images.idx3-ubyte': testImages, 't10k-labels.idx1-ubyte': testLabels };

let folder = '';
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'crossfold-idx-'));
});
afterEach(() => rm(folder, { recursive: true }));

/** From a folder of files to the manifest, as client and coordinator do it between them. */
async function manifestOf(files: Record<string, Uint8Array>, over: object = {}): Promise<Manifest> {
  for (const [name, content] of Object.entries(files)) await writeFile(join(folder, name), content);
  const spec = DatasetSpec.parse({ path: '.', ...over });
  const blobs = memoryBlobs();
  const bundle = await getJson(blobs, await uploadSource(spec, folder, blobs), SourceBundle);
  const { manifest, reference } = await cut(bundle, spec, blobs);
  expect(await getJson(blobs, reference, Manifest)).toEqual(manifest);
  return manifest;
}

describe('a folder of IDX files', () => {
  it('becomes a manifest', async () => {
    const manifest = await manifestOf(withTest);
    expect(manifest).toMatchObject({
      name: basename(folder),
      imageShape: { height: 4, width: 3, channels: 1 },
      dtype: 'uint8',
      classes: ['0', '1', '2', '3'],
      train: { count: 6, shards: [{ first: 0, count: 6, bytes: 72 }] },
      test: { count: 2, shards: [{ first: 0, count: 2, bytes: 24 }] },
    });
    expect([...readLabels(manifest.train)]).toEqual([0, 2, 1, 1, 0, 2]);
    expect(manifest.test === null ? [] : [...readLabels(manifest.test)]).toEqual([3, 0]);
  });

  it('may be gzipped, and need not have a test set', async () => {
    const manifest = await manifestOf(packed);
    expect(manifest.test).toBeNull();
    expect(await manifestOf(plain)).toEqual(manifest);
  });

  it('gives its first samples, and all of its classes, where a limit is set', async () => {
    const manifest = await manifestOf(plain, { limit: 1 });
    expect(manifest.train).toMatchObject({ count: 1, shards: [{ count: 1, bytes: 12 }] });
    expect(manifest.classes).toEqual(['0', '1', '2']);
  });

  it('may hold images with channels', async () => {
    const colour = { ...plain, 'train-images-idx3-ubyte': idxBytes([6, 2, 2, 3], bytes(72)) };
    expect((await manifestOf(colour)).imageShape).toEqual({ height: 2, width: 2, channels: 3 });
  });

  const truncated = images.subarray(0, 40);
  const huge = Uint8Array.from(images);
  new DataView(huge.buffer).setUint32(4, 0xffffffff);
  it.each<[string, Record<string, Uint8Array>, object, RegExp]>([
    ['no folder', {}, { path: 'nowhere' }, /^dataset\.path is nowhere: there is no folder \S+nowhere$/],
    ['no files', {}, {}, /^dataset\.path is \.: .* holds no train-images-idx3-ubyte/],
    ['half a test set', { ...plain, 't10k-images-idx3-ubyte': testImages }, {}, /must hold both or neither/],
    [
      'labels for images',
      { ...plain, 'train-images-idx3-ubyte': labels },
      {},
      /train-images-idx3-ubyte begins with 0x00000801, where 0x00000803 or 0x00000804 was expected/,
    ],
    [
      'another type',
      { ...plain, 'train-labels-idx1-ubyte': Uint8Array.from([0, 0, 0x0d, 1, 0, 0, 0, 6]) },
      {},
      /begins with 0x00000d01/,
    ],
    [
      'cut off',
      { ...plain, 'train-images-idx3-ubyte': truncated },
      {},
      /has 40 bytes, where its header \(6 x 4 x 3\) calls for 88/,
    ],
    ['too long', { ...plain, 'train-images-idx3-ubyte': Buffer.concat([images, images]) }, {}, /has 176 bytes/],
    [
      'a header that claims too much',
      { ...plain, 'train-images-idx3-ubyte': huge },
      {},
      /has 88 bytes, where .* calls for 51539607556/,
    ],
    [
      'the same, gzipped',
      { ...packed, 'train-images-idx3-ubyte.gz': gzipSync(huge) },
      {},
      /calls for 51539607556 bytes, which its \d+ packed ones cannot hold/,
    ],
    [
      'packed, and more than its header says',
      { ...packed, 'train-images-idx3-ubyte.gz': gzipSync(Buffer.concat([images, Buffer.alloc(1e6)])) },
      {},
      /unpacks to more than the 88 bytes/,
    ],
    [
      'packed, and cut off',
      { ...packed, 'train-images-idx3-ubyte.gz': gzipSync(images).subarray(0, 50) },
      {},
      /cannot be unpacked: unexpected end of file/,
    ],
    [
      'not packed at all',
      { ...packed, 'train-images-idx3-ubyte.gz': images },
      {},
      /cannot be unpacked: incorrect header check/,
    ],
    ['nothing inside', { ...plain, 'train-images-idx3-ubyte': new Uint8Array(0) }, {}, /has 0 bytes/],
    ['no samples', { ...plain, 'train-labels-idx1-ubyte': idxBytes([0], bytes(0)) }, {}, /holds nothing/],
    [
      'as many images as labels, it has not',
      { ...plain, 'train-labels-idx1-ubyte': idxBytes([5], bytes(5)) },
      {},
      /has 6 images, and \S+ has 5 labels/,
    ],
    [
      'other images to test on',
      { ...withTest, 't10k-images.idx3-ubyte': idxBytes([2, 2, 2], bytes(8)) },
      {},
      /images of 2 x 2 x 1, where \S+ has 4 x 3 x 1/,
    ],
    [
      'more samples asked for than there are',
      plain,
      { limit: 7 },
      /^dataset\.limit is 7: must be at most the number of training samples, which is 6$/,
    ],
  ])('is refused: %s', async (_, files, over, message) => {
    const refused = manifestOf(files, over);
    await expect(refused).rejects.toBeInstanceOf(ConfigError);
    await expect(refused).rejects.toThrow(message);
  });
});

describe('an IDX header', () => {
  it('ends where it should', () => {
    expect(() => readIdxHeader(images.subarray(0, 10), 'f', [3])).toThrow(
      'f ends within its header, after 10 of 16 bytes',
    );
    expect(readIdxHeader(images.subarray(0, 16), 'f', [3])).toEqual({
      dimensions: [6, 4, 3],
      offset: 16,
      totalBytes: 88,
    });
  });
});
