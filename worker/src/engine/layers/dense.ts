import type { LayerSpec } from '@crossfold/shared/config/layers';
import type { LayerPlan } from '@crossfold/shared/model/plan';
import type { Stage } from './stage.ts';
import { at } from './stage.ts';

/** y = x kernel (+ bias). */
export function dense(plan: LayerPlan, spec: Extract<LayerSpec, { type: 'dense' }>): Stage {
  return {
    ...plan,
    forward({ ops }, x, parameters) {
      const linear = ops.matMul(x, at(parameters, 0));
      return { x, parameters, y: spec.useBias ? ops.biasAdd(linear, at(parameters, 1)) : linear };
    },
    backward({ ops }, dy, { x, parameters }, wantsDx) {
      const dKernel = ops.matMul(x, dy, { transposeA: true });
      return {
        dx: wantsDx ? ops.matMul(dy, at(parameters, 0), { transposeB: true }) : undefined,
        parameters: spec.useBias ? [dKernel, ops.biasAddGrad(dy)] : [dKernel],
      };
    },
  };
}

/** All numbers of a sample in a row. */
export function flatten(plan: LayerPlan): Stage {
  return {
    ...plan,
    forward: ({ ops, samples }, x, parameters) => ({
      x,
      parameters,
      y: ops.reshape(x, [samples, ...plan.outputShape]),
    }),
    backward: ({ ops, samples }, dy) => ({ dx: ops.reshape(dy, [samples, ...plan.inputShape]), parameters: [] }),
  };
}
