import type { AugmentSpec } from '@crossfold/shared/config/augment';
import type { ImageShape } from '@crossfold/shared/data/manifest';

/** The affine map from a pixel of the outcome to the place in the picture that it shows: [y, x] = m [y, x, 1]. */
export type Affine = readonly [yy: number, yx: number, y: number, xy: number, xx: number, x: number];

export interface Resampling {
  /** Undefined: pixels stay where they are. */
  readonly matrix: Affine | undefined;
  /** Mirrors the outcome left to right, top to bottom. */
  readonly flipX: boolean;
  readonly flipY: boolean;
  readonly fill: AugmentSpec['fill'];
  readonly fillValue: number;
}

/**
 * Draws a picture anew through an affine map, bilinearly, as SciPy's `ndimage.affine_transform` of order 1 does with its
 * modes `nearest`, `constant`, `reflect` and `wrap` (SciPy 1.17; its `wrap` repeats the picture every length - 1).
 *
 * @param pixels uint8, the picture's [height, width, channels] from `from` on
 * @param out float32 from 0 to 255, the same from `to` on
 */
export function resample(
  { matrix, flipX, flipY, fill, fillValue }: Resampling,
  { height, width, channels }: ImageShape,
  pixels: Uint8Array,
  from: number,
  out: Float32Array,
  to: number,
): void {
  const row = width * channels;
  const right = flipX ? -channels : channels;
  /** From behind a pixel to the next one. */
  const back = right - channels;
  if (matrix === undefined) {
    for (let y = 0, at = from; y < height; y++) {
      let place = to + (flipY ? height - 1 - y : y) * row + (flipX ? row - channels : 0);
      for (let x = 0; x < width; x++, place += right, at += channels)
        for (let c = 0; c < channels; c++) out[place + c] = pixels[at + c] as number;
    }
    return;
  }
  const [yy, yx, y0, xy, xx, x0] = matrix;
  const [lastY, lastX] = [height - 1, width - 1];
  for (let y = 0; y < height; y++) {
    const rowY = y0 + y * yy;
    const rowX = x0 + y * xy;
    let place = to + (flipY ? lastY - y : y) * row + (flipX ? row - channels : 0);
    for (let x = 0; x < width; x++) {
      let atY = rowY + x * yx;
      let atX = rowX + x * xx;
      if (!(atY >= 0 && atY <= lastY && atX >= 0 && atX <= lastX)) {
        if (fill === 'constant') {
          out.fill(fillValue, place, place + channels);
          place += right;
          continue;
        }
        atY = inside(atY, height, fill);
        atX = inside(atX, width, fill);
      }
      const floorY = Math.floor(atY);
      const floorX = Math.floor(atX);
      const restY = atY - floorY;
      const restX = atX - floorX;
      // What is beyond the edge by less than a pixel is the edge itself.
      const above = from + (floorY < 0 ? 0 : floorY) * row;
      const below = from + (floorY >= lastY ? lastY : floorY + 1) * row;
      const before = (floorX < 0 ? 0 : floorX) * channels;
      const after = (floorX >= lastX ? lastX : floorX + 1) * channels;
      const w10 = restY * (1 - restX);
      const w11 = restY * restX;
      const w00 = 1 - restX - w10;
      const w01 = restX - w11;
      let northWest = above + before;
      let northEast = above + after;
      let southWest = below + before;
      let southEast = below + after;
      for (const end = place + channels; place < end; place++)
        out[place] =
          (pixels[northWest++] as number) * w00 +
          (pixels[northEast++] as number) * w01 +
          (pixels[southWest++] as number) * w10 +
          (pixels[southEast++] as number) * w11;
      place += back;
    }
  }
}

/** A coordinate as the fill mode brings it back into the picture (SciPy's `map_coordinate`). */
function inside(at: number, length: number, fill: 'nearest' | 'reflect' | 'wrap'): number {
  const last = length - 1;
  if (at >= 0 && at <= last) return at;
  if (length === 1) return 0;
  if (fill === 'nearest') return at < 0 ? 0 : last;
  if (fill === 'wrap') return at < 0 ? at + last * (Math.floor(-at / last) + 1) : at - last * Math.floor(at / last);
  const period = 2 * length;
  if (at >= 0) {
    const within = at - period * Math.floor(at / period);
    return within >= length ? period - within - 1 : within;
  }
  const within = at < -period ? at + period * Math.floor(-at / period) : at;
  return within < -length ? within + period : -within - 1;
}
