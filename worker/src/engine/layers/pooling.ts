import type { LayerSpec } from '@crossfold/shared/config/layers';
import { both } from '@crossfold/shared/model/layers';
import type { LayerPlan } from '@crossfold/shared/model/plan';
import type { PoolWindow } from '../ops/ops.ts';
import type { Stage } from './stage.ts';
import { at } from './stage.ts';

type PoolingSpec = Extract<LayerSpec, { type: 'maxPooling2d' | 'averagePooling2d' }>;

const windowOf = (spec: PoolingSpec): PoolWindow => ({
  size: both(spec.poolSize),
  strides: both(spec.strides ?? spec.poolSize),
  padding: spec.padding,
});

/**
 * The largest number of each window, whose gradient goes to the first place that holds it; with the bias and the relu
 * before it, if any, as one stage. Forward in the usual order; back in another:
 * through the relu by the pooled numbers, then the bias' gradient, and only then through the pooling. The gradients are
 * the same, as all that pooling has left out is 0, and there are a quarter as many numbers to go through.
 *
 * Where windows overlap on a CPU, places add up several gradients: by the recorded places, because MaxPoolGrad adds in
 * another order in a graph than by itself. (On a GPU that way is not deterministic, and the other is.)
 */
export function pooledStages(before: readonly Stage[], plan: LayerPlan, spec: PoolingSpec): Stage {
  const window = windowOf(spec);
  const overlap = window.strides[0] < window.size[0] || window.strides[1] < window.size[1];
  return {
    ...plan,
    parameters: before.flatMap((stage) => stage.parameters),
    inputShape: before[0]?.inputShape ?? plan.inputShape,
    forward(context, x, parameters) {
      const { ops, device } = context;
      // Without it TensorFlow moves a curve that comes before behind the maximum.
      let input = before.length === 0 ? ops.barrier(x) : x;
      for (const stage of before)
        input = stage.forward(context, input, stage.parameters.length > 0 ? parameters : []).y;
      if (!overlap || device === 'gpu') return { x, parameters, y: ops.maxPool(input, window), saved: [input] };
      const [y, places] = ops.maxPoolWithArgmax(input, window);
      return { x, parameters, y, saved: [input, places] };
    },
    backward(context, dy, { y, parameters, saved }, wantsDx) {
      const { ops, device } = context;
      let derivative = dy;
      const gradients: (typeof dy)[] = [];
      for (const stage of before.toReversed()) {
        // Of a bias or a relu only what comes out matters on the way back.
        const back = stage.backward(context, derivative, { x: y, y, parameters }, true);
        gradients.unshift(...back.parameters);
        derivative = back.dx ?? derivative;
      }
      if (!wantsDx) return { dx: undefined, parameters: gradients };
      const dx =
        !overlap || device === 'gpu'
          ? ops.maxPoolGrad(at(saved, 0), y, derivative, window)
          : ops.maxPoolGradWithArgmax(at(saved, 0), derivative, at(saved, 1), window);
      return { dx, parameters: gradients };
    },
  };
}

/** The mean of each window, of those of its elements that lie inside the image. */
export function averagePooling2d(plan: LayerPlan, spec: PoolingSpec): Stage {
  const window = windowOf(spec);
  return {
    ...plan,
    forward: ({ ops }, x, parameters) => ({ x, parameters, y: ops.avgPool(x, window) }),
    backward: ({ ops, samples }, dy) => ({
      dx: ops.avgPoolGrad([samples, ...plan.inputShape], dy, window),
      parameters: [],
    }),
  };
}

/** The mean of each channel over the image. */
export function globalAveragePooling2d(plan: LayerPlan): Stage {
  const [height = 1, width = 1, channels = 1] = plan.inputShape;
  const area = height * width;
  return {
    ...plan,
    forward: ({ ops }, x, parameters) => ({ x, parameters, y: ops.mean(x, [1, 2]) }),
    backward({ ops, samples }, dy) {
      const shares = ops.constant(new Float32Array(area).fill(1 / area), [1, height, width, 1]);
      return { dx: ops.mul(ops.reshape(dy, [samples, 1, 1, channels]), shares), parameters: [] };
    },
  };
}
