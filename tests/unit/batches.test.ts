import { batchesOf, batchOf, epochOrder, gather, sliceOf, spread, stepsPerEpoch } from '@crossfold/worker/data/batches';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

const ascending = (values: Iterable<number>): number[] => [...values].sort((a, b) => a - b);

const anyFold = fc.record({
  keys: fc.record({ seed: fc.nat(), repeat: fc.nat(3), fold: fc.nat(9) }),
  train: fc.uniqueArray(fc.nat(10_000), { minLength: 1, maxLength: 150 }).map((indices) => Uint32Array.from(indices)),
  batchSize: fc.integer({ min: 1, max: 40 }),
});

describe('batches', () => {
  it('use every sample exactly once an epoch, whatever the batch size, the slices and the group', () => {
    fc.assert(
      fc.property(anyFold, fc.nat(5), fc.integer({ min: 1, max: 9 }), ({ keys, train, batchSize }, epoch, slices) => {
        const batch = batchesOf(keys, train, { batchSize });
        const used: number[] = [];
        const order: number[] = [];
        for (let step = 0; step < stepsPerEpoch(train.length, { batchSize }); step++) {
          order.push(...batch(epoch, step));
          for (let slice = 0; slice < slices; slice++) used.push(...sliceOf(batch(epoch, step), slice, slices));
        }
        expect(ascending(used)).toEqual(ascending(train));
        // Slices follow one another: cutting a batch up changes nothing about its order.
        expect(used).toEqual(order);
        expect(order).toEqual([...epochOrder(keys, epoch, train)]);
      }),
    );
  });

  it('do not depend on what was asked for before', () => {
    fc.assert(
      fc.property(anyFold, fc.nat(4), ({ keys, train, batchSize }, epoch) => {
        const plan = { batchSize };
        const fresh = batchesOf(keys, train, plan);
        const used = batchesOf(keys, train, plan);
        for (const [e, s] of [
          [3, 0],
          [0, 0],
          [epoch, 0],
        ] as const)
          used(e, s);
        expect([...used(epoch, 0)]).toEqual([...fresh(epoch, 0)]);
      }),
    );
  });

  it('go round into the following permutation where an epoch is not a pass', () => {
    const keys = { seed: 5, repeat: 0, fold: 2 };
    const train = Uint32Array.from({ length: 23 }, (_, i) => 100 + i);
    // A pass takes 5 steps of at most 5 samples, an epoch is 7 steps.
    const batch = batchesOf(keys, train, { batchSize: 5, stepsPerEpoch: 7 });
    const stream = [0, 1, 2, 3, 4].flatMap((epoch) => Array.from({ length: 7 }, (_, step) => [...batch(epoch, step)]));
    for (let pass = 0; pass < 7; pass++) {
      const steps = stream.slice(pass * 5, (pass + 1) * 5);
      expect(steps.map((samples) => samples.length)).toEqual([5, 5, 5, 5, 3]);
      expect(steps.flat()).toEqual([...epochOrder(keys, pass, train)]);
    }
    expect(stepsPerEpoch(23, { batchSize: 5, stepsPerEpoch: 7 })).toBe(7);
  });

  it('have another order for each seed, repeat, fold and epoch, and leave the fold as it is', () => {
    const train = Uint32Array.from({ length: 50 }, (_, i) => i);
    const orders = [
      epochOrder({ seed: 1, repeat: 0, fold: 0 }, 0, train),
      epochOrder({ seed: 2, repeat: 0, fold: 0 }, 0, train),
      epochOrder({ seed: 1, repeat: 1, fold: 0 }, 0, train),
      epochOrder({ seed: 1, repeat: 0, fold: 1 }, 0, train),
      epochOrder({ seed: 1, repeat: 0, fold: 0 }, 1, train),
    ].map((order) => order.join());
    expect(new Set(orders).size).toBe(5);
    expect([...train]).toEqual(ascending(train));
  });

  it('of a part of the samples have the classes in their proportions, also where samples are sorted by class', () => {
    const sorted = Uint32Array.from({ length: 90 }, (_, i) => i);
    const some = spread(sorted, 30);
    expect(new Set(some).size).toBe(30);
    expect(some.filter((i) => i < 30)).toHaveLength(10);
    expect(spread(sorted, 90)).toBe(sorted);
  });

  it('have empty slices where there are fewer samples than slices', () => {
    const batch = batchOf(Uint32Array.from([4, 7, 9]), 1, 2);
    expect(Array.from({ length: 4 }, (_, slice) => [...sliceOf(batch, slice, 4)])).toEqual([[], [], [], [9]]);
  });
});

describe('gathering a batch', () => {
  it('takes the samples asked for, in that order, as the nearest float32 to byte / 255', () => {
    const pixels = new SharedArrayBuffer(256);
    new Uint8Array(pixels).set(Array.from({ length: 256 }, (_, i) => i));
    const out = new Float32Array(8);
    gather({ pixels, sampleBytes: 4 }, Uint32Array.from([63, 1]), out);
    expect([...out]).toEqual([252, 253, 254, 255, 4, 5, 6, 7].map((byte) => Math.fround(byte / 255)));
  });
});
