import type { LayerSpec } from '@crossfold/shared/config/layers';
import { both } from '@crossfold/shared/model/layers';
import type { LayerPlan } from '@crossfold/shared/model/plan';
import type { ConvWindow } from '../ops/ops.ts';
import type { Stage } from './stage.ts';
import { at } from './stage.ts';

/** y = x * kernel (+ bias), a cross-correlation over height and width. */
export function conv2d(plan: LayerPlan, spec: Extract<LayerSpec, { type: 'conv2d' }>): Stage {
  const window: ConvWindow = {
    strides: both(spec.strides),
    padding: spec.padding,
    dilations: both(spec.dilation),
  };
  const kernelShape = plan.parameters[0]?.shape ?? [];
  return {
    ...plan,
    forward({ ops }, x, parameters) {
      const linear = ops.conv2d(x, at(parameters, 0), window);
      return { x, parameters, y: spec.useBias ? ops.biasAdd(linear, at(parameters, 1)) : linear };
    },
    backward({ ops, samples }, dy, { x, parameters }, wantsDx) {
      const dKernel = ops.conv2dBackpropFilter(x, kernelShape, dy, window);
      return {
        dx: wantsDx ? ops.conv2dBackpropInput([samples, ...plan.inputShape], at(parameters, 0), dy, window) : undefined,
        parameters: spec.useBias ? [dKernel, ops.biasAddGrad(dy)] : [dKernel],
      };
    },
  };
}
