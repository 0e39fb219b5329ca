import type { TrainedModel } from '@crossfold/shared/model/model-file';
import type { Context } from '../engine/layers/stage.ts';
import { buildNetwork, forward } from '../engine/network.ts';
import { GraphOps } from '../engine/ops/graph.ts';
import { writeFolder } from './write-folder.ts';

/** Pictures in any number. */
const any = -1;

/**
 * Writes a net as a TensorFlow SavedModel: the graph of a prediction with the weights in it as constants, to be called
 * by its signature `serving_default` with `x` (float32 from 0 to 1) for `outputs`.
 */
export async function writeSavedModel(folder: string, model: TrainedModel): Promise<void> {
  await writeFolder(folder, { 'saved_model.pb': savedModel(model) });
}

function savedModel({ plan, training, weights }: TrainedModel): Uint8Array {
  const ops = new GraphOps();
  const network = buildNetwork(plan, training.loss, 'cpu');
  const x = { dtype: 'float32', shape: [any, ...plan.inputShape] } as const;
  const input = ops.placeholder('x', x.dtype, x.shape);
  const parameters = network.stages.map((stage) =>
    stage.parameters.map(({ offset, length, shape }) => ops.constant(weights.slice(offset, offset + length), shape)),
  );
  const context: Context<string> = {
    ops,
    samples: any,
    device: 'cpu',
    training: false,
    mask: () => {
      throw new Error('nothing is dropped in a prediction');
    },
  };
  const last = forward(context, network, input, parameters).at(-1)?.y ?? input;
  const outputs = network.head.outputs(ops, last);
  return ops.savedModel({
    inputs: { x: { tensor: input, ...x } },
    outputs: { outputs: { tensor: outputs, dtype: 'float32', shape: [any, plan.layers.at(-1)?.outputShape[0] ?? 1] } },
  });
}
