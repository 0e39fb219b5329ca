import type { ClipSpec } from '@crossfold/shared/config/training';
import type { ModelPlan } from '@crossfold/shared/model/plan';
import type { Range } from './optimizers.ts';

/**
 * What happens to a summed gradient before the optimizer applies it, in this order: mean, regularisers, clipping. All
 * in place on flat vectors, in float64 rounded to float32, so that every member of a group gets the same bits.
 */

/** The parts of the flat vector that are descended; neighbours are one part. */
export function trainableRanges(plan: ModelPlan): Range[] {
  const ranges: { from: number; to: number }[] = [];
  for (const { offset, length, trainable } of plan.parameters) {
    if (!trainable) continue;
    const last = ranges.at(-1);
    if (last?.to === offset) last.to += length;
    else ranges.push({ from: offset, to: offset + length });
  }
  return ranges;
}

/** Sums become means: one division, by the batch's number of samples. */
export function divide(sums: Float32Array, samples: number): void {
  for (let i = 0; i < sums.length; i++) sums[i] = (sums[i] as number) / samples;
}

/** Adds the derivative of l1 x sum |w| + l2 x sum w^2 for each parameter that has a regulariser. */
export function addRegularizers(plan: ModelPlan, weights: Float32Array, gradient: Float32Array): void {
  for (const { offset, length, regularizer } of plan.parameters) {
    if (regularizer === undefined) continue;
    const { l1, l2 } = regularizer;
    for (let i = offset; i < offset + length; i++) {
      const w = weights[i] as number;
      gradient[i] = (gradient[i] as number) + l1 * Math.sign(w) + 2 * l2 * w;
    }
  }
}

/** What the regularisers add to the loss. */
export function penalty(plan: ModelPlan, weights: Float32Array): number {
  let total = 0;
  for (const { offset, length, regularizer } of plan.parameters) {
    if (regularizer === undefined) continue;
    let absolute = 0;
    let squares = 0;
    for (let i = offset; i < offset + length; i++) {
      const w = weights[i] as number;
      absolute += Math.abs(w);
      squares += w * w;
    }
    total += regularizer.l1 * absolute + regularizer.l2 * squares;
  }
  return total;
}

/** Bounds each element to [-value, value], then the whole gradient's length to `norm`. */
export function clipGradient(gradient: Float32Array, ranges: readonly Range[], { value, norm }: ClipSpec): void {
  if (value !== undefined) {
    for (const { from, to } of ranges)
      for (let i = from; i < to; i++) gradient[i] = Math.min(Math.max(gradient[i] as number, -value), value);
  }
  if (norm === undefined) return;
  let squares = 0;
  for (const { from, to } of ranges)
    for (let i = from; i < to; i++) squares += (gradient[i] as number) * (gradient[i] as number);
  const length = Math.sqrt(squares);
  if (length <= norm) return;
  const factor = norm / length;
  for (const { from, to } of ranges) for (let i = from; i < to; i++) gradient[i] = (gradient[i] as number) * factor;
}

/**
 * Moves an average of the weights by an update that has been made. For a parameter that is no statistic this is Keras'
 * `use_ema`. A moving statistic in the average is that of the batches themselves, weighted as the weights are that they
 * were computed with; that of the weights in training would belong to other weights wherever the momenta differ.
 *
 * @param sums the gradient, with statistics of the batch x `divisor` in place of those of the net
 * @param first whether it was the first update: the average begins with it
 */
export function moveAverage(
  plan: ModelPlan,
  average: Float32Array,
  weights: Float32Array,
  sums: Float32Array,
  divisor: number,
  momentum: number,
  first: boolean,
): void {
  const kept = first ? 0 : momentum;
  for (const { offset, length, trainable } of plan.parameters) {
    const [from, by] = trainable ? [weights, 1] : [sums, divisor];
    for (let i = offset; i < offset + length; i++)
      average[i] = kept * (average[i] as number) + (1 - kept) * ((from[i] as number) / by);
  }
}

/** BatchNorm's moving statistics follow those of the batch, which are sums / divisor: m = momentum m + (1 - momentum) batch. */
export function moveStatistics(plan: ModelPlan, weights: Float32Array, sums: Float32Array, divisor: number): void {
  for (const { spec, parameters } of plan.layers) {
    if (spec.type !== 'batchNormalization') continue;
    for (const { offset, length, trainable } of parameters) {
      if (trainable) continue;
      for (let i = offset; i < offset + length; i++)
        weights[i] = spec.momentum * (weights[i] as number) + (1 - spec.momentum) * ((sums[i] as number) / divisor);
    }
  }
}
