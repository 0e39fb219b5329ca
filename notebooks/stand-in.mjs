/**
 * What the notebook trains on where there are no photographs of cats and dogs: handwritten digits, threes and eights, as
 * small coloured JPEG files on rough grounds. Real handwriting, few samples, folders: enough for every step to be seen.
 */
import { existsSync } from 'node:fs';
import { mkdir, rename, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { openDataset } from 'crossfold';
import sharp from 'sharp';

const size = 64;
const digit = 28;
const classes = /** @type {const} */ ([
  ['three', 3],
  ['eight', 8],
]);
const channels = [0, 1, 2];
/** Where a digit begins: anywhere that leaves room for it. @param {number} share */
const offset = (share) => Math.floor(share * (size - 2 * digit + 1));
/** Pictures of each class. */
const parts = /** @type {const} */ ([
  ['train', 300],
  ['validation', 150],
  ['test', 150],
]);

/**
 * Writes `folder`/{train,validation,test}/{three,eight}/*.jpg, aside first; what is there stays.
 *
 * @param {string} folder
 * @returns {Promise<string>} the folder
 */
export async function makeStandIn(folder) {
  if (existsSync(folder)) return folder;
  const aside = `${folder}.${process.pid}`;
  await mkdir(dirname(folder), { recursive: true });
  try {
    const digits = await openDataset('mnist', { part: 'train' });
    for (const [name, label] of classes) {
      const samples = [...digits.labels.keys()].filter((i) => digits.labels[i] === label).values();
      for (const [part, count] of parts) {
        await mkdir(join(aside, part, name), { recursive: true });
        for (let n = 0; n < count; n++) {
          const { value: sample = 0 } = samples.next();
          const jpeg = await picture(await digits.read(sample, 1), sample);
          await writeFile(join(aside, part, name, `${name}.${sample}.jpg`), jpeg);
        }
      }
    }
    await rename(aside, folder);
  } finally {
    await rm(aside, { recursive: true, force: true });
  }
  return folder;
}

/**
 * A digit, twice its size, somewhere on a ground of another colour; all of it noisy.
 *
 * @param {Uint8Array} pixels uint8, [28, 28]
 * @param {number} seed
 */
function picture(pixels, seed) {
  const random = generator(seed);
  const [ground, ink] = [channels.map(() => 110 * random()), channels.map(() => 140 + 115 * random())];
  const [left, top] = [offset(random()), offset(random())];
  const image = new Uint8Array(size * size * 3);
  for (let y = 0; y < size; y++)
    for (let x = 0; x < size; x++) {
      const [row, column] = [(y - top) >> 1, (x - left) >> 1];
      const inside = row >= 0 && row < digit && column >= 0 && column < digit;
      const share = inside ? (pixels[row * digit + column] ?? 0) / 255 : 0;
      const noise = 90 * (random() - 0.5);
      for (const c of channels) {
        const [from = 0, to = 0] = [ground[c], ink[c]];
        image[(y * size + x) * 3 + c] = Math.min(255, Math.max(0, from + share * (to - from) + noise));
      }
    }
  return sharp(image, { raw: { width: size, height: size, channels: 3 } })
    .jpeg({ quality: 85 })
    .toBuffer();
}

/** Numbers from 0 to 1, by a linear congruential generator (Numerical Recipes' constants); for looks, not for results. @param {number} seed */
function generator(seed) {
  let state = (seed * 2654435761) >>> 0;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}
