import { keyedRandom } from '@crossfold/shared/rng';

/** What a fold's order depends on; never on the trial, the job or the group. */
export interface FoldKeys {
  readonly seed: number;
  readonly repeat: number;
  readonly fold: number;
}

/** How a fold's samples are dealt out. */
export interface BatchPlan {
  readonly batchSize: number;
  /** Steps that count as an epoch, where that is not one pass over the samples. */
  readonly stepsPerEpoch?: number | undefined;
}

/** The order of a pass over the training samples. */
export function epochOrder({ seed, repeat, fold }: FoldKeys, epoch: number, train: Uint32Array): Uint32Array {
  return keyedRandom(seed, repeat, fold, 'shuffle', epoch).shuffle(train.slice());
}

/** Steps in an epoch: by default as many as one pass over the samples takes, the last batch with what is left. */
export const stepsPerEpoch = (samples: number, plan: BatchPlan): number =>
  plan.stepsPerEpoch ?? Math.ceil(samples / plan.batchSize);

/** A step's samples; those of the last step of a pass are fewer where the batch size does not divide the samples. */
export const batchOf = (order: Uint32Array, step: number, batchSize: number): Uint32Array =>
  order.subarray(step * batchSize, (step + 1) * batchSize);

/**
 * The batches of a fold, by epoch and step. They are an endless row of passes, each in an order of its own; where
 * `stepsPerEpoch` is set, an epoch is so many steps further along the row, and goes round into the following pass (as
 * Keras' generators do). Otherwise an epoch is a pass.
 */
export function batchesOf(
  keys: FoldKeys,
  train: Uint32Array,
  plan: BatchPlan,
): (epoch: number, step: number) => Uint32Array {
  const perPass = Math.ceil(train.length / plan.batchSize);
  const perEpoch = stepsPerEpoch(train.length, plan);
  let current: { readonly pass: number; readonly order: Uint32Array } | undefined;
  return (epoch, step) => {
    const index = epoch * perEpoch + step;
    const pass = Math.floor(index / perPass);
    if (current?.pass !== pass) current = { pass, order: epochOrder(keys, pass, train) };
    return batchOf(current.order, index % perPass, plan.batchSize);
  };
}

/** The pass over the samples that a step belongs to: the epoch, unless `stepsPerEpoch` is set. */
export const passOf = (samples: number, plan: BatchPlan, epoch: number, step: number): number =>
  Math.floor((epoch * stepsPerEpoch(samples, plan) + step) / Math.ceil(samples / plan.batchSize));

/** The samples of one of a batch's slices: neighbours, as equally many as can be, none where there are too few. */
export const sliceOf = (batch: Uint32Array, slice: number, slices: number): Uint32Array =>
  batch.subarray(sliceStart(batch.length, slice, slices), sliceStart(batch.length, slice + 1, slices));

/** How many of a batch's samples come before one of its slices. */
export const sliceStart = (samples: number, slice: number, slices: number): number =>
  Math.floor((slice * samples) / slices);

/**
 * At most so many samples, evenly spread over all: where they are sorted by class, a part of them has the classes in
 * the same proportions.
 */
export const spread = (samples: Uint32Array, most: number): Uint32Array =>
  most >= samples.length
    ? samples
    : Uint32Array.from({ length: most }, (_, i) => samples[Math.floor((i * samples.length) / most)] ?? 0);

/** Each byte's share of 255, the nearest float32: what `astype('float32') / 255` gives. */
const rescaled = Float32Array.from({ length: 256 }, (_, byte) => byte / 255);

/**
 * Copies samples into a batch, rescaled to [0, 1].
 *
 * @param places of the samples in the store
 * @param out float32, [places.length, sampleBytes]
 */
export function gather(
  store: { readonly pixels: SharedArrayBuffer; readonly sampleBytes: number },
  places: Uint32Array,
  out: Float32Array,
): void {
  const { sampleBytes } = store;
  const pixels = new Uint8Array(store.pixels);
  let to = 0;
  for (const place of places) {
    const end = (place + 1) * sampleBytes;
    for (let from = place * sampleBytes; from < end; from++) out[to++] = rescaled[pixels[from] as number] as number;
  }
}
