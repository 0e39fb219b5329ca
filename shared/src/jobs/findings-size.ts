import type { ImageShape } from '../data/manifest.ts';

/** Mistakes that are kept with their pictures. */
export const shownMistakes = 12;
/** Pictures with a longer side are made smaller for the report. */
export const shownPixels = 128;

/** Beside its picture: a name, numbers, and what holds them together. */
const mistakeBytes = 1024;
const reliabilityBytes = 4096;
/** Of a picture file, beside what its pixels come to. */
const fileBytes = 1024;

/** Up to this side they are kept without loss. */
export const losslessPixels = 32;

/**
 * Bytes that the findings on a fold have at most. Noise is the worst there is: as JPEG of quality 80 it comes to 0.65 bytes a
 * pixel (128 x 128), without loss to its values; base64 makes four of three.
 */
export function mostFindingsBytes({ height, width, channels }: ImageShape): number {
  const side = Math.max(height, width);
  const scale = Math.min(1, shownPixels / side);
  const pixels = Math.ceil(height * scale) * Math.ceil(width * scale);
  const picture = (4 / 3) * (fileBytes + pixels * (side <= losslessPixels ? Math.min(channels, 4) : 1));
  return reliabilityBytes + shownMistakes * Math.ceil(mistakeBytes + picture);
}
