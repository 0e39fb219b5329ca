import type { SliceRange } from '@crossfold/worker/exchange/tree';
import {
  addInto,
  combineTree,
  completeSubtrees,
  NodeSum,
  rankRange,
  splitPoint,
} from '@crossfold/worker/exchange/tree';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { orderSensitive } from '../support/floats.ts';

/** The definition, written down once more: split at the largest power of two below n, add the two halves' sums. */
function sumByDefinition(slices: readonly Float32Array[]): Float32Array {
  const [only] = slices;
  if (slices.length === 1 && only !== undefined) return only.slice();
  const middle = 2 ** Math.ceil(Math.log2(slices.length) - 1);
  const left = sumByDefinition(slices.slice(0, middle));
  const right = sumByDefinition(slices.slice(middle));
  return left.map((value, i) => Math.fround(value + (right[i] ?? Number.NaN)));
}

const bits = (vector: Float32Array): number[] => [...new Uint32Array(vector.slice().buffer)];

const slicesOf = (slices: number, length = 6) =>
  fc.array(
    fc.array(orderSensitive, { minLength: length, maxLength: length }).map((v) => Float32Array.from(v)),
    { minLength: slices, maxLength: slices },
  );

/** Cuts of [0, slices) into contiguous ranges. */
const partitionOf = (slices: number) =>
  fc.subarray(Array.from({ length: slices - 1 }, (_, i) => i + 1)).map((cuts): SliceRange[] => {
    const edges = [0, ...cuts, slices];
    return edges.slice(1).map((to, i) => ({ from: edges[i] ?? 0, to }));
  });

describe('the reduction tree', () => {
  it('is split at the largest power of two below n', () => {
    expect([2, 3, 4, 5, 6, 7, 8, 9, 16, 17].map(splitPoint)).toEqual([1, 2, 2, 4, 4, 4, 4, 8, 8, 16]);
  });

  it('gives every rank a contiguous range, together all slices, as equal as possible', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 64 }), fc.integer({ min: 1, max: 64 }), (slices, size) => {
        const ranges = Array.from({ length: size }, (_, rank) => rankRange(rank, size, slices));
        expect(ranges[0]?.from).toBe(0);
        expect(ranges.at(-1)?.to).toBe(slices);
        ranges.slice(1).forEach((range, i) => {
          expect(range.from).toBe(ranges[i]?.to);
        });
        const lengths = ranges.map((r) => r.to - r.from);
        expect(Math.max(...lengths) - Math.min(...lengths)).toBeLessThanOrEqual(1);
      }),
    );
  });

  it('has the same bits for any M, any partition into contiguous ranges and any order of arrival', () => {
    const cases = fc.integer({ min: 1, max: 24 }).chain((slices) =>
      fc.record({
        vectors: slicesOf(slices),
        partition: partitionOf(slices),
        arrival: fc.infiniteStream(fc.nat()),
      }),
    );
    fc.assert(
      fc.property(cases, ({ vectors, partition, arrival }) => {
        const slices = vectors.length;
        const sums = partition.flatMap((range) =>
          completeSubtrees(slices, range).map((node) => {
            const sum = new NodeSum();
            for (const vector of vectors.slice(node.from, node.to)) sum.add(vector.slice());
            return { key: `${node.from}-${node.to}`, vector: sum.total() };
          }),
        );
        const arrived = new Map<string, Float32Array>();
        while (sums.length > 0) {
          const [sum] = sums.splice((arrival.next().value ?? 0) % sums.length, 1);
          if (sum !== undefined) arrived.set(sum.key, sum.vector);
        }
        const total = combineTree(slices, (node) => arrived.get(`${node.from}-${node.to}`));
        expect(bits(total)).toEqual(bits(sumByDefinition(vectors)));
      }),
      { numRuns: 500 },
    );
  });

  it('is a tree that matters: other orders give other bits for these values', () => {
    const vectors = [2 ** 24, 1, 1, -(2 ** 24)].map((v) => Float32Array.of(v));
    const leftToRight = vectors
      .map((v) => v.slice())
      .reduce<Float32Array>((sum, v) => addInto(sum, v), new Float32Array(1));
    expect(bits(leftToRight)).not.toEqual(bits(sumByDefinition(vectors)));
  });

  it('hands out complete subtrees only, the fewest that make up the range', () => {
    expect(completeSubtrees(4, { from: 0, to: 2 })).toEqual([{ from: 0, to: 2 }]);
    expect(completeSubtrees(4, { from: 1, to: 4 })).toEqual([
      { from: 1, to: 2 },
      { from: 2, to: 4 },
    ]);
    expect(completeSubtrees(6, { from: 4, to: 6 })).toEqual([{ from: 4, to: 6 }]);
    expect(completeSubtrees(6, { from: 3, to: 6 })).toEqual([
      { from: 3, to: 4 },
      { from: 4, to: 6 },
    ]);
    expect(completeSubtrees(5, { from: 2, to: 2 })).toEqual([]);
  });

  it('adds like IEEE 754: denormals, signed zeros, infinities and NaN', () => {
    const left = Float32Array.of(2 ** -149, -0, -0, Infinity, Infinity, NaN, 2 ** -126);
    addInto(left, Float32Array.of(2 ** -149, -0, 0, 1, -Infinity, 1, -(2 ** -149)));
    expect([...left]).toEqual([2 ** -148, -0, 0, Infinity, NaN, NaN, 2 ** -126 - 2 ** -149]);
  });

  it('refuses vectors of different lengths and missing parts', () => {
    expect(() => addInto(new Float32Array(2), new Float32Array(3))).toThrow(RangeError);
    expect(() => combineTree(2, (n) => (n.from === 0 && n.to === 1 ? new Float32Array(1) : undefined))).toThrow(
      /slice 1/,
    );
  });
});
