import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { cut } from '@crossfold/coordinator/data/cut';
import { KnownCuts } from '@crossfold/coordinator/data/known-cuts';
import { samplesPerShard } from '@crossfold/coordinator/data/shard-writer';
import type { SourceFile } from '@crossfold/coordinator/data/source';
import { SourceBundle } from '@crossfold/coordinator/data/source';
import { checkMnist, uploadSource } from '@crossfold/coordinator/data/upload';
import { getJson } from '@crossfold/shared/broker/json-blobs';
import { sha256 } from '@crossfold/shared/data/digest';
import type { Manifest, Shard } from '@crossfold/shared/data/manifest';
import { DamagedDataError } from '@crossfold/shared/errors';
import { SampleColumns } from '@crossfold/shared/folds/samples';
import { DatasetCache } from '@crossfold/worker/data/dataset-cache';
import { ShardCache } from '@crossfold/worker/data/shard-cache';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { idxBytes } from '../support/idx.ts';
import type { MemoryBlobs } from '../support/memory-blobs.ts';
import { memoryBlobs } from '../support/memory-blobs.ts';

const side = 1024;
const sampleBytes = side * side;
/** Images of 1 MiB: four of them are a shard. */
const pixelOf = (sample: number): number => (sample * 37 + 11) % 256;

type IdxBundle = Extract<SourceBundle, { kind: 'idx' }>;

async function uploaded(blobs: MemoryBlobs, samples: number, partBytes?: number): Promise<IdxBundle> {
  const file = async (path: string, bytes: Uint8Array, headerBytes: number): Promise<SourceFile> => {
    const parts: SourceFile['parts'][number][] = [];
    const step = partBytes ?? bytes.length;
    for (let from = 0, to = partBytes ?? headerBytes; from < bytes.length; from = to, to += step) {
      const part = bytes.subarray(from, to);
      parts.push({ digest: await blobs.put(part), bytes: part.length });
    }
    return { path, bytes: bytes.length, parts };
  };
  const pixels = new Uint8Array(samples * sampleBytes);
  for (let i = 0; i < samples; i++) pixels.fill(pixelOf(i), i * sampleBytes, (i + 1) * sampleBytes);
  const labels = Uint8Array.from({ length: samples }, (_, i) => i % 3);
  return {
    kind: 'idx',
    name: 'squares',
    train: {
      images: await file('images', idxBytes([samples, side, side], pixels), 16),
      labels: await file('labels', idxBytes([samples], labels), 8),
    },
    test: null,
  };
}

const manifestOf = async (blobs: MemoryBlobs, samples: number, partBytes?: number): Promise<Manifest> =>
  (await cut(await uploaded(blobs, samples, partBytes), { path: 'squares' }, blobs)).manifest;

let folder = '';
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'crossfold-shards-'));
});
afterEach(() => rm(folder, { recursive: true }));

describe('cutting', () => {
  it('makes shards of 2 to 4 MiB, of as many samples as their size alone says', () => {
    expect(samplesPerShard(28 * 28)).toBe(4096);
    expect(samplesPerShard(150 * 150 * 3)).toBe(32);
    expect(samplesPerShard(3000 * 3000 * 3)).toBe(1);
  });

  it('gives data sets that begin alike the same shards', async () => {
    const longer = await manifestOf(memoryBlobs(), 10);
    const shorter = await manifestOf(memoryBlobs(), 9);
    expect(longer.train.shards.map(({ count }) => count)).toEqual([4, 4, 2]);
    expect(shorter.train.shards.slice(0, 2)).toEqual(longer.train.shards.slice(0, 2));
  });

  it('gives the same whatever the parts are in which the files were uploaded', async () => {
    const whole = await manifestOf(memoryBlobs(), 5);
    expect(await manifestOf(memoryBlobs(), 5, 1_500_001)).toEqual(whole);
    expect(await manifestOf(memoryBlobs(), 5, 7_000_000)).toEqual(whole);
  });

  it('notices parts that are missing', async () => {
    const blobs = memoryBlobs();
    const bundle = await uploaded(blobs, 5, 3_000_000);
    const { images } = bundle.train;
    const without = { ...bundle, train: { ...bundle.train, images: { ...images, parts: images.parts.slice(0, -1) } } };
    await expect(cut(without, { path: 'squares' }, blobs)).rejects.toThrow(
      /of images, 3000000 bytes were uploaded, and/,
    );
  });
});

describe('a data set that was cut before', () => {
  const spec = { path: 'squares' };
  const digestsOf = ({ train, test }: Manifest): string[] =>
    [train, ...(test === null ? [] : [test])].flatMap(({ shards }) => shards.map(({ digest }) => digest));

  it('is not fetched again for the next experiment on the same files, wherever they lay', async () => {
    const blobs = memoryBlobs();
    const bundle = await uploaded(blobs, 10, 3_000_000);
    const cuts = new KnownCuts();
    const first = await cuts.cut(bundle, spec, blobs, () => undefined);
    const before = blobs.fetched.length;
    const second = await cuts.cut(bundle, { path: '/elsewhere/squares' }, blobs, () => undefined);
    expect(second).toEqual(first);
    expect(blobs.fetched.slice(before)).toEqual([first.reference.digest]);
  });

  it('is cut anew with another limit, and where something of it is gone', async () => {
    const blobs = memoryBlobs();
    const bundle = await uploaded(blobs, 10, 3_000_000);
    const cuts = new KnownCuts();
    const whole = await cuts.cut(bundle, spec, blobs, () => undefined);
    const fewer = await cuts.cut(bundle, { ...spec, limit: 9 }, blobs, () => undefined);
    expect(fewer.manifest.train.count).toBe(9);
    for (const digest of [whole.reference.digest, digestsOf(whole.manifest)[1] ?? '']) {
      blobs.blobs.delete(digest);
      expect(await cuts.cut(bundle, spec, blobs, () => undefined)).toEqual(whole);
      expect(blobs.blobs.has(digest)).toBe(true);
    }
  });
});

describe('MNIST', () => {
  it('is the canonical one; its shards are stored once, as they were uploaded', async () => {
    const blobs = memoryBlobs();
    const spec = { name: 'mnist', limit: 5000 } as const;
    const bundle = await getJson(blobs, await uploadSource(spec, folder, blobs), SourceBundle);
    const before = blobs.stored.length;
    const { manifest, reference } = await cut(bundle, spec, blobs);
    expect(blobs.stored.slice(before)).toEqual([reference.digest]);
    expect(manifest).toMatchObject({
      name: 'mnist',
      imageShape: { height: 28, width: 28, channels: 1 },
      classes: ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9'],
      train: { count: 5000, shards: [{ count: 4096 }, { count: 904 }] },
      test: { count: 10_000 },
    });
  });

  it('is refused where a file is another', () => {
    expect(() => checkMnist('testLabels', idxBytes([1], Uint8Array.from([7])), 'some/file')).toThrow(DamagedDataError);
    expect(() => checkMnist('testLabels', new Uint8Array(0), 'some/file')).toThrow(
      `some/file is not MNIST's: its SHA-256 is ${sha256('')}, not ff7bcfd4`,
    );
  });
});

describe('the shard cache', () => {
  let blobs: MemoryBlobs;
  let shard: Shard;
  let troubles: string[];
  const cache = (): ShardCache => new ShardCache({ folder, blobs, onTrouble: (message) => troubles.push(message) });
  const files = async (): Promise<string[]> =>
    (await readdir(folder, { recursive: true, withFileTypes: true }))
      .filter((f) => f.isFile())
      .map((f) => join(f.parentPath, f.name));
  beforeEach(async () => {
    troubles = [];
    blobs = memoryBlobs();
    const pixels = Uint8Array.from([1, 2, 3, 4]);
    shard = { digest: await blobs.put(pixels), bytes: 4, first: 8, count: 2 };
  });

  it('fetches a shard once, and has it on disk from then on', async () => {
    expect([...(await cache().get(shard, 'd'))]).toEqual([1, 2, 3, 4]);
    expect([...(await cache().get(shard, 'd'))]).toEqual([1, 2, 3, 4]);
    expect(blobs.fetched).toEqual([shard.digest]);
  });

  it.each([
    ['changed', Uint8Array.from([1, 2, 3, 5])],
    ['cut off', Uint8Array.from([1, 2])],
  ])('fetches a shard again whose file was %s', async (_, damage) => {
    await cache().get(shard, 'd');
    const [file = ''] = await files();
    await writeFile(file, damage);
    expect([...(await cache().get(shard, 'd'))]).toEqual([1, 2, 3, 4]);
    expect([...(await readFile(file))]).toEqual([1, 2, 3, 4]);
    expect(troubles).toEqual([`the cached shard ${file} is damaged and is fetched again`]);
  });

  it('fetches a shard again that arrived damaged', async () => {
    const { get } = blobs;
    let times = 0;
    blobs.get = async (digest, max) => (times++ < 2 ? Uint8Array.from([9, 9, 9, 9]) : get(digest, max));
    expect([...(await cache().get(shard, 'd'))]).toEqual([1, 2, 3, 4]);
    expect(troubles).toHaveLength(2);
  });

  it('reports a shard that stays damaged, with its name and the data set, and caches nothing', async () => {
    blobs.blobs.set(shard.digest, Uint8Array.from([9, 9, 9, 9]));
    const failed = cache().get(shard, 'digits');
    await expect(failed).rejects.toBeInstanceOf(DamagedDataError);
    await expect(failed).rejects.toThrow(
      `shard ${shard.digest.slice(0, 12)} (samples 8 to 9) of data set digits is damaged; fetched 3 times`,
    );
    expect(blobs.fetched).toHaveLength(3);
    expect(await files()).toEqual([]);
  });

  it('does not call a shard damaged that could not be fetched', async () => {
    blobs.get = async () => {
      throw new RangeError('no route');
    };
    await expect(cache().get(shard, 'd')).rejects.toThrow(RangeError);
  });

  it('does its work where nothing can be written', async () => {
    await writeFile(join(folder, shard.digest.slice(0, 2)), 'a file where a folder should be');
    expect([...(await cache().get(shard, 'd'))]).toEqual([1, 2, 3, 4]);
    expect(troubles.at(-1)).toMatch(/^cannot cache a shard/);
  });

  it('may be used by several at once', async () => {
    const all = await Promise.all(Array.from({ length: 8 }, () => cache().get(shard, 'd')));
    expect(all.map(sha256)).toEqual(Array(8).fill(shard.digest));
    expect(await files()).toHaveLength(1);
    expect(troubles).toEqual([]);
  });
});

describe('data sets in memory', () => {
  const open = (blobs: MemoryBlobs, maxBytes: number): DatasetCache =>
    new DatasetCache(new ShardCache({ folder, blobs, onTrouble: () => undefined }), maxBytes);
  const shardsFetched = (blobs: MemoryBlobs, manifest: Manifest): number =>
    blobs.fetched.filter((digest) => manifest.train.shards.some((s) => s.digest === digest)).length;

  it('hold every sample at the place of its index', async () => {
    const blobs = memoryBlobs();
    const manifest = await manifestOf(blobs, 10);
    const store = await open(blobs, 1e9).train(manifest);
    const pixels = new Uint8Array(store.pixels);
    for (const place of store.all)
      for (const at of [0, sampleBytes - 1]) expect(pixels[place * sampleBytes + at]).toBe(pixelOf(place));
    expect([...store.labels]).toEqual([0, 1, 2, 0, 1, 2, 0, 1, 2, 0]);
  });

  it('load the shards that are needed, each once, into the same memory', async () => {
    const blobs = memoryBlobs();
    const manifest = await manifestOf(blobs, 10);
    blobs.fetched.length = 0;
    const datasets = open(blobs, 1e9);
    const first = await datasets.train(manifest, { indices: Uint32Array.from([9, 8, 1]) });
    expect(shardsFetched(blobs, manifest)).toBe(2);
    const second = await datasets.train(manifest);
    expect(second.pixels).toBe(first.pixels);
    expect(shardsFetched(blobs, manifest)).toBe(3);
  });

  it('make room for one another', async () => {
    const blobs = memoryBlobs();
    const [a, b] = [await manifestOf(blobs, 4), await manifestOf(blobs, 5)];
    const roomy = open(blobs, 9 * sampleBytes);
    const kept = await roomy.train(a);
    await roomy.train(b);
    expect((await roomy.train(a)).pixels).toBe(kept.pixels);
    const tight = open(blobs, 9 * sampleBytes - 1);
    const gone = await tight.train(a);
    await tight.train(b);
    expect((await tight.train(a)).pixels).not.toBe(gone.pixels);
  });

  it('stop loading when asked to, and go on the next time', async () => {
    const blobs = memoryBlobs();
    const manifest = await manifestOf(blobs, 10);
    const datasets = open(blobs, 1e9);
    const stop = new AbortController();
    stop.abort(new Error('enough'));
    await expect(datasets.train(manifest, { signal: stop.signal })).rejects.toThrow('enough');
    const { get } = blobs;
    blobs.get = async () => {
      throw new RangeError('no route');
    };
    await expect(datasets.train(manifest)).rejects.toThrow('no route');
    blobs.get = get;
    expect((await datasets.train(manifest)).labels).toHaveLength(10);
  });
});

describe('a table beside IDX files', () => {
  it('has a row for each sample, in order', async () => {
    const labels = Uint8Array.of(0, 1, 0, 1);
    await writeFile(join(folder, 'train-labels-idx1-ubyte'), idxBytes([4], labels));
    await writeFile(join(folder, 'train-images-idx3-ubyte'), idxBytes([4, 2, 2], new Uint8Array(16)));
    await writeFile(join(folder, 'who.csv'), 'who\nann\nbob\ncal\ndan\n');
    const blobs = memoryBlobs();
    const spec = { path: folder, table: 'who.csv', limit: 3 } as const;
    const bundle = await getJson(blobs, await uploadSource(spec, folder, blobs), SourceBundle);
    const { columns } = (await cut(bundle, spec, blobs)).manifest.train;
    expect(await getJson(blobs, columns ?? { digest: '' }, SampleColumns)).toEqual({ who: ['ann', 'bob', 'cal'] });
    await writeFile(join(folder, 'who.csv'), 'who\nann\n');
    await expect(uploadSource(spec, folder, blobs)).rejects.toThrow(/a row for each of the 3 samples, and has 1/);
  });
});
