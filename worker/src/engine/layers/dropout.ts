import type { LayerSpec } from '@crossfold/shared/config/layers';
import type { LayerPlan } from '@crossfold/shared/model/plan';
import type { Stage } from './stage.ts';

/** In training, x times a mask of 0 and 1 / (1 - rate); otherwise x (Srivastava et al., JMLR 2014). */
export function dropout(plan: LayerPlan, spec: Extract<LayerSpec, { type: 'dropout' }>): Stage {
  const stage: Stage = {
    ...plan,
    dropRate: spec.rate,
    forward: ({ ops, training, mask }, x, parameters) => ({
      x,
      parameters,
      y: training ? ops.mul(x, mask(stage)) : x,
    }),
    backward: ({ ops, mask }, dy) => ({ dx: ops.mul(dy, mask(stage)), parameters: [] }),
  };
  return stage;
}
