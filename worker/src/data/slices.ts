import type { AugmentSpec } from '@crossfold/shared/config/augment';
import type { ImageShape } from '@crossfold/shared/data/manifest';
import { keyedRandom } from '@crossfold/shared/rng';
import { applyTransform, drawTransform } from './augment.ts';
import type { BatchPlan, FoldKeys } from './batches.ts';
import { batchesOf, gather, passOf, sliceOf, stepsPerEpoch } from './batches.ts';

/** All that the training slices of a fold follow from, whoever makes them: plain data and shared memory. */
export interface SlicePlan {
  readonly keys: FoldKeys;
  readonly batches: BatchPlan;
  /** Slices that a batch is cut into. */
  readonly slices: number;
  readonly shape: ImageShape;
  /** Undefined: pictures are taken as they are. */
  readonly augment: AugmentSpec | undefined;
  readonly data: {
    readonly pixels: SharedArrayBuffer;
    readonly sampleBytes: number;
    readonly labels: Int32Array;
    /** Places of the training samples. */
    readonly train: Uint32Array;
  };
}

export interface SliceAt {
  readonly epoch: number;
  readonly step: number;
  readonly slice: number;
}

/** The most samples that a slice can have. */
export const largestSlice = ({ batches, slices, data }: SlicePlan): number =>
  Math.ceil(Math.min(batches.batchSize, data.train.length) / slices);

/** Steps in an epoch. */
export const stepsOf = ({ batches, data }: SlicePlan): number => stepsPerEpoch(data.train.length, batches);

/**
 * Makes slices: which samples are in one follows from the fold's keys, epoch, step and slice; how a sample is varied
 * from the keys, the pass over the samples and its place in the data set, so that neither the group nor who makes the
 * slice has a part in it, and a sample that comes twice in an epoch of more than one pass is varied anew.
 *
 * @returns the places of the slice's samples, which it has written to `out` as float32 [samples, sampleBytes]
 */
export function sliceMaker(plan: SlicePlan): (at: SliceAt, out: Float32Array) => Uint32Array {
  const { keys, batches, slices, shape, augment, data } = plan;
  const batch = batchesOf(keys, data.train, batches);
  const pixels = new Uint8Array(data.pixels);
  return ({ epoch, step, slice }, out) => {
    const places = sliceOf(batch(epoch, step), slice, slices);
    if (augment === undefined) {
      gather(data, places, out);
      return places;
    }
    const pass = passOf(data.train.length, batches, epoch, step);
    for (const [i, place] of places.entries()) {
      const random = keyedRandom(keys.seed, keys.repeat, keys.fold, 'augment', pass, place);
      const from = place * data.sampleBytes;
      applyTransform(drawTransform(augment, random, shape), augment, shape, pixels, from, out, i * data.sampleBytes);
    }
    return places;
  };
}

/** Samples of a slice, as the engine takes them. The memory is used again for the next slice. */
export interface Slice {
  /** [samples, height, width, channels] */
  readonly x: Float32Array;
  readonly labels: Int32Array;
}

/** Where the engine gets its slices from. */
export interface SliceSource {
  /**
   * Says what will be asked for: the slices of a range, step by step, from a step on. Asking for anything else is
   * possible, and slow.
   */
  aim(
    from: { readonly epoch: number; readonly step: number },
    range: { readonly from: number; readonly to: number },
  ): void;
  take(at: SliceAt): Slice;
  /** Milliseconds that the engine has waited for slices, from the beginning on. */
  readonly waitedMs: number;
  close(): void;
}

/** Makes slices when they are asked for: the right thing where that is but a copy. */
export function directSlices(plan: SlicePlan): SliceSource {
  const make = sliceMaker(plan);
  const out = new Float32Array(largestSlice(plan) * plan.data.sampleBytes);
  let waitedMs = 0;
  return {
    aim: () => undefined,
    take(at) {
      const started = performance.now();
      const slice = sliceFrom(plan, make(at, out), out);
      waitedMs += performance.now() - started;
      return slice;
    },
    get waitedMs() {
      return waitedMs;
    },
    close: () => undefined,
  };
}

/** The slice whose samples lie at the beginning of some memory. */
export const sliceFrom = ({ data }: SlicePlan, places: ArrayLike<number>, out: Float32Array): Slice => ({
  x: out.subarray(0, places.length * data.sampleBytes),
  labels: Int32Array.from(places, (place) => data.labels[place] ?? 0),
});
