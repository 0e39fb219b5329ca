import { AugmentSpec } from '@crossfold/shared/config/augment';
import type { SlicePlan, SliceSource } from '@crossfold/worker/data/slices';
import { directSlices } from '@crossfold/worker/data/slices';
import { afterEach, describe, expect, it } from 'vitest';
// A thread runs compiled code.
import { prefetchedSlices } from '../../worker/dist/data/prefetched-slices.js';

const samples = 23;
const shape = { height: 6, width: 5, channels: 3 };
const sampleBytes = 90;
const pixels = new SharedArrayBuffer(samples * sampleBytes);
new Uint8Array(pixels).set(Array.from({ length: samples * sampleBytes }, (_, i) => (i * 7919) % 256));

const planOf = (rest: Partial<SlicePlan> = {}): SlicePlan => ({
  keys: { seed: 3, repeat: 0, fold: 1 },
  batches: { batchSize: 8 },
  slices: 4,
  shape,
  augment: AugmentSpec.parse({ rotation: 40, widthShift: 0.2, zoom: 0.2, horizontalFlip: true }),
  data: {
    pixels,
    sampleBytes,
    labels: Int32Array.from({ length: samples }, (_, i) => i % 3),
    train: Uint32Array.from({ length: samples - 2 }, (_, i) => i + 2),
  },
  ...rest,
});

const sources: SliceSource[] = [];
const kept = (source: SliceSource): SliceSource => {
  sources.push(source);
  return source;
};
afterEach(() => {
  for (const source of sources.splice(0)) source.close();
});

/** The slices of a range for some steps, as text that can be compared. */
function read(source: SliceSource, epochs: number, steps: number, range: { from: number; to: number }): string[] {
  const seen: string[] = [];
  for (let epoch = 0; epoch < epochs; epoch++)
    for (let step = 0; step < steps; step++) {
      source.aim({ epoch, step }, range);
      for (let slice = range.from; slice < range.to; slice++) {
        const { x, labels } = source.take({ epoch, step, slice });
        seen.push(`${epoch} ${step} ${slice}: ${Buffer.from(x.slice().buffer).toString('base64')} ${labels.join()}`);
      }
    }
  return seen;
}

const whole = { from: 0, to: 4 };

describe('slices', () => {
  it('are the same to the bit whether they are made ahead or not, by one or by several', () => {
    const direct = read(kept(directSlices(planOf())), 4, 3, whole);
    expect(read(kept(prefetchedSlices(planOf())), 4, 3, whole)).toEqual(direct);
    const parts = [
      { from: 0, to: 1 },
      { from: 1, to: 3 },
      { from: 3, to: 4 },
    ].flatMap((range) => read(kept(prefetchedSlices(planOf())), 4, 3, range));
    expect(parts.sort()).toEqual([...direct].sort());
  });

  it('are the right ones after a change of the group and of the place', () => {
    const direct = kept(directSlices(planOf()));
    const ahead = kept(prefetchedSlices(planOf()));
    const jumps = [
      [0, 0, 0, 4],
      [0, 1, 0, 2],
      [0, 2, 0, 2],
      [1, 0, 2, 4],
      [0, 2, 0, 4],
      [5, 1, 3, 4],
      [5, 2, 3, 4],
      [6, 0, 3, 4],
    ] as const;
    for (const [epoch, step, from, to] of jumps) {
      ahead.aim({ epoch, step }, { from, to });
      for (let slice = from; slice < to; slice++) {
        const mine = ahead.take({ epoch, step, slice });
        const theirs = direct.take({ epoch, step, slice });
        expect([[...mine.x], [...mine.labels]]).toEqual([[...theirs.x], [...theirs.labels]]);
      }
    }
    expect(ahead.waitedMs).toBeGreaterThan(0);
  });

  it('have pictures that are varied anew in every pass, also where an epoch has more than one', () => {
    // One sample, one step a pass: each of an epoch's five steps is a pass.
    const one = planOf({ batches: { batchSize: 8, stepsPerEpoch: 5 }, slices: 1 });
    const source = kept(directSlices({ ...one, data: { ...one.data, train: Uint32Array.of(7) } }));
    const seen = new Set(read(source, 2, 5, { from: 0, to: 1 }).map((text) => text.split(': ')[1]));
    expect(seen.size).toBe(10);
  });

  it('are plain copies without augmentation', () => {
    const source = kept(directSlices(planOf({ augment: undefined, slices: 1, batches: { batchSize: 100 } })));
    const { x, labels } = source.take({ epoch: 0, step: 0, slice: 0 });
    expect(labels).toHaveLength(21);
    const bytes = new Uint8Array(pixels);
    const known = Array.from({ length: samples }, (_, i) =>
      [...bytes.subarray(i * sampleBytes, (i + 1) * sampleBytes)].map((value) => Math.fround(value / 255)).join(),
    );
    for (let i = 0; i < 21; i++)
      expect(known).toContain([...x.subarray(i * sampleBytes, (i + 1) * sampleBytes)].join());
  });

  it('say why where the thread fails, instead of letting the engine wait', () => {
    const ahead = kept(prefetchedSlices({ ...planOf(), keys: undefined as never }));
    ahead.aim({ epoch: 0, step: 0 }, whole);
    expect(() => ahead.take({ epoch: 0, step: 0, slice: 0 })).toThrow(/prepares training pictures ended: TypeError/);
  });
});
