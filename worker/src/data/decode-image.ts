import type { Decoding, ImageShape } from '@crossfold/shared/data/manifest';
import type { Sharp } from 'sharp';
import sharp from 'sharp';

// Threads and memory are what the worker was given; pictures are small and each is seen once.
sharp.concurrency(1);
sharp.cache(false);

/** A file that cannot be made a sample; the message says why, in words that follow its name: `is empty`. */
export class UnusableImageError extends Error {}

/** The formats that are read, and the endings of files' names that stand for them. */
const endings = { JPEG: ['.jpg', '.jpeg', '.jpe', '.jfif'], PNG: ['.png'], WebP: ['.webp'] } as const;
type Format = keyof typeof endings;

/** Pictures of formats that are not read, told by their content, so that they can be named. */
const foreign: readonly (readonly [name: string, offset: number, magic: string])[] = [
  ['a GIF', 0, 'GIF8'],
  ['a BMP', 0, 'BM'],
  ['a TIFF', 0, 'II*\0'],
  ['a TIFF', 0, 'MM\0*'],
  ['a HEIC or AVIF', 4, 'ftyp'],
  ['a PDF', 0, '%PDF'],
  ['a ZIP archive', 0, 'PK\x03\x04'],
  ['an HTML page', 0, '<!DOCTYPE'],
  ['an HTML page', 0, '<html'],
];

function formatOf(bytes: Uint8Array): Format | undefined {
  const start = Buffer.from(bytes.buffer, bytes.byteOffset, Math.min(16, bytes.length)).toString('latin1');
  if (start.startsWith('\xff\xd8\xff')) return 'JPEG';
  if (start.startsWith('\x89PNG\r\n\x1a\n')) return 'PNG';
  return start.startsWith('RIFF') && start.startsWith('WEBP', 8) ? 'WebP' : undefined;
}

/** Whether a file's name is one of a picture that can be read. */
export const hasImageEnding = (path: string): boolean => namedFormat(path) !== undefined;

const namedFormat = (path: string): Format | undefined =>
  (Object.keys(endings) as Format[]).find((format) => endings[format].some((e) => path.toLowerCase().endsWith(e)));

/**
 * Makes a sample of a picture file: turned upright by its EXIF orientation, in sRGB (or its luma), resized, 8 bits a
 * channel, without transparency. The first picture of an animation.
 *
 * @param name of the file, whose ending must be that of its content where it has one of a picture; undefined: unknown
 * @returns uint8, [height, width, channels]
 * @throws UnusableImageError where it is no picture, another kind than its name says, damaged, cut off or too large
 */
export async function decodeImage(
  bytes: Uint8Array,
  name: string | undefined,
  shape: ImageShape,
  { fit, kernel, maxPixels }: Decoding,
): Promise<Uint8Array> {
  const format = formatOf(bytes);
  if (bytes.length === 0) throw new UnusableImageError('is empty');
  if (format === undefined) throw new UnusableImageError(`is ${whatElse(bytes)}, not a JPEG, PNG or WebP picture`);
  const named = name === undefined ? undefined : namedFormat(name);
  if (named !== undefined && named !== format)
    throw new UnusableImageError(`is a ${format} by its content, a ${named} by its name`);
  const { width, height, channels } = shape;
  let rgb: Uint8Array;
  try {
    const whole = sharp(bytes, { limitInputPixels: maxPixels, failOn: 'error' }).autoOrient();
    const { data, info } = await (await withoutAlpha(whole, format))
      .resize({ width, height, fit: fit, kernel, background: { r: 0, g: 0, b: 0, alpha: 1 } })
      .toColourspace('srgb')
      .removeAlpha()
      .raw({ depth: 'uchar' })
      .toBuffer({ resolveWithObject: true });
    rgb = info.channels === 1 ? tripled(data) : data;
  } catch {
    throw new UnusableImageError(await reasonOf(bytes, format, maxPixels));
  }
  if (rgb.length !== height * width * 3) throw new UnusableImageError('has colours that cannot be read');
  return channels === 1 ? luma(rgb) : rgb;
}

/**
 * A picture whose transparency is dropped before anything else: resizing weighs colours by it, and what is seen through
 * would come out black.
 */
async function withoutAlpha(whole: Sharp, format: Format): Promise<Sharp> {
  if (format === 'JPEG' || (await whole.metadata()).hasAlpha !== true) return whole;
  const { data, info } = await whole
    .toColourspace('srgb')
    .removeAlpha()
    .raw({ depth: 'uchar' })
    .toBuffer({ resolveWithObject: true });
  const { width, height, channels } = info;
  return sharp(data, { raw: { width, height, channels }, limitInputPixels: false });
}

function whatElse(bytes: Uint8Array): string {
  const start = Buffer.from(bytes.buffer, bytes.byteOffset, Math.min(16, bytes.length)).toString('latin1');
  return foreign.find(([, offset, magic]) => start.startsWith(magic, offset))?.[0] ?? 'something else';
}

/**
 * Why a picture cannot be decoded. Found out anew: the library keeps its messages in one place for all threads, so that
 * those of pictures that fail side by side get mixed up.
 */
async function reasonOf(bytes: Uint8Array, format: Format, maxPixels: number): Promise<string> {
  const size = await sharp(bytes, { limitInputPixels: false })
    .metadata()
    .catch(() => undefined);
  if (size !== undefined && size.width * size.height > maxPixels)
    return `has ${size.width} x ${size.height} pixels, more than the ${maxPixels} of dataset.image.maxPixels`;
  return isCutOff(bytes, format) ? 'is cut off' : 'is damaged';
}

/** Whether a file lacks what its format ends with. */
function isCutOff(bytes: Uint8Array, format: Format): boolean {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  if (format === 'JPEG') return buffer.lastIndexOf('\xff\xd9', undefined, 'latin1') < 0;
  if (format === 'PNG') return buffer.lastIndexOf('IEND', undefined, 'latin1') < 0;
  return buffer.length < 12 || buffer.readUInt32LE(4) + 8 > buffer.length;
}

function tripled(gray: Uint8Array): Uint8Array {
  const rgb = new Uint8Array(gray.length * 3);
  for (let i = 0; i < gray.length; i++) rgb.fill(gray[i] as number, i * 3, i * 3 + 3);
  return rgb;
}

/** ITU-R 601-2 luma in Pillow's integer arithmetic. */
function luma(rgb: Uint8Array): Uint8Array {
  const gray = new Uint8Array(rgb.length / 3);
  for (let i = 0, at = 0; i < gray.length; i++, at += 3)
    gray[i] =
      ((rgb[at] as number) * 19595 + (rgb[at + 1] as number) * 38470 + (rgb[at + 2] as number) * 7471 + 0x8000) >> 16;
  return gray;
}
