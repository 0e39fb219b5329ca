import type { LayerPlan } from '@crossfold/shared/model/plan';
import type { Activation } from '@crossfold/worker/engine/predictor';
import { Canvas } from './canvas.ts';
import { viridisTable } from './viridis.ts';

const perRow = 16;
const margin = 16;
const caption = 30;
/** Width of the maps of a layer; those of small images are drawn with larger pixels. */
const wantedWidth = 1280;
const gap = 2;

/** Layers whose maps are worth seeing: what a convolution finds, and what a pooling leaves of it. */
const isShown = ({ spec, outputShape }: LayerPlan): boolean =>
  outputShape.length === 3 &&
  (spec.type.endsWith('onv2d') || spec.type === 'maxPooling2d' || spec.type === 'averagePooling2d');

/**
 * Draws every channel of every convolution and pooling layer for one picture, as in Chollet's book: 16 a row, each
 * channel with its mean in the middle of the scale and its spread at a quarter of it, in viridis.
 */
export function drawActivations(activations: readonly Activation[], layers: readonly LayerPlan[]): Canvas {
  const shown = layers.flatMap((layer, i) => {
    const activation = activations[i];
    return activation !== undefined && isShown(layer) ? [{ layer, ...placed(activation) }] : [];
  });
  const width = Math.max(400, ...shown.map((s) => s.width)) + 2 * margin;
  const height = shown.reduce((sum, s) => sum + s.height + caption + margin, margin);
  const canvas = new Canvas(width, height);
  let y = margin;
  for (const { layer, activation, scale, height: own } of shown) {
    const [rows = 1, columns = 1, channels = 1] = activation.shape;
    canvas.text(margin, y + 4, `${layer.name}: ${channels} maps of ${rows} x ${columns}`);
    y += caption;
    for (let channel = 0; channel < channels; channel++) {
      const colours = contrasted(activation, channel);
      const x = margin + (channel % perRow) * (columns * scale + gap);
      const top = y + Math.floor(channel / perRow) * (rows * scale + gap);
      canvas.draw(
        x,
        top,
        columns,
        rows,
        scale,
        (row, column) => viridisTable[colours[row * columns + column] ?? 0] ?? [0, 0, 0],
      );
    }
    y += own + margin;
  }
  return canvas;
}

function placed(activation: Activation) {
  const [rows = 1, columns = 1, channels = 1] = activation.shape;
  const across = Math.min(perRow, channels);
  const scale = Math.max(1, Math.floor((wantedWidth / perRow - gap) / columns));
  return {
    activation,
    scale,
    width: across * (columns * scale + gap),
    height: Math.ceil(channels / perRow) * (rows * scale + gap),
  };
}

/** A channel as numbers from 0 to 255: its mean is 128, a standard deviation 64; one that is the same everywhere is 0. */
function contrasted({ shape, values }: Activation, channel: number): Uint8Array {
  const [rows = 1, columns = 1, channels = 1] = shape;
  const map = Float64Array.from({ length: rows * columns }, (_, i) => values[i * channels + channel] ?? 0);
  const mean = map.reduce((sum, v) => sum + v, 0) / map.length;
  const spread = Math.sqrt(map.reduce((sum, v) => sum + (v - mean) ** 2, 0) / map.length);
  return Uint8Array.from(map, (v) =>
    spread < 1e-12 ? 0 : Math.round(Math.min(255, Math.max(0, ((v - mean) / spread) * 64 + 128))),
  );
}
