import { createHash } from 'node:crypto';

/**
 * All randomness of an experiment. A generator is keyed by what it is for, e.g. `keyedRandom(seed, repeat, fold,
 * 'shuffle', epoch)`, and is counter-based: the same key gives the same numbers on every machine, in every order of
 * use, and no key's numbers depend on another's having been drawn. Keys never hold a trial's or a job's number, so
 * that equal configurations give equal bits and trials are paired.
 *
 * Philox 4x32-10: Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011.
 */
export interface KeyedRandom {
  /** Next 32 random bits, as an integer in [0, 2^32). */
  uint32(): number;
  /** Uniform in [0, 1), a multiple of 2^-24 and so exact in float32. */
  uniform(): number;
  /** Uniform integer in [0, bound), unbiased; bound in [1, 2^32]. */
  below(bound: number): number;
  /** Standard normal (Box-Muller). */
  normal(): number;
  /** Fisher-Yates shuffle in place; returns its argument. */
  shuffle<T extends { length: number; [i: number]: unknown }>(items: T): T;
}

/** One part of a key: what the numbers are for, and which of them. */
export type KeyPart = string | number;

/** Makes the generator for a key. Parts are told apart by type and place: ('1') and (1), ('a','b') and ('ab') differ. */
export function keyedRandom(...key: readonly KeyPart[]): KeyedRandom {
  const digest = createHash('sha256').update(JSON.stringify(key)).digest();
  return philox([digest.readUInt32LE(0), digest.readUInt32LE(4)], [digest.readUInt32LE(8), digest.readUInt32LE(12)]);
}

/** Ten rounds of Philox 4x32 on a counter (four words) under a key (two words): four words of output. */
export function philoxBlock(
  counter: readonly [number, number, number, number],
  key: readonly [number, number],
): [number, number, number, number] {
  let [c0, c1, c2, c3] = counter;
  let [k0, k1] = key;
  for (let round = 0; round < 10; round++) {
    const high0 = mulHigh(0xd2511f53, c0);
    const low0 = Math.imul(0xd2511f53, c0);
    const high1 = mulHigh(0xcd9e8d57, c2);
    const low1 = Math.imul(0xcd9e8d57, c2);
    c0 = (high1 ^ c1 ^ k0) >>> 0;
    c1 = low1 >>> 0;
    c2 = (high0 ^ c3 ^ k1) >>> 0;
    c3 = low0 >>> 0;
    k0 = (k0 + 0x9e3779b9) >>> 0;
    k1 = (k1 + 0xbb67ae85) >>> 0;
  }
  return [c0 >>> 0, c1 >>> 0, c2 >>> 0, c3 >>> 0];
}

/** Upper 32 bits of the 64-bit product of two unsigned 32-bit integers. */
function mulHigh(a: number, b: number): number {
  const aHigh = a >>> 16;
  const aLow = a & 0xffff;
  const bHigh = b >>> 16;
  const bLow = b & 0xffff;
  const middle = aHigh * bLow + ((aLow * bLow) >>> 16);
  const carry = (middle & 0xffff) + aLow * bHigh;
  return (aHigh * bHigh + Math.floor(middle / 0x10000) + Math.floor(carry / 0x10000)) >>> 0;
}

function philox(key: readonly [number, number], nonce: readonly [number, number]): KeyedRandom {
  let block: [number, number, number, number] = [0, 0, 0, 0];
  let counter = 0;
  let used = 4;
  let spareNormal: number | undefined;

  const uint32 = (): number => {
    if (used === 4) {
      block = philoxBlock([counter >>> 0, Math.floor(counter / 2 ** 32), nonce[0], nonce[1]], key);
      counter++;
      used = 0;
    }
    return block[used++] as number;
  };
  const uniform = (): number => (uint32() >>> 8) / 2 ** 24;
  const below = (bound: number): number => {
    const limit = 2 ** 32 - (2 ** 32 % bound);
    for (;;) {
      const value = uint32();
      if (value < limit) return value % bound;
    }
  };
  const normal = (): number => {
    if (spareNormal !== undefined) {
      const value = spareNormal;
      spareNormal = undefined;
      return value;
    }
    const radius = Math.sqrt(-2 * Math.log(1 - uniform()));
    const angle = 2 * Math.PI * uniform();
    spareNormal = radius * Math.sin(angle);
    return radius * Math.cos(angle);
  };
  const shuffle = <T extends { length: number; [i: number]: unknown }>(items: T): T => {
    for (let i = items.length - 1; i > 0; i--) {
      const j = below(i + 1);
      const held = items[i];
      items[i] = items[j];
      items[j] = held;
    }
    return items;
  };
  return { uint32, uniform, below, normal, shuffle };
}
