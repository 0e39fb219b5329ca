import { mkdtemp, readFile, rm, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inLines } from '@crossfold/coordinator/data/count-progress';
import { cut } from '@crossfold/coordinator/data/cut';
import { scanImageFolder } from '@crossfold/coordinator/data/image-folder';
import { KnownCuts } from '@crossfold/coordinator/data/known-cuts';
import { SourceBundle } from '@crossfold/coordinator/data/source';
import { uploadSource } from '@crossfold/coordinator/data/upload';
import { openLabelled } from '@crossfold/coordinator/models/labelled';
import { getJson } from '@crossfold/shared/broker/json-blobs';
import { DatasetSpec } from '@crossfold/shared/config/dataset';
import { Manifest, readLabels, SampleNames } from '@crossfold/shared/data/manifest';
import { ConfigError, DamagedDataError } from '@crossfold/shared/errors';
import { SampleColumns } from '@crossfold/shared/folds/samples';
import { DatasetCache } from '@crossfold/worker/data/dataset-cache';
import { decodeImage, UnusableImageError } from '@crossfold/worker/data/decode-image';
import { ShardCache } from '@crossfold/worker/data/shard-cache';
import type { Sharp } from 'sharp';
import sharp from 'sharp';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { MemoryBlobs } from '../support/memory-blobs.ts';
import { memoryBlobs } from '../support/memory-blobs.ts';
import { noisyJpeg, plainPicture, writeFiles } from '../support/pictures.ts';

let folder = '';
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'crossfold-images-'));
});
afterEach(() => rm(folder, { recursive: true }));

const small = { height: 8, width: 8, channels: 3 } as const;
const decoding = { fit: 'fill', kernel: 'linear', maxPixels: 10_000 } as const;
const at = (pixels: Uint8Array, sample: number): number[] => [...pixels.subarray(sample * 192, sample * 192 + 3)];

async function made(
  blobs: MemoryBlobs,
  spec: Record<string, unknown> = {},
  onProgress: (message: string) => void = () => undefined,
): Promise<{ manifest: Manifest; names: readonly string[]; pixels: Uint8Array; test: Uint8Array | undefined }> {
  const parsed = DatasetSpec.parse({ path: folder, image: { height: 8, width: 8 }, ...spec });
  const bundle = await getJson(blobs, await uploadSource(parsed, '/', blobs), SourceBundle);
  const { manifest } = await cut(bundle, parsed, blobs, inLines(onProgress));
  const cache = new DatasetCache(
    new ShardCache({ folder: join(folder, '.cache'), blobs, onTrouble: () => undefined }),
    1e9,
  );
  const { train } = manifest;
  if (train.names === undefined) throw new Error('there are no names');
  return {
    manifest: Manifest.parse(manifest),
    names: await getJson(blobs, train.names, SampleNames),
    pixels: new Uint8Array((await cache.train(manifest)).pixels),
    test: manifest.test === null ? undefined : new Uint8Array((await cache.test(manifest)).pixels),
  };
}

const parted = {
  'train/katzen/b.png': { rgb: [200, 0, 0] },
  'train/katzen/Ä 猫.jpg': { rgb: [0, 200, 0] },
  'train/katzen/a.webp': { rgb: [0, 0, 200] },
  'train/собаки/1/x.png': { rgb: [10, 10, 10] },
  'train/собаки/10.png': { rgb: [20, 20, 20] },
  'validation/собаки/v.png': { rgb: [30, 30, 30] },
  'validation/katzen/v.png': { rgb: [40, 40, 40] },
  'test/katzen/t.png': { rgb: [50, 50, 50] },
  'test/собаки/t.png': { rgb: [60, 60, 60] },
  'train/katzen/.DS_Store': 'x',
  'train/katzen/notes.txt': 'x',
  'README.md': 'x',
} as const;

describe('a folder of pictures', () => {
  it('is in the order of part, class and name, whatever the script; test stands apart', async () => {
    await writeFiles(folder, parted);
    const { manifest, names, pixels, test } = await made(memoryBlobs());
    expect(names).toEqual([
      'train/katzen/a.webp',
      'train/katzen/b.png',
      'train/katzen/Ä 猫.jpg',
      'train/собаки/1/x.png',
      'train/собаки/10.png',
      'validation/katzen/v.png',
      'validation/собаки/v.png',
    ]);
    expect(manifest).toMatchObject({ classes: ['katzen', 'собаки'], validationFrom: 5, imageShape: small });
    expect([...readLabels(manifest.train)]).toEqual([0, 0, 0, 1, 1, 0, 1]);
    expect(manifest.test?.count).toBe(2);
    expect([3, 4, 5, 6].map((sample) => at(pixels, sample)[0])).toEqual([10, 20, 40, 30]);
    expect([at(test ?? pixels, 0)[0], at(test ?? pixels, 1)[0]]).toEqual([50, 60]);
    expect(at(pixels, 1)).toEqual([200, 0, 0]);
  });

  it('has the same pixels where shards hold files, which are the blobs that were uploaded', async () => {
    await writeFiles(folder, parted);
    const blobs = memoryBlobs();
    const asPixels = await made(blobs);
    const asFiles = await made(blobs, { image: { height: 8, width: 8, store: 'files' } });
    expect(asFiles.pixels).toEqual(asPixels.pixels);
    expect(asFiles.test).toEqual(asPixels.test);
    const uploaded = await getJson(
      blobs,
      await uploadSource(DatasetSpec.parse({ path: folder, image: small }), '/', blobs),
      SourceBundle,
    );
    expect(uploaded).toMatchObject({ train: { packs: [{ digest: asFiles.manifest.train.shards[0]?.digest }] } });
  });

  it('is refused by a worker that decodes it otherwise', async () => {
    await writeFiles(folder, parted);
    const blobs = memoryBlobs();
    const { manifest } = await made(blobs, { image: { height: 8, width: 8, store: 'files' } });
    const other = { ...manifest, train: { ...manifest.train, sampleDigests: Buffer.alloc(7 * 16).toString('base64') } };
    const cache = new DatasetCache(new ShardCache({ folder, blobs, onTrouble: () => undefined }), 1e9);
    await expect(cache.train(other)).rejects.toThrow(DamagedDataError);
  });

  it('has another digest where its pictures become other pixels', async () => {
    await writeFiles(folder, parted);
    const digests = new Set<string>();
    for (const image of [
      { ...small },
      { ...small, kernel: 'nearest' },
      { ...small, fit: 'cover' },
      { ...small, channels: 1 },
    ]) {
      const blobs = memoryBlobs();
      const spec = DatasetSpec.parse({ path: folder, image });
      const bundle = await getJson(blobs, await uploadSource(spec, '/', blobs), SourceBundle);
      digests.add((await cut(bundle, spec, blobs)).reference.digest);
    }
    expect(digests.size).toBe(4);
  });

  it('is taken in part: the first of each class, or the first of all as long as every class has some', async () => {
    await writeFiles(folder, parted);
    expect((await made(memoryBlobs(), { perClass: 1 })).names).toEqual([
      'train/katzen/a.webp',
      'train/собаки/1/x.png',
      'validation/katzen/v.png',
      'validation/собаки/v.png',
    ]);
    const first = await made(memoryBlobs(), { limit: 4 });
    expect(first.names).toHaveLength(4);
    expect(first.manifest.validationFrom).toBeUndefined();
    await expect(made(memoryBlobs(), { limit: 3 })).rejects.toThrow(/hold none of class "собаки"; dataset.perClass/);
    await expect(made(memoryBlobs(), { limit: 8 })).rejects.toThrow(
      /at most the number of training samples, which is 7/,
    );
  });

  it('names everything that is wrong in one message, or leaves it out and counts it', async () => {
    const jpeg = await noisyJpeg(40, 40);
    await writeFiles(folder, {
      'cats/1.jpg': jpeg,
      'cats/2 cut off.jpg': jpeg.subarray(0, jpeg.length - 700),
      'cats/3 empty.jpg': '',
      'cats/4 text.jpg': 'this is no picture',
      'cats/5 png.jpg': await plainPicture([1, 2, 3], 9).png().toBuffer(),
      'cats/6.gif': await plainPicture([1, 2, 3], 9).gif().toBuffer(),
      'cats/7 gif.png': await plainPicture([1, 2, 3], 9).gif().toBuffer(),
      'cats/8 bomb.png': await plainPicture([1, 2, 3], 200).png().toBuffer(),
      'dogs/9 broken.png': (await plainPicture([1, 2, 3], 64).png().toBuffer()).fill(7, 40, 80),
      'dogs/10.jpg': await noisyJpeg(41, 40),
    });
    const image = { height: 8, width: 8, maxPixels: 10_000 };
    const message = await made(memoryBlobs(), { image }).catch((error: unknown) => error);
    expect(message).toBeInstanceOf(ConfigError);
    const text = String(message);
    expect(text).toContain('8 of 10 pictures cannot be used');
    for (const part of [
      'cats/2 cut off.jpg is cut off',
      'cats/3 empty.jpg is empty',
      'cats/4 text.jpg is something else, not a JPEG, PNG or WebP picture',
      'cats/5 png.jpg is a PNG by its content, a JPEG by its name',
      'cats/6.gif is not of a kind that is read',
      'cats/7 gif.png is a GIF, not a JPEG',
      'cats/8 bomb.png has 200 x 200 pixels, more than the 10000 of',
      'dogs/9 broken.png is damaged',
    ])
      expect(text).toContain(part);
    const skipping = await made(memoryBlobs(), { image, onError: 'skip' });
    expect(skipping.names).toEqual(['cats/1.jpg', 'dogs/10.jpg']);
    expect(skipping.manifest.skipped).toBe(8);
    await rm(join(folder, 'dogs/10.jpg'));
    await expect(made(memoryBlobs(), { image, onError: 'skip' })).rejects.toThrow(/leaves no pictures of class "dogs"/);
  });

  it('takes no picture that lies under two classes, in whatever part', async () => {
    const [twice, other] = [await noisyJpeg(40, 40), await noisyJpeg(42, 40)];
    await writeFiles(folder, {
      'train/cats/1.jpg': twice,
      'train/cats/2.jpg': other,
      'train/cats/3.jpg': other,
      'train/dogs/4.jpg': await noisyJpeg(43, 40),
      // As long as another, and still another picture.
      'train/dogs/5.jpg': Buffer.concat([other.subarray(0, -3), Buffer.from([1, 0xff, 0xd9])]),
      'test/cats/6.jpg': await noisyJpeg(44, 40),
      'test/dogs/7.jpg': twice,
    });
    const text = String(await made(memoryBlobs(), {}).catch((error: unknown) => error));
    expect(text).toContain('2 of 7 pictures cannot be used');
    expect(text).toContain('train/cats/1.jpg is the same picture as test/dogs/7.jpg, which is of another class');
    expect(text).toContain('test/dogs/7.jpg is the same picture as train/cats/1.jpg, which is of another class');
    const said: string[] = [];
    const skipping = await made(memoryBlobs(), { onError: 'skip' }, (message) => said.push(message));
    expect(said).toContainEqual(
      expect.stringMatching(/^left out 2 of 7 pictures, .*: train\/cats\/1\.jpg is the same/),
    );
    expect(said).toContainEqual(expect.stringMatching(/^1 picture is there more than once; a fold may be/));
    expect(skipping.names).toEqual(['train/cats/2.jpg', 'train/cats/3.jpg', 'train/dogs/4.jpg', 'train/dogs/5.jpg']);
    expect(skipping.manifest.skipped).toBe(2);
  });

  it('to be evaluated on names all that cannot be used, wherever it is met, or leaves them out', async () => {
    await writeFiles(folder, {
      'cats/1.png': { rgb: [1, 1, 1] },
      'cats/2.png': 'no picture',
      'cats/3.gif': 'GIF89a',
      'dogs/4.png': { rgb: [4, 4, 4] },
      'dogs/5.png': '',
    });
    const all = await openLabelled(folder, undefined, small, decoding);
    expect(all.labels).toHaveLength(5);
    await expect(all.read(0, 2)).rejects.toThrow(
      /3 of 5 pictures cannot be used.*--skip-unusable.*2\.png is something else.*3\.gif is not of a kind.*5\.png is empty/,
    );
    const usable = await openLabelled(folder, undefined, small, decoding, [], true);
    expect([...usable.labels]).toEqual([0, 1]);
    expect(usable.skipped).toHaveLength(3);
    expect([usable.nameOf(0), usable.nameOf(1)]).toEqual(['cats/1.png', 'dogs/4.png']);
    expect([...(await usable.read(1, 1)).subarray(0, 3)]).toEqual([4, 4, 4]);
  });

  it('is decoded once for all experiments on it, and what is to be said of it is said each time', async () => {
    await writeFiles(folder, {
      'cats/1.png': { rgb: [1, 1, 1] },
      'cats/2.png': { rgb: [1, 1, 1] },
      'dogs/3.png': { rgb: [3, 3, 3] },
    });
    const blobs = memoryBlobs();
    const spec = DatasetSpec.parse({ path: folder, image: { height: 8, width: 8 } });
    const bundle = await getJson(blobs, await uploadSource(spec, '/', blobs), SourceBundle);
    const cuts = new KnownCuts();
    const said: string[][] = [[], []];
    const first = await cuts.cut(
      bundle,
      spec,
      blobs,
      inLines((message) => said[0]?.push(message)),
    );
    blobs.fetched.length = 0;
    expect(
      await cuts.cut(
        bundle,
        spec,
        blobs,
        inLines((message) => said[1]?.push(message)),
      ),
    ).toEqual(first);
    expect(blobs.fetched).toEqual([first.reference.digest]);
    expect(said[1]).toEqual([expect.stringMatching(/^1 picture is there more than once/)]);
    expect(said[0]).toEqual(said[1]);
    const wider = DatasetSpec.parse({ ...spec, image: { height: 8, width: 9 } });
    expect((await cuts.cut(bundle, wider, blobs, () => undefined)).manifest.imageShape.width).toBe(9);
  });

  it('follows no link out of itself', async () => {
    await writeFiles(folder, {
      'set/a/1.png': { rgb: [1, 1, 1] },
      'set/b/1.png': { rgb: [2, 2, 2] },
      'out.png': { rgb: [3, 3, 3] },
    });
    await symlink('1.png', join(folder, 'set/a/2.png'));
    expect((await scanImageFolder(join(folder, 'set'), 'set')).train.map(({ path }) => path)).toEqual([
      'a/1.png',
      'a/2.png',
      'b/1.png',
    ]);
    await symlink('../../out.png', join(folder, 'set/a/3.png'));
    await symlink('a', join(folder, 'set/c'));
    await expect(scanImageFolder(join(folder, 'set'), 'set')).rejects.toThrow(/a\/3.png \(leads out of the folder/);
    await expect(scanImageFolder(join(folder, 'set'), 'set')).rejects.toThrow(/c \(a folder that is a link\)/);
  });

  const grey = { rgb: [1, 1, 1] } as const;
  it.each([
    [{ 'a/1.png': { rgb: [1, 1, 1] } }, /one class only, "a"/],
    [{ 'a/1.txt': 'x', 'b/1.txt': 'x' }, /holds no pictures; it must hold one folder a class/],
    [{ 'a/1.png': { rgb: [1, 1, 1] }, 'b/1.txt': 'x' }, /no pictures of class "b"/],
    [
      { 'train/a/1.png': { rgb: [1, 1, 1] }, 'train/b/1.png': { rgb: [1, 1, 1] }, 'extra/1.png': { rgb: [1, 1, 1] } },
      /holds extra\/ beside train\//,
    ],
    [
      { 'train/a/1.png': { rgb: [1, 1, 1] }, 'train/b/1.png': { rgb: [1, 1, 1] }, 'test/c/1.png': { rgb: [1, 1, 1] } },
      /class "c" in its test part that is not in the one to train on/,
    ],
    [
      { 'train/a/1.png': { rgb: [1, 1, 1] }, 'train/b/1.png': { rgb: [1, 1, 1] }, 'test/1.png': { rgb: [1, 1, 1] } },
      /holds a picture in test\/ itself \(1.png\)/,
    ],
    [
      { 'validation/a/1.png': grey, 'test/b/1.png': grey },
      /holds validation\/, test\/ with folders in them.* no train\//,
    ],
    [{ 'Train/1.png': grey, 'Test/1.png': grey }, /holds Train\/, Test\/, which are named as parts are/],
    [
      { 'train/a/1.png': grey, 'train/b/1.png': grey, 'val/a/1.png': grey, 'Validation/b/1.png': grey },
      /holds Validation\/, val\/, which are both named as the same part/,
    ],
    [
      { 'a/1.png': grey, 'b/1.png': grey, 'stray.jpg': grey },
      /a picture beside the folders of the classes \(stray.jpg\)/,
    ],
    [
      { 'train/a/1.png': grey, 'train/b/1.png': grey, 'test/a/1.png': grey, 'test/b/notes.txt': 'x' },
      /pictures of one class only, "a", to test on/,
    ],
  ] as const)('must be laid out so that classes can be told: %o', async (files, message) => {
    await writeFiles(folder, files);
    await expect(scanImageFolder(folder, 'given')).rejects.toThrow(message);
  });

  it('may have a class named train', async () => {
    await writeFiles(folder, { 'train/1.png': { rgb: [1, 1, 1] }, 'bus/1.png': { rgb: [1, 1, 1] } });
    expect((await scanImageFolder(folder, 'given')).classes).toEqual(['bus', 'train']);
  });

  it('has parts by other plain names, and says which it took; a class that one lacks is told of', async () => {
    const files = [
      'Training/a/1',
      'Training/b/2',
      'Training/c/3',
      'valid/a/4',
      'valid/b/5',
      'test_set/a/6',
      'test_set/c/7',
    ];
    await writeFiles(folder, Object.fromEntries(files.map((file, i) => [`${file}.png`, { rgb: [i, i, i] }])));
    const said: string[] = [];
    const spec = DatasetSpec.parse({ path: folder, image: small });
    const blobs = memoryBlobs();
    const bundle = await getJson(
      blobs,
      await uploadSource(
        spec,
        '/',
        blobs,
        inLines((line) => said.push(line)),
      ),
      SourceBundle,
    );
    const { manifest, remarks } = await cut(bundle, spec, blobs, () => undefined);
    expect(manifest).toMatchObject({
      classes: ['a', 'b', 'c'],
      train: { count: 5 },
      validationFrom: 3,
      test: { count: 2 },
    });
    expect(said[0]).toContain('(Training/ 3, valid/ 2, test_set/ 2)');
    expect(remarks).toEqual([
      'of the pictures to validate on none are of c; scores on them say nothing of that',
      'of the pictures to test on none are of b; scores on them say nothing of that',
    ]);
  });

  it('without a size is refused with the remedy', async () => {
    await writeFiles(folder, parted);
    const spec = DatasetSpec.parse({ path: folder });
    await expect(uploadSource(spec, '/', memoryBlobs())).rejects.toThrow(/dataset.image: is missing.*image: \{ height/);
  });
});

describe('a picture', () => {
  const halves = (top: readonly number[], bottom: readonly number[]): Sharp =>
    sharp(Uint8Array.from([...Array(32 * 64).fill(top), ...Array(32 * 64).fill(bottom)].flat()), {
      raw: { width: 64, height: 64, channels: top.length as 1 | 3 | 4 },
    });

  it('is turned upright by its EXIF orientation', async () => {
    const red = [250, 0, 0];
    const blue = [0, 0, 250];
    const lying = await halves(red, blue).withMetadata({ orientation: 6 }).jpeg({ quality: 100 }).toBuffer();
    const pixels = await decodeImage(lying, 'x.jpg', small, decoding);
    // Orientation 6: to be turned right, so that what was above is on the right.
    expect(pixels[0]).toBeLessThan(20);
    expect(pixels[7 * 3]).toBeGreaterThan(230);
  });

  it('becomes gray by the luma that Pillow uses', async () => {
    const png = await plainPicture([200, 100, 50], 16).png().toBuffer();
    const pixels = await decodeImage(png, 'x.png', { ...small, channels: 1 }, decoding);
    expect([...new Set(pixels)]).toEqual([(200 * 19595 + 100 * 38470 + 50 * 7471 + 0x8000) >> 16]);
  });

  it('may be gray, of 16 bits, transparent or CMYK', async () => {
    const gray = await sharp(new Uint8Array(256).fill(77), { raw: { width: 16, height: 16, channels: 1 } })
      .toColourspace('b-w')
      .png()
      .toBuffer();
    expect([...(await decodeImage(gray, 'x.png', small, decoding))].every((value) => value === 77)).toBe(true);
    const deep = await sharp(new Uint8Array(256).fill(77), { raw: { width: 16, height: 16, channels: 1 } })
      .toColourspace('rgb16')
      .png()
      .toBuffer();
    expect([...(await decodeImage(deep, 'x.png', small, decoding))].slice(0, 3)).toEqual([77, 77, 77]);
    const clear = await halves([10, 20, 30, 255], [10, 20, 30, 128]).png().toBuffer();
    const seen = [...(await decodeImage(clear, 'x.png', small, decoding))].slice(-3);
    for (const [i, value] of [10, 20, 30].entries()) expect(Math.abs((seen[i] ?? 0) - value)).toBeLessThanOrEqual(1);
    const cmyk = await plainPicture([255, 255, 255], 16).toColourspace('cmyk').jpeg().toBuffer();
    expect((await decodeImage(cmyk, 'x.jpg', small, decoding))[0]).toBeGreaterThan(250);
  });

  it.each(['png', 'webp'] as const)('is resized as if its transparency were not there: %s', async (format) => {
    const lossless = format === 'webp' ? { lossless: true } : {};
    const pixels = Uint8Array.from({ length: 16 * 16 * 4 }, (_, i) =>
      i % 4 === 3 ? 5 + (i % 3) * 100 : (i * 37) % 256,
    );
    const picture = sharp(pixels, { raw: { width: 16, height: 16, channels: 4 } });
    const clear = await picture.clone().toFormat(format, lossless).toBuffer();
    const solid = await picture.clone().removeAlpha().png().toBuffer();
    for (const fit of ['fill', 'cover', 'contain'] as const) {
      const seen = await decodeImage(clear, undefined, { ...small, height: 5, width: 9 }, { ...decoding, fit });
      expect([...seen]).toEqual([
        ...(await decodeImage(solid, undefined, { ...small, height: 5, width: 9 }, { ...decoding, fit })),
      ]);
    }
  });

  it('is stretched, cut or padded, as asked', async () => {
    const wide = await sharp({ create: { width: 64, height: 16, channels: 3, background: 'white' } })
      .png()
      .toBuffer();
    const whites = async (fit: 'fill' | 'cover' | 'contain'): Promise<number> =>
      (await decodeImage(wide, 'x.png', small, { ...decoding, fit })).filter((value) => value === 255).length / 3;
    expect([await whites('fill'), await whites('cover'), await whites('contain')]).toEqual([64, 64, 16]);
  });

  it('never takes more memory than its limit of pixels allows', async () => {
    const bomb = await sharp({ create: { width: 20_000, height: 5000, channels: 3, background: 'white' } })
      .png()
      .toBuffer();
    expect(bomb.length).toBeLessThan(1_000_000);
    await expect(decodeImage(bomb, 'x.png', small, decoding)).rejects.toThrow(UnusableImageError);
  });

  it('is within rounding of what Pillow resizes (bilinear, 48 x 40)', async () => {
    const fixture = new URL('../fixtures/pictures/', import.meta.url);
    const expected = await readFile(new URL('picture-48x40.rgb', fixture));
    const pixels = await decodeImage(
      await readFile(new URL('picture.png', fixture)),
      'picture.png',
      { height: 40, width: 48, channels: 3 },
      decoding,
    );
    const off = pixels.map((value, i) => Math.abs(value - (expected[i] ?? 0)));
    expect(off.reduce((sum, d) => sum + d, 0) / off.length).toBeLessThan(1);
    expect(Math.max(...off)).toBeLessThanOrEqual(6);
  });
});

describe('a table beside a data set', () => {
  const columnsOf = async (spec: Record<string, unknown>): Promise<unknown> => {
    const blobs = memoryBlobs();
    const { manifest } = await made(blobs, spec);
    if (manifest.train.columns === undefined) throw new Error('there are no columns');
    return getJson(blobs, manifest.train.columns, SampleColumns);
  };

  it('says of each picture that is kept what its row says, in whatever order the rows are', async () => {
    await writeFiles(folder, {
      'a/1.png': { rgb: [1, 1, 1] },
      'a/2.png': 'broken',
      'a/ä.png': { rgb: [2, 2, 2] },
      'b/1.png': { rgb: [3, 3, 3] },
      'table.csv':
        '\ufefffile,patient,note\nb/1.png,"Smith, J.",x\na/1.png,Doe,y\na/2.png,Roe,z\na\\ä.png,Doe,\nc/9.png,Poe,q\n',
    });
    const table = join(folder, 'table.csv');
    expect(await columnsOf({ table, onError: 'skip' })).toEqual({
      file: ['a/1.png', 'a\\ä.png', 'b/1.png'],
      patient: ['Doe', 'Doe', 'Smith, J.'],
      note: ['y', '', 'x'],
    });
  });

  it.each([
    ['file,x\na/1.png,1\n', /has no row for b\/1\.png/],
    ['name,x\na/1.png,1\n', /must have a column `file`.*and has name, x/],
    ['file,x,x\n', /has two columns "x"/],
    ['file,x\na/1.png,1\na/1.png,2\n', /has two rows for a\/1\.png/],
    ['file,x\na/1.png\n', /is no table: Invalid Record Length/],
  ])('must be one, and say something of every picture: %j', async (text, message) => {
    await writeFiles(folder, { 'a/1.png': { rgb: [1, 1, 1] }, 'b/1.png': { rgb: [3, 3, 3] }, 'table.csv': text });
    await expect(columnsOf({ table: join(folder, 'table.csv') })).rejects.toThrow(message);
    await expect(columnsOf({ table: join(folder, 'none.csv') })).rejects.toThrow(/dataset\.table is .*no such file/);
  });
});
