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
 * The largest number of each window; its gradient goes to the first place that holds it. Where windows overlap on a CPU,
 * places add up several gradients: by the recorded places, because MaxPoolGrad adds in another order in a graph than by
 * itself. (On a GPU that way is not deterministic, and the other is.)
 */
export function maxPooling2d(plan: LayerPlan, spec: PoolingSpec): Stage {
  const window = windowOf(spec);
  const overlap = window.strides[0] < window.size[0] || window.strides[1] < window.size[1];
  if (overlap) {
    return {
      ...plan,
      takesMaxima: true,
      forward({ ops, device }, x, parameters) {
        if (device === 'gpu') return { x, parameters, y: ops.maxPool(x, window) };
        const [y, places] = ops.maxPoolWithArgmax(x, window);
        return { x, parameters, y, saved: [places] };
      },
      backward({ ops, device }, dy, { x, y, saved }) {
        if (device === 'gpu') return { dx: ops.maxPoolGrad(x, y, dy, window), parameters: [] };
        return { dx: ops.maxPoolGradWithArgmax(x, dy, at(saved, 0), window), parameters: [] };
      },
    };
  }
  return {
    ...plan,
    takesMaxima: true,
    forward: ({ ops }, x, parameters) => ({ x, parameters, y: ops.maxPool(x, window) }),
    backward: ({ ops }, dy, { x, y }) => ({ dx: ops.maxPoolGrad(x, y, dy, window), parameters: [] }),
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
