import type { LayerPlan } from '@crossfold/shared/model/plan';
import type { Stage } from './stage.ts';
import { at } from './stage.ts';

/** y = x kernel; a bias is a stage of its own. */
export function dense(plan: LayerPlan): Stage {
  return {
    ...plan,
    parameters: plan.parameters.slice(0, 1),
    forward: ({ ops }, x, parameters) => ({ x, parameters, y: ops.matMul(x, at(parameters, 0)) }),
    backward: ({ ops }, dy, { x, parameters }, wantsDx) => ({
      dx: wantsDx ? ops.matMul(dy, at(parameters, 0), { transposeB: true }) : undefined,
      parameters: [ops.matMul(x, dy, { transposeA: true })],
    }),
  };
}

/** y = x + bias, channel by channel: the second half of a layer that has one. */
export function bias(plan: LayerPlan): Stage {
  return {
    name: `${plan.name}/bias`,
    parameters: plan.parameters.slice(-1),
    inputShape: plan.outputShape,
    outputShape: plan.outputShape,
    poolable: 'bias',
    forward: ({ ops }, x, parameters) => ({ x, parameters, y: ops.biasAdd(x, at(parameters, 0)) }),
    backward: ({ ops }, dy) => ({ dx: dy, parameters: [ops.biasAddGrad(dy)] }),
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
