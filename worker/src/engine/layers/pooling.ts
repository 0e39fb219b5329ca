import type { LayerSpec } from '@crossfold/shared/config/layers';
import { both } from '@crossfold/shared/model/layers';
import type { LayerPlan } from '@crossfold/shared/model/plan';
import type { PoolWindow } from '../ops/ops.ts';
import type { Stage } from './stage.ts';

type PoolingSpec = Extract<LayerSpec, { type: 'maxPooling2d' | 'averagePooling2d' }>;

const windowOf = (spec: PoolingSpec): PoolWindow => ({
  size: both(spec.poolSize),
  strides: both(spec.strides ?? spec.poolSize),
  padding: spec.padding,
});

/** The largest number of each window; its gradient goes to the first place that holds it. */
export function maxPooling2d(plan: LayerPlan, spec: PoolingSpec): Stage {
  const window = windowOf(spec);
  return {
    ...plan,
    forward: ({ ops }, x, parameters) => ({ x, parameters, y: ops.maxPool(x, window) }),
    backward: ({ ops }, dy, { x, y }) => ({ dx: ops.maxPoolGrad(x, y, dy, window), parameters: [] }),
  };
}
