import type { Activation } from '@crossfold/shared/config/layers';
import type { Loss } from '@crossfold/shared/config/training';
import type { LayerPlan, ModelPlan } from '@crossfold/shared/model/plan';
import { activation } from './layers/activation.ts';
import { batchNormalization } from './layers/batch-normalization.ts';
import { conv2d, separableConv2d } from './layers/conv2d.ts';
import { bias, dense, flatten } from './layers/dense.ts';
import { dropout } from './layers/dropout.ts';
import type { LossHead } from './layers/loss.ts';
import { lossHead } from './layers/loss.ts';
import { averagePooling2d, globalAveragePooling2d, pooledStages } from './layers/pooling.ts';
import type { Context, Gradients, Pass, Stage } from './layers/stage.ts';
import type { Ops } from './ops/ops.ts';

/** A planned model as what is computed: stages one after another, and a loss at their end. */
export interface Network {
  readonly plan: ModelPlan;
  readonly device: 'cpu' | 'gpu';
  readonly stages: readonly Stage[];
  readonly head: LossHead;
}

/**
 * @param pooled whether a max pooling takes the bias and the relu before it into its own stage, which comes to the same in
 * less time; without it each layer's output is that of a stage
 */
export function buildNetwork(plan: ModelPlan, loss: Loss, device: 'cpu' | 'gpu', pooled = true): Network {
  const head = lossHead(loss, plan.layers.at(-1)?.outputShape[0] ?? 1);
  const stages: Stage[] = [];
  plan.layers.forEach((layer, index) => {
    const before = pooled && layer.spec.type === 'maxPooling2d' ? poolableTail(stages) : [];
    stages.push(...stagesOf(layer, before));
    const kind: Activation = 'activation' in layer.spec ? layer.spec.activation : 'linear';
    const fused = index === plan.layers.length - 1 && kind === head.fused;
    if (kind !== 'linear' && !fused) stages.push(activation(`${layer.name}/${kind}`, layer.outputShape, kind));
  });
  return { plan, device, stages, head };
}

/** Takes the relu and the bias at the end of a row of stages off it. */
function poolableTail(stages: Stage[]): Stage[] {
  const relu = stages.at(-1)?.poolable === 'relu' ? stages.splice(-1) : [];
  const bias = stages.at(-1)?.poolable === 'bias' ? stages.splice(-1) : [];
  return [...bias, ...relu];
}

/**
 * A layer's computation without its activation.
 *
 * @param before stages that a max pooling takes into its own
 */
function stagesOf(layer: LayerPlan, before: readonly Stage[]): Stage[] {
  const { spec } = layer;
  switch (spec.type) {
    case 'conv2d':
      return [conv2d(layer, spec), ...(spec.useBias ? [bias(layer)] : [])];
    case 'separableConv2d':
      return [separableConv2d(layer, spec), ...(spec.useBias ? [bias(layer)] : [])];
    case 'maxPooling2d':
      return [pooledStages(before, layer, spec)];
    case 'averagePooling2d':
      return [averagePooling2d(layer, spec)];
    case 'globalAveragePooling2d':
      return [globalAveragePooling2d(layer)];
    case 'flatten':
      return [flatten(layer)];
    case 'dense':
      return [dense(layer), ...(spec.useBias ? [bias(layer)] : [])];
    case 'dropout':
      return [dropout(layer, spec)];
    case 'batchNormalization':
      return [batchNormalization(layer, spec)];
    case 'activation':
      return [];
  }
}

/** Each stage's parameters, as views into the flat vector of all weights. */
export function unpack<T>(ops: Ops<T>, network: Network, weights: T): readonly (readonly T[])[] {
  return network.stages.map((stage) =>
    stage.parameters.map(({ offset, length, shape }) => {
      const flat = ops.slice(weights, [offset], [length]);
      return shape.length === 1 ? flat : ops.reshape(flat, shape);
    }),
  );
}

/** Forward through all stages; a pass a stage. */
export function forward<T>(
  context: Context<T>,
  network: Network,
  x: T,
  parameters: readonly (readonly T[])[],
): Pass<T>[] {
  const passes: Pass<T>[] = [];
  let input = x;
  network.stages.forEach((stage, i) => {
    const pass = stage.forward(context, input, parameters[i] ?? []);
    passes.push(pass);
    input = pass.y;
  });
  return passes;
}

/** Back from the derivative of the loss by the last stage's output: the gradient as one flat vector like the weights. */
export function backward<T>(context: Context<T>, network: Network, derivative: T, passes: readonly Pass<T>[]): T[] {
  const first = network.stages.findIndex((stage) => stage.parameters.length > 0);
  const parts: T[] = [];
  let dy: T | undefined = derivative;
  for (let i = network.stages.length - 1; i >= first && first >= 0; i--) {
    const stage = network.stages[i];
    const pass = passes[i];
    if (stage === undefined || pass === undefined || dy === undefined)
      throw new RangeError(`no way back at stage ${i}`);
    const { dx, parameters }: Gradients<T> = stage.backward(context, dy, pass, i > first);
    const flat = parameters.map((part, p) =>
      stage.parameters[p]?.shape.length === 1 ? part : context.ops.reshape(part, [stage.parameters[p]?.length ?? -1]),
    );
    parts.unshift(...flat);
    dy = dx;
  }
  return parts;
}
