import { TrainingSpec } from '@crossfold/shared/config/training';
import { Decoding } from '@crossfold/shared/data/manifest';
import { DamagedDataError } from '@crossfold/shared/errors';
import type { TrainedModel } from '@crossfold/shared/model/model-file';
import { planModel } from '@crossfold/shared/model/plan';
import { z } from 'zod';
import { readModelConfig } from './read-config.ts';
import { readTrainingConfig } from './read-training.ts';

/**
 * What Keras has no place for, beside a net in its files under a name of its own: names of the classes, how pictures are
 * decoded, and the whole of the training.
 */
const Extras = z.object({
  classes: z.array(z.string()).min(1),
  decoding: Decoding.optional(),
  training: TrainingSpec.optional(),
});
export const extrasName = 'crossfold';

export const extrasOf = ({ classes, training, decoding }: TrainedModel): z.input<typeof Extras> => ({
  classes: [...classes],
  training,
  ...(decoding === undefined ? {} : { decoding }),
});

/** A parameter of a layer, as a file has it. */
export interface Stored {
  readonly shape: readonly number[];
  readonly data: Float32Array;
}

/** A net as a file of Keras' has it, in parts. */
export interface SavedNet {
  /** Keras' description of the net, JSON. */
  readonly config: string;
  /** Loss and optimizer, JSON, as `training_config` of an HDF5 file has them. */
  readonly training: string | undefined;
  /** What was written under `extrasName`, if it was. */
  readonly extras: unknown;
  /** A parameter of one of Keras' layers: by the last part of its name, or by its place among the layer's. */
  stored(layer: string, parameter: string, place: number): Stored | undefined;
}

/**
 * Makes a net of its parts.
 *
 * @param path names the file in messages
 * @throws ConfigError where the net cannot be had here
 * @throws DamagedDataError where weights are missing or of another size
 */
export function assemble(saved: SavedNet, path: string): TrainedModel {
  const { inputShape, layers, names } = readModelConfig(saved.config, path);
  const [height = 1, width = 1, channels = 1] = inputShape;
  const extras = Extras.safeParse(saved.extras);
  const training =
    extras.data?.training ?? TrainingSpec.parse({ epochs: 1, ...readTrainingConfig(saved.training, layers) });
  const last = layers.findLast((layer) => layer.type === 'dense');
  const outputs = Math.max(2, last?.units ?? 2);
  const plan = planModel({ layers }, { height, width, channels }, outputs, training.loss);
  const all: { readonly offset: number; readonly data: Float32Array }[] = [];
  plan.layers.forEach((layer, i) => {
    layer.parameters.forEach(({ name, shape, offset }, place) => {
      const own = name.slice(name.lastIndexOf('/') + 1);
      const found = saved.stored(names[i] ?? '', own, place);
      if (found === undefined || found.shape.join() !== shape.join())
        throw new DamagedDataError(
          `${path}: ${own} of layer ${names[i]} ${found === undefined ? 'is missing' : `is ${found.shape.join(' x ')}, not ${shape.join(' x ')}`}`,
        );
      all.push({ offset, data: found.data });
    });
  });
  // What the layers call for may be any size: it is taken only now that the weights are there.
  const weights = new Float32Array(plan.weightCount);
  for (const { offset, data } of all) weights.set(data, offset);
  const known = extras.data?.classes.length === outputs ? extras.data : undefined;
  const classes = known?.classes ?? Array.from({ length: outputs }, (_, i) => String(i));
  return { plan, training, classes, decoding: known?.decoding, weights };
}
