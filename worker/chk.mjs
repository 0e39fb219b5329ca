import { readdirSync, readFileSync } from 'node:fs';
import { decodeImage } from '@crossfold/worker/data/decode-image';
import sharp from 'sharp';

const base = '/work/shared/data/cats_and_dogs_small/test/cats';
const cats = readdirSync(base)
  .slice(0, 14)
  .map((f) => `${base}/${f}`);
const d = { fit: 'fill', kernel: 'linear', maxPixels: 1e8 },
  s = { height: 64, width: 64, channels: 3 };
const dec = async (f) => decodeImage(readFileSync(f), f, s, d);
const diff = (a, b) => a.reduce((t, v, i) => t + Math.abs(v - b[i]), 0) / a.length;
for (const [a, b] of [
  ['exif6.JPG', cats[2]],
  ['gray.jpeg', cats[3]],
  ['cmyk.jpg', cats[4]],
  ['кот.webp', cats[5]],
  ['alpha.png', cats[6]],
  ['sixteen-bit.png', cats[7]],
  ['palette.png', cats[8]],
])
  console.log(a, diff(await dec('/tmp/odd/set/cats/' + a), await dec(b)).toFixed(2));
const m = await sharp('/tmp/odd/set/cats/sixteen-bit.png').metadata();
console.log(m.depth, m.space, m.bitsPerSample);
