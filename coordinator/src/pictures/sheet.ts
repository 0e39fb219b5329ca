import type { ImageShape } from '@crossfold/shared/data/manifest';
import { Canvas, colourOf } from './canvas.ts';
import { textWidth } from './font.ts';

export interface Captioned {
  /** uint8, [height, width, channels]. */
  readonly pixels: Uint8Array;
  /** Lines below the picture; cut where they are too long. */
  readonly lines: readonly string[];
}

const margin = 16;
const lineHeight = 18;
/** Smaller pictures are drawn with larger pixels. */
const wantedSize = 150;

/** Pictures side by side, with captions. */
export function drawSheet(pictures: readonly Captioned[], shape: ImageShape, perRow: number): Canvas {
  const { height, width, channels } = shape;
  const scale = Math.max(1, Math.floor(wantedSize / Math.max(height, width)));
  const lines = Math.max(0, ...pictures.map((p) => p.lines.length));
  const letters = Math.max(0, ...pictures.flatMap((p) => p.lines.map((line) => line.length)));
  const tile = {
    width: Math.max(width * scale, Math.min(2 * textWidth('x'.repeat(letters)), 2 * wantedSize)) + margin,
    height: height * scale + lines * lineHeight + margin,
  };
  const across = Math.min(perRow, Math.max(1, pictures.length));
  const canvas = new Canvas(across * tile.width + margin, Math.ceil(pictures.length / across) * tile.height + margin);
  const fits = Math.floor((tile.width - margin) / (2 * textWidth('x')));
  pictures.forEach(({ pixels, lines: own }, i) => {
    const x = margin + (i % across) * tile.width;
    const y = margin + Math.floor(i / across) * tile.height;
    canvas.draw(x, y, width, height, scale, (row, column) =>
      colourOf(pixels, (row * width + column) * channels, channels),
    );
    own.forEach((line, n) => {
      const text = line.length <= fits ? line : `${line.slice(0, Math.max(0, fits - 2))}..`;
      canvas.text(x, y + height * scale + 6 + n * lineHeight, text);
    });
  });
  return canvas;
}
