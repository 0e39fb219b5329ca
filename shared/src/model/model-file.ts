import { z } from 'zod';
import { decodeTensors, encodeTensors } from '../codec/safetensors.ts';
import { LayerSpec } from '../config/layers.ts';
import { TrainingSpec } from '../config/training.ts';
import { Decoding, ImageShape } from '../data/manifest.ts';
import { DamagedDataError } from '../errors.ts';
import type { ModelPlan } from './plan.ts';
import { planModel } from './plan.ts';

/** A trained net with all that is needed to use it. */
export interface TrainedModel {
  readonly plan: ModelPlan;
  /** How it was trained; of it, loss and optimizer go into other formats. */
  readonly training: TrainingSpec;
  /** Names of the classes. */
  readonly classes: readonly string[];
  /** How pictures become what the net takes; undefined: they come as pixels of the right size. */
  readonly decoding: Decoding | undefined;
  /** All weights in model order, moving statistics included. */
  readonly weights: Float32Array;
}

const format = 'crossfold-model/2';
const Classes = z.array(z.string().max(200)).min(1).max(65_536).readonly();
const Layers = z.array(LayerSpec).min(1).max(1000).readonly();

/** A trained net as a tensor file: a tensor a parameter in model order, the layers and the training beside them. */
export function encodeModel({ plan, training, classes, decoding, weights }: TrainedModel): Uint8Array {
  const tensors = new Map(
    plan.parameters.map(({ name, shape, offset, length }) => [
      name,
      { shape, data: weights.slice(offset, offset + length) },
    ]),
  );
  const [height = 1, width = 1, channels = 1] = plan.inputShape;
  const metadata = {
    format,
    layers: JSON.stringify(plan.layers.map(({ name, spec }) => ({ ...spec, name }))),
    training: JSON.stringify(training),
    image: JSON.stringify({ height, width, channels }),
    classes: JSON.stringify(classes),
    ...(decoding === undefined ? {} : { decoding: JSON.stringify(decoding) }),
  };
  return encodeTensors({ metadata, tensors });
}

/** @throws DamagedDataError where the bytes are no such file; `what` names it in the message. */
export function decodeModel(bytes: Uint8Array, what: string): TrainedModel {
  const { metadata, tensors } = decodeTensors(bytes, what);
  if (metadata.format !== format)
    throw new DamagedDataError(
      `${what} is no model of Crossfold's: its format is ${metadata.format ?? 'not given'}, not ${format}`,
    );
  const read = <T>(name: string, schema: z.ZodType<T>): T => {
    let value: unknown;
    try {
      value = JSON.parse(metadata[name] ?? '');
    } catch (error) {
      throw new DamagedDataError(`${what} is damaged: its ${name} are not JSON`, { cause: error });
    }
    const parsed = schema.safeParse(value);
    if (!parsed.success) throw new DamagedDataError(`${what} is damaged: its ${name}: ${parsed.error.message}`);
    return parsed.data;
  };
  const training = read('training', TrainingSpec);
  const classes = read('classes', Classes);
  const plan = planModel({ layers: read('layers', Layers) }, read('image', ImageShape), classes.length, training.loss);
  // What the layers call for may be any size: it is taken only where the weights are there.
  for (const { name, length } of plan.parameters)
    if (tensors.get(name)?.data.length !== length)
      throw new DamagedDataError(`${what} is damaged: ${name} is missing or has another size`);
  const weights = new Float32Array(plan.weightCount);
  for (const { name, offset } of plan.parameters) weights.set(tensors.get(name)?.data ?? [], offset);
  return {
    plan,
    training,
    classes,
    decoding: metadata.decoding === undefined ? undefined : read('decoding', Decoding),
    weights,
  };
}
