import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import sharp from 'sharp';

const base = '/work/shared/data/cats_and_dogs_small/test';
const cats = readdirSync(`${base}/cats`)
    .slice(0, 14)
    .map((f) => `${base}/cats/${f}`),
  dogs = readdirSync(`${base}/dogs`)
    .slice(0, 14)
    .map((f) => `${base}/dogs/${f}`);
const out = '/tmp/odd/set';
for (const c of ['cats', 'dogs']) mkdirSync(`${out}/${c}`, { recursive: true });
const put = (n, b) => writeFileSync(`${out}/${n}`, b);
await sharp(cats[0]).resize(3000, 17, { fit: 'fill' }).jpeg().toFile(`${out}/cats/wide 3000x17.jpg`);
await sharp(cats[1]).resize(1, 1).png().toFile(`${out}/cats/one-pixel.png`);
// EXIF orientation 6: stored turned left, to be shown turned right
await sharp(await sharp(cats[2]).rotate(-90).toBuffer())
  .withMetadata({ orientation: 6 })
  .jpeg({ quality: 95 })
  .toFile(`${out}/cats/exif6.JPG`);
await sharp(cats[2]).jpeg({ quality: 95 }).toFile(`${out}/cats/exif1.jpg`);
await sharp(cats[3]).grayscale().jpeg().toFile(`${out}/cats/gray.jpeg`);
await sharp(cats[4]).toColourspace('cmyk').jpeg({ quality: 95 }).toFile(`${out}/cats/cmyk.jpg`);
await sharp(cats[4]).jpeg({ quality: 95 }).toFile(`${out}/cats/cmyk-as-rgb.jpg`);
await sharp(cats[5]).webp().toFile(`${out}/cats/кот.webp`);
await sharp(cats[6]).ensureAlpha(0.4).png().toFile(`${out}/cats/alpha.png`);
await sharp(cats[7]).toColourspace('rgb16').png().toFile(`${out}/cats/sixteen-bit.png`);
await sharp(cats[8]).png({ palette: true, colours: 16 }).toFile(`${out}/cats/palette.png`);
await sharp(dogs[0]).jpeg({ progressive: true }).toFile(`${out}/dogs/progressive.jfif`);
await sharp(dogs[1]).webp({ lossless: true }).toFile(`${out}/dogs/lossless.webp`);
const f = await Promise.all([dogs[2], dogs[3]].map((d) => sharp(d).resize(100, 100).ensureAlpha().raw().toBuffer()));
await sharp(Buffer.concat(f), { raw: { width: 100, height: 200, channels: 4, pageHeight: 100 } })
  .webp({ loop: 0, delay: [100, 100] })
  .toFile(`${out}/dogs/animated.webp`);
await sharp(dogs[4]).grayscale().toColourspace('b-w').png().toFile(`${out}/dogs/gray.png`);
put('dogs/plain.jpg', readFileSync(dogs[5]));
if (process.argv[2] === 'bad') {
  const j = readFileSync(dogs[6]);
  put('dogs/truncated.jpg', j.subarray(0, j.length / 2));
  put('dogs/empty.png', '');
  put('cats/text.jpg', 'just a text\n');
  put('cats/html.jpg', '<!DOCTYPE html><html></html>');
  await sharp({ create: { width: 20000, height: 20000, channels: 3, background: 'red' }, limitInputPixels: false })
    .png()
    .toFile(`${out}/cats/huge.png`);
  await sharp(dogs[7]).gif().toFile(`${out}/dogs/anim.gif`);
  await sharp(dogs[8]).tiff().toFile(`${out}/dogs/scan.tiff`);
  await sharp(dogs[8]).avif().toFile(`${out}/dogs/new.avif`);
  put('cats/same.jpg', readFileSync(dogs[9]));
  put('dogs/same.jpg', readFileSync(dogs[9]));
  const p = await sharp(dogs[10]).png().toBuffer();
  put(
    'dogs/broken.png',
    Buffer.concat([p.subarray(0, p.length >> 1), Buffer.alloc(64, 7), p.subarray((p.length >> 1) + 64)]),
  );
  put('cats/notes.txt', 'x');
  put('cats/.DS_Store', 'x');
  mkdirSync(`${out}/cats/nested`, { recursive: true });
  put('cats/nested/deep.jpg', readFileSync(cats[9]));
  put('cats/renamed.png', readFileSync(cats[10]));
}
