import type { AugmentSpec } from '@crossfold/shared/config/augment';
import type { ImageShape } from '@crossfold/shared/data/manifest';
import type { KeyedRandom } from '@crossfold/shared/rng';
import { type Affine, resample } from './resample.ts';

/** One way to vary a picture. x runs along the width, y along the height. */
export interface Transform {
  /** Degrees. */
  readonly rotation: number;
  /** Pixels. */
  readonly shiftX: number;
  readonly shiftY: number;
  /** Degrees. */
  readonly shear: number;
  /** Below 1 magnifies. */
  readonly zoomX: number;
  readonly zoomY: number;
  readonly flipX: boolean;
  readonly flipY: boolean;
  /** Added to every value, from -255 to 255. */
  readonly channelShift: number;
  /** Factor. */
  readonly brightness: number;
}

/**
 * Draws a transform, uniformly within what `augment` allows. Every number is drawn whether it is used or not, so that
 * experiments that differ in one amount share all other chance.
 */
export function drawTransform(augment: AugmentSpec, random: KeyedRandom, { height, width }: ImageShape): Transform {
  const between = (from: number, to: number): number => from + (to - from) * random.uniform();
  const within = (amount: number): number => between(-amount, amount);
  const { zoom, brightness = [1, 1] } = augment;
  const [near, far] = typeof zoom === 'number' ? [1 - zoom, 1 + zoom] : zoom;
  return {
    rotation: within(augment.rotation),
    shiftX: within(augment.widthShift) * width,
    shiftY: within(augment.heightShift) * height,
    shear: within(augment.shear),
    zoomX: between(near, far),
    zoomY: between(near, far),
    flipX: random.uniform() < 0.5 && augment.horizontalFlip,
    flipY: random.uniform() < 0.5 && augment.verticalFlip,
    channelShift: within(augment.channelShift),
    brightness: between(brightness[0], brightness[1]),
  };
}

/** Where the picture's own pixels come from and what lies beyond them; see `resample`. */
type Fill = Pick<AugmentSpec, 'fill' | 'fillValue'>;

/**
 * Writes a picture, varied, as numbers from 0 to 1. Keras' `apply_transform` in that order: affine, channel shift,
 * flips, brightness; then the rescaling by 1/255.
 *
 * @param pixels uint8, the picture's [height, width, channels] from `from` on
 * @param out float32, the same from `to` on
 */
export function applyTransform(
  transform: Transform,
  { fill, fillValue }: Fill,
  shape: ImageShape,
  pixels: Uint8Array,
  from: number,
  out: Float32Array,
  to: number,
): void {
  const length = shape.height * shape.width * shape.channels;
  resample({ matrix: affineOf(transform, shape), ...transform, fill, fillValue }, shape, pixels, from, out, to);
  const values = out.subarray(to, to + length);
  if (transform.channelShift !== 0) shiftChannels(values, transform.channelShift);
  if (transform.brightness !== 1) brighten(values, transform.brightness);
  for (let i = 0; i < length; i++) values[i] = (values[i] as number) / 255;
}

/**
 * Rotation, shift, shear and zoom about the centre in one map (Keras' `apply_affine_transform`, but that its centre has
 * height and width swapped); undefined where nothing moves.
 */
function affineOf(transform: Transform, { height, width }: ImageShape): Affine | undefined {
  const { rotation, shiftX, shiftY, shear, zoomX, zoomY } = transform;
  if (rotation === 0 && shiftX === 0 && shiftY === 0 && shear === 0 && zoomX === 1 && zoomY === 1) return undefined;
  const [sin, cos] = [Math.sin(radians(rotation)), Math.cos(radians(rotation))];
  const [slant, upright] = [Math.sin(radians(shear)), Math.cos(radians(shear))];
  // Rotation x shift x shear x zoom, in coordinates (x, y).
  const xx = cos * zoomX;
  const xy = (-cos * slant - sin * upright) * zoomY;
  const yx = sin * zoomX;
  const yy = (-sin * slant + cos * upright) * zoomY;
  const movedX = cos * shiftX - sin * shiftY;
  const movedY = sin * shiftX + cos * shiftY;
  const [centreX, centreY] = [width / 2 - 0.5, height / 2 - 0.5];
  return [
    yy,
    yx,
    movedY + centreY - yy * centreY - yx * centreX,
    xy,
    xx,
    movedX + centreX - xy * centreY - xx * centreX,
  ];
}

const radians = (degrees: number): number => (degrees * Math.PI) / 180;

/** Adds to every value, kept within the range that the picture had. */
function shiftChannels(values: Float32Array, intensity: number): void {
  let [least, most] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
  for (const value of values) {
    if (value < least) least = value;
    if (value > most) most = value;
  }
  for (let i = 0; i < values.length; i++)
    values[i] = Math.min(most, Math.max(least, (values[i] as number) + intensity));
}

/** Pillow's `ImageEnhance.Brightness`: on whole numbers from 0 to 255, rounded down before and after. */
function brighten(values: Float32Array, factor: number): void {
  const exact = Math.fround(factor);
  for (let i = 0; i < values.length; i++)
    values[i] = Math.min(255, Math.floor(Math.fround(exact * Math.floor(values[i] as number))));
}
