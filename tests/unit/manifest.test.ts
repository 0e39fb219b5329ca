import { canonicalJson, sampleDigests, sha256 } from '@crossfold/shared/data/digest';
import { encodeLabels, findDuplicates, Manifest, readLabels } from '@crossfold/shared/data/manifest';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

/** A data set of images of two pixels. */
function manifestOf(train: readonly number[][], test: readonly number[][], over: object = {}): unknown {
  const part = (samples: readonly number[][]): object => ({
    count: samples.length,
    labels: encodeLabels(
      samples.map(() => 0),
      2,
    ),
    sampleDigests: Buffer.from(sampleDigests(Uint8Array.from(samples.flat()), 2)).toString('base64'),
    shards: samples.map((pixels, first) => ({ digest: sha256(Uint8Array.from(pixels)), bytes: 2, first, count: 1 })),
    ...over,
  });
  return {
    schema: 1,
    name: 'two',
    imageShape: { height: 1, width: 2, channels: 1 },
    dtype: 'uint8',
    classes: ['a', 'b'],
    train: part(train),
    test: part(test),
  };
}

describe('a manifest', () => {
  it('finds identical images, within the training samples and across to the test set', () => {
    const manifest = Manifest.parse(
      manifestOf(
        [
          [1, 1],
          [2, 2],
          [1, 1],
          [3, 3],
          [2, 2],
          [1, 1],
        ],
        [
          [4, 4],
          [3, 3],
          [1, 1],
        ],
      ),
    );
    expect(findDuplicates(manifest)).toEqual({
      train: [
        [0, 2, 5],
        [1, 4],
      ],
      testInTrain: [1, 2],
    });
  });

  it.each<[string, object, RegExp]>([
    [
      'shards that leave a gap',
      { shards: [{ digest: '0'.repeat(64), bytes: 2, first: 1, count: 1 }] },
      /a shard begins at 1 after 0 samples/,
    ],
    ['too few shards', { shards: [] }, /the shards hold 0 samples, not 1/],
    ['a shard of another size', { shards: [{ digest: '0'.repeat(64), bytes: 3, first: 0, count: 1 }] }, /has 3 bytes/],
    ['too few digests', { sampleDigests: '' }, /0 bytes of sample digests/],
    ['too many labels', { labels: encodeLabels([0, 0, 0], 2) }, /3 bytes a label/],
    ['a class that it has not', { labels: encodeLabels([2], 2) }, /a label is 2, and there are 2 classes/],
  ])('is refused with %s', (_, over, message) => {
    expect(Manifest.safeParse(manifestOf([[1, 1]], [[2, 2]])).success).toBe(true);
    expect(Manifest.safeParse(manifestOf([[1, 1]], [[2, 2]], over)).error?.message).toMatch(message);
  });

  it('holds labels of any number of classes', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 65_536 }), fc.array(fc.nat(65_535), { minLength: 1 }), (classes, some) => {
        const labels = some.map((label) => label % classes);
        const samples = { count: labels.length, labels: encodeLabels(labels, classes), sampleDigests: '', shards: [] };
        expect([...readLabels(samples)]).toEqual(labels);
      }),
    );
  });
});

describe('canonical JSON', () => {
  it('does not depend on the order in which keys were written', () => {
    expect(canonicalJson({ b: [{ d: 1, c: 'x' }], a: null })).toBe('{"a":null,"b":[{"c":"x","d":1}]}');
    fc.assert(
      fc.property(fc.dictionary(fc.string(), fc.jsonValue()), (value) => {
        const turned = Object.fromEntries(Object.entries(value).reverse());
        expect(canonicalJson(turned)).toBe(canonicalJson(value));
        expect(JSON.parse(canonicalJson(value))).toEqual(JSON.parse(JSON.stringify(value)));
      }),
    );
  });
});
