import { ConfigError } from '@crossfold/shared/errors';
import sharp from 'sharp';
import { writeWhole } from '../write-whole.ts';
import { drawText } from './font.ts';

export type Colour = readonly [red: number, green: number, blue: number];

/** A picture to draw on: RGB, white at first. */
export class Canvas {
  readonly width: number;
  readonly height: number;
  readonly #pixels: Uint8Array;

  constructor(width: number, height: number) {
    this.width = width;
    this.height = height;
    this.#pixels = new Uint8Array(width * height * 3).fill(255);
  }

  fill(x: number, y: number, width: number, height: number, colour: Colour): void {
    for (let row = Math.max(0, y); row < Math.min(this.height, y + height); row++)
      for (let column = Math.max(0, x); column < Math.min(this.width, x + width); column++)
        this.#pixels.set(colour, (row * this.width + column) * 3);
  }

  /**
   * Draws a picture, each of its pixels a square.
   *
   * @param colourAt of the pixel in a row and column
   */
  draw(
    x: number,
    y: number,
    width: number,
    height: number,
    scale: number,
    colourAt: (row: number, column: number) => Colour,
  ): void {
    for (let row = 0; row < height; row++)
      for (let column = 0; column < width; column++)
        this.fill(x + column * scale, y + row * scale, scale, scale, colourAt(row, column));
  }

  text(x: number, y: number, text: string, colour: Colour = [40, 40, 40], scale = 2): void {
    drawText(text, (column, row) => this.fill(x + column * scale, y + row * scale, scale, scale, colour));
  }

  /** The picture as PNG. */
  png(): Promise<Buffer> {
    return sharp(this.#pixels, { raw: { width: this.width, height: this.height, channels: 3 } })
      .png({ compressionLevel: 9 })
      .toBuffer();
  }

  /** @throws ConfigError where the file cannot be written */
  async write(file: string, option: string): Promise<void> {
    try {
      await writeWhole(file, await this.png());
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === undefined) throw error;
      throw new ConfigError({
        field: option,
        value: file,
        allowed: code === 'EISDIR' ? 'is a folder' : `cannot be written (${code})`,
      });
    }
  }
}

/** The colour of a pixel in uint8 data of one or three channels. */
export function colourOf(pixels: Uint8Array, at: number, channels: number): Colour {
  const value = (c: number): number => pixels[at + (channels === 1 ? 0 : c)] ?? 0;
  return [value(0), value(1), value(2)];
}
