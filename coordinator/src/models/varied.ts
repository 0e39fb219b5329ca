import type { AugmentSpec } from '@crossfold/shared/config/augment';
import type { ImageShape } from '@crossfold/shared/data/manifest';
import { keyedRandom } from '@crossfold/shared/rng';
import { applyTransform, drawTransform } from '@crossfold/worker/data/augment';

/**
 * A training picture as the first fold's first passes over the data vary it.
 *
 * @param pixels uint8, [height, width, channels]
 * @param of the experiment's seed, the picture's place in the data set, and how many passes
 */
export function variedPictures(
  pixels: Uint8Array,
  shape: ImageShape,
  augment: AugmentSpec,
  of: { readonly seed: number; readonly sample: number; readonly count: number },
): Uint8Array[] {
  return Array.from({ length: of.count }, (_, pass) => {
    const out = new Float32Array(pixels.length);
    const transform = drawTransform(augment, keyedRandom(of.seed, 0, 0, 'augment', pass, of.sample), shape);
    applyTransform(transform, augment, shape, pixels, 0, out, 0);
    return Uint8Array.from(out, (value) => Math.round(value * 255));
  });
}
