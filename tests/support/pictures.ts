import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Sharp } from 'sharp';
import sharp from 'sharp';

/** Content of a file: bytes, or the colour of a picture in the format of its name. */
export type Content = Uint8Array | string | { readonly rgb: readonly [number, number, number]; readonly size?: number };

/** Writes files below a folder, making folders as they are needed. */
export async function writeFiles(folder: string, files: Readonly<Record<string, Content>>): Promise<void> {
  for (const [path, content] of Object.entries(files)) {
    const file = join(folder, path);
    await mkdir(dirname(file), { recursive: true });
    if (typeof content === 'string' || content instanceof Uint8Array) await writeFile(file, content);
    else await plainPicture(content.rgb, content.size ?? 24).toFile(file);
  }
}

/** A picture of one colour. */
export function plainPicture([r, g, b]: readonly [number, number, number], size: number): Sharp {
  return sharp({ create: { width: size, height: size, channels: 3, background: { r, g, b } } });
}

/** A JPEG of noise, of some kilobytes, so that there is something to cut off. */
export function noisyJpeg(width: number, height: number): Promise<Buffer> {
  const pixels = Uint8Array.from({ length: width * height * 3 }, (_, i) => (i * 7919) % 251);
  return sharp(pixels, { raw: { width, height, channels: 3 } })
    .jpeg()
    .toBuffer();
}
