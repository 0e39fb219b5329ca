import type { LayerSpec } from '@crossfold/shared/config/layers';
import { both } from '@crossfold/shared/model/layers';
import type { LayerPlan } from '@crossfold/shared/model/plan';
import type { Window } from '../ops/ops.ts';
import { dilation } from './dilation.ts';
import type { Stage } from './stage.ts';
import { at } from './stage.ts';

/** y = x * kernel, a cross-correlation over height and width; a bias is a stage of its own. */
export function conv2d(plan: LayerPlan, spec: Extract<LayerSpec, { type: 'conv2d' }>): Stage {
  const kernelShape = plan.parameters[0]?.shape ?? [];
  const dilated = dilation(plan.inputShape, both(spec.kernelSize), both(spec.dilation), windowOf(spec));
  const { window } = dilated;
  return {
    ...plan,
    parameters: plan.parameters.slice(0, 1),
    forward({ ops }, x, parameters) {
      const dealt = dilated.deal(ops, x);
      const y = dilated.collect(ops, ops.conv2d(dealt, at(parameters, 0), window));
      return { x, parameters, saved: [dealt], y };
    },
    backward({ ops, samples }, dy, { parameters, saved }, wantsDx) {
      const dLinear = dilated.collectGrad(ops, dy);
      const dKernel = ops.conv2dBackpropFilter(at(saved, 0), kernelShape, dLinear, window);
      const dDealt = (): typeof dy =>
        ops.conv2dBackpropInput(dilated.dealtShape(samples), at(parameters, 0), dLinear, window);
      return {
        dx: wantsDx ? dilated.dealGrad(ops, dDealt()) : undefined,
        parameters: [dKernel],
      };
    },
  };
}

/** Each channel convolved by itself, then a 1 x 1 convolution over all of them; a bias is a stage of its own. */
export function separableConv2d(plan: LayerPlan, spec: Extract<LayerSpec, { type: 'separableConv2d' }>): Stage {
  const [depthwiseShape = [], pointwiseShape = []] = plan.parameters.map(({ shape }) => shape);
  const dilated = dilation(plan.inputShape, both(spec.kernelSize), both(spec.dilation), windowOf(spec));
  const { window } = dilated;
  const [height = 1, width = 1] = plan.outputShape;
  const middleShape = [height, width, pointwiseShape[2] ?? 1];
  return {
    ...plan,
    parameters: plan.parameters.slice(0, 2),
    forward({ ops }, x, parameters) {
      const dealt = dilated.deal(ops, x);
      const middle = dilated.collect(ops, ops.depthwiseConv2d(dealt, at(parameters, 0), window));
      const y = ops.conv2d(middle, at(parameters, 1), pointwise);
      return { x, parameters, saved: [dealt, middle], y };
    },
    backward({ ops, samples }, dy, { parameters, saved }, wantsDx) {
      const dMiddle = ops.conv2dBackpropInput([samples, ...middleShape], at(parameters, 1), dy, pointwise);
      const dDepth = dilated.collectGrad(ops, dMiddle);
      const kernels = [
        ops.depthwiseConv2dBackpropFilter(at(saved, 0), depthwiseShape, dDepth, window),
        ops.conv2dBackpropFilter(at(saved, 1), pointwiseShape, dy, pointwise),
      ];
      const dDealt = (): typeof dy =>
        ops.depthwiseConv2dBackpropInput(dilated.dealtShape(samples), at(parameters, 0), dDepth, window);
      return {
        dx: wantsDx ? dilated.dealGrad(ops, dDealt()) : undefined,
        parameters: kernels,
      };
    },
  };
}

const pointwise: Window = { strides: [1, 1], padding: 'valid' };

const windowOf = (spec: Extract<LayerSpec, { type: 'conv2d' | 'separableConv2d' }>): Window => ({
  strides: both(spec.strides),
  padding: spec.padding,
});
