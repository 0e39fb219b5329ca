import { keyedRandom, philoxBlock } from '@crossfold/shared/rng';
import { describe, expect, it } from 'vitest';

const hex = (words: readonly number[]): string[] => words.map((w) => w.toString(16).padStart(8, '0'));

describe('Philox 4x32-10', () => {
  // Known answers from the authors' Random123 distribution, kat_vectors.
  it.each([
    [
      [0, 0, 0, 0],
      [0, 0],
      ['6627e8d5', 'e169c58d', 'bc57ac4c', '9b00dbd8'],
    ],
    [
      [0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff],
      [0xffffffff, 0xffffffff],
      ['408f276d', '41c83b0e', 'a20bc7c6', '6d5451fd'],
    ],
    [
      [0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344],
      [0xa4093822, 0x299f31d0],
      ['d16cfe09', '94fdcceb', '5001e420', '24126ea1'],
    ],
  ] as const)('gives the known answer for %j', (counter, key, answer) => {
    expect(hex(philoxBlock([...counter], [...key]))).toEqual(answer);
  });
});

describe('keyed randomness', () => {
  it('is the same for the same key and another for another', () => {
    const draw = (...key: (string | number)[]): number[] => {
      const random = keyedRandom(...key);
      return Array.from({ length: 8 }, () => random.uint32());
    };
    expect(draw(1, 'shuffle', 0)).toEqual(draw(1, 'shuffle', 0));
    const keys = [
      [1, 'shuffle', 0],
      [1, 'shuffle', 1],
      ['1', 'shuffle', 0],
      [1, 'shuffle0'],
      [11, 'shuffle', 0],
    ];
    expect(new Set(keys.map((key) => draw(...key).join())).size).toBe(keys.length);
  });

  it('shuffles without loss, and evenly', () => {
    const counts = new Float64Array(25);
    for (let trial = 0; trial < 5000; trial++) {
      const items = keyedRandom(7, trial).shuffle([0, 1, 2, 3, 4]);
      expect([...items].sort()).toEqual([0, 1, 2, 3, 4]);
      items.forEach((item, place) => {
        counts[item * 5 + place] = (counts[item * 5 + place] ?? 0) + 1;
      });
    }
    // Chi-square with 16 degrees of freedom; 39.3 is its 99.9 % point, and the draws are fixed by their keys.
    const chi2 = counts.reduce((sum, n) => sum + (n - 1000) ** 2 / 1000, 0);
    expect(chi2).toBeLessThan(39.3);
  });

  it('has normals with mean 0 and variance 1', () => {
    const random = keyedRandom('normal');
    const values = Array.from({ length: 20000 }, () => random.normal());
    const mean = values.reduce((a, b) => a + b) / values.length;
    const variance = values.reduce((a, b) => a + (b - mean) ** 2, 0) / values.length;
    expect(Math.abs(mean)).toBeLessThan(0.03);
    expect(Math.abs(variance - 1)).toBeLessThan(0.04);
  });
});
