import { z } from 'zod';
import { ImageShape } from '../data/manifest.ts';
import { BlobRef } from '../jobs/records.ts';
import { LayerSpec } from './layers.ts';

/** Nets that are built in; see `presetLayers` for what they consist of. */
export const Preset = z.enum(['mnist-convnet', 'cats-dogs-baseline', 'cats-dogs-augmented', 'cats-dogs-tuned']);
export type Preset = z.infer<typeof Preset>;

/** `model` of an experiment file: a net that is built in, its layers one after another, or one from Keras. */
export const ModelSpec = z.union([
  z.strictObject({ preset: Preset }).readonly(),
  z.strictObject({ layers: z.array(LayerSpec).min(1).max(1000).readonly() }).readonly(),
  /** A net that Keras saved, with its weights to begin with. */
  z
    .strictObject({
      /** Keras' HDF5 file, or `.keras`, relative to the experiment file. */
      h5: z.string().min(1).max(4096),
      /** What pictures it takes; this and what follows are filled in when the experiment is read. */
      image: ImageShape.exactOptional(),
      layers: z.array(LayerSpec).min(1).max(1000).readonly().exactOptional(),
      /** Blob of its weights, a model file. */
      weights: BlobRef.exactOptional(),
    })
    .readonly(),
]);
export type ModelSpec = z.infer<typeof ModelSpec>;
