import type { LayerSpec } from '@crossfold/shared/config/layers';
import type { LayerPlan } from '@crossfold/shared/model/plan';
import type { Ops } from '../ops/ops.ts';
import type { Stage } from './stage.ts';
import { at } from './stage.ts';

/**
 * y = gamma (x - mean) / sqrt(variance + epsilon) + beta, by channel: in training with the mean and variance of the
 * slice, otherwise with the moving ones (Ioffe and Szegedy, "Batch normalization", ICML 2015). The place of a moving
 * statistic in the gradient has the slice's own, times its samples.
 */
export function batchNormalization(plan: LayerPlan, spec: Extract<LayerSpec, { type: 'batchNormalization' }>): Stage {
  const channels = plan.inputShape.at(-1) ?? 1;
  const spots = plan.inputShape.reduce((product, n) => product * n, 1) / channels;
  /** TensorFlow normalises images only. */
  const asImage = <T>(ops: Ops<T>, x: T, samples: number): T =>
    plan.inputShape.length === 3 ? x : ops.reshape(x, [samples, 1, 1, channels]);
  const asGiven = <T>(ops: Ops<T>, x: T, samples: number): T =>
    plan.inputShape.length === 3 ? x : ops.reshape(x, [samples, ...plan.inputShape]);
  const gammaOf = <T>(ops: Ops<T>, parameters: readonly T[]): T =>
    spec.scale ? at(parameters, 0) : ops.constant(new Float32Array(channels).fill(1), [channels]);
  const betaOf = <T>(ops: Ops<T>, parameters: readonly T[]): T =>
    spec.center ? at(parameters, spec.scale ? 1 : 0) : ops.constant(new Float32Array(channels), [channels]);
  const moving = (spec.scale ? 1 : 0) + (spec.center ? 1 : 0);

  return {
    ...plan,
    forward({ ops, samples, training }, x, parameters) {
      const statistics = training ? undefined : ([at(parameters, moving), at(parameters, moving + 1)] as const);
      // In evaluation TensorFlow would join it to a convolution before, with other bits.
      const image = asImage(ops, training ? x : ops.barrier(x), samples);
      const outputs = ops.batchNorm(image, gammaOf(ops, parameters), betaOf(ops, parameters), spec.epsilon, statistics);
      return { x, parameters, y: asGiven(ops, at(outputs, 0), samples), saved: [image, ...outputs.slice(1)] };
    },
    backward({ ops, samples }, dy, { parameters, saved }, wantsDx) {
      const [image, mean, variance] = [at(saved, 0), at(saved, 1), at(saved, 2)];
      const gamma = gammaOf(ops, parameters);
      const reserved = saved?.slice(3) ?? [];
      const derivatives = ops.batchNormGrad(asImage(ops, dy, samples), image, gamma, spec.epsilon, reserved);
      // TensorFlow's variance is that of a sample drawn from a population (n - 1); Keras averages the batch's own (n).
      const n = samples * spots;
      const ofBatch = n > 1 ? (n - 1) / n : 1;
      return {
        dx: wantsDx ? asGiven(ops, at(derivatives, 0), samples) : undefined,
        parameters: [
          ...(spec.scale ? [at(derivatives, 1)] : []),
          ...(spec.center ? [at(derivatives, 2)] : []),
          ops.mul(mean, ops.scalar(samples)),
          ops.mul(variance, ops.scalar(samples * ofBatch)),
        ],
      };
    },
  };
}
