import { z } from 'zod';
import { LayerSpec } from './layers.ts';

/** Nets that are built in; see `presetLayers` for what they consist of. */
export const Preset = z.enum(['mnist-convnet', 'cats-dogs-baseline', 'cats-dogs-augmented']);
export type Preset = z.infer<typeof Preset>;

/** `model` of an experiment file: a net that is built in, or its layers one after another. */
export const ModelSpec = z.union([
  z.strictObject({ preset: Preset }).readonly(),
  z.strictObject({ layers: z.array(LayerSpec).min(1).max(1000).readonly() }).readonly(),
]);
export type ModelSpec = z.infer<typeof ModelSpec>;
