import type { LayerSpec } from '../config/layers.ts';
import { LayerSpec as LayerSchema } from '../config/layers.ts';
import type { Preset } from '../config/model.ts';

const conv = (filters: number): unknown => ({ type: 'conv2d', filters, kernelSize: 3, activation: 'relu' });
const pool: unknown = { type: 'maxPooling2d', poolSize: 2 };

/** Four blocks of convolution and pooling, of Chollet's book. */
const catsDogs: readonly unknown[] = [32, 64, 128, 128].flatMap((filters) => [conv(filters), pool]);

/** A convolution that is normalised before its activation, which makes its bias of no use. */
const normalised = (filters: number, strides = 1): readonly unknown[] => [
  { type: 'conv2d', filters, kernelSize: 3, strides, padding: 'same', useBias: false },
  { type: 'batchNormalization', momentum: 0.9 },
  { type: 'activation', activation: 'relu' },
];

const layersOf: Readonly<Record<Preset, (classes: number) => readonly unknown[]>> = {
  'mnist-convnet': (classes) => [
    conv(32),
    pool,
    conv(64),
    pool,
    conv(64),
    { type: 'flatten' },
    { type: 'dense', units: 64, activation: 'relu' },
    { type: 'dense', units: classes, activation: 'softmax' },
  ],
  'cats-dogs-baseline': () => [
    ...catsDogs,
    { type: 'flatten' },
    { type: 'dense', units: 512, activation: 'relu' },
    { type: 'dense', units: 1, activation: 'sigmoid' },
  ],
  'cats-dogs-augmented': () => [
    ...catsDogs,
    { type: 'flatten' },
    { type: 'dropout', rate: 0.5 },
    { type: 'dense', units: 512, activation: 'relu' },
    { type: 'dense', units: 1, activation: 'sigmoid' },
  ],
  // An eighth of the parameters of the two above, and less than half their work: see docs/photographs.md.
  'cats-dogs-tuned': () => [
    ...normalised(32, 2),
    pool,
    ...normalised(64),
    pool,
    ...normalised(96),
    ...normalised(128),
    pool,
    ...normalised(192),
    { type: 'globalAveragePooling2d' },
    { type: 'dropout', rate: 0.1 },
    { type: 'dense', units: 1, activation: 'sigmoid' },
  ],
};

/** The layers of a net that is built in, for so many classes; with every default filled in. */
export const presetLayers = (preset: Preset, classes: number): LayerSpec[] =>
  layersOf[preset](classes).map((layer) => LayerSchema.parse(layer));
