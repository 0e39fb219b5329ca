import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { decoders } from '../support/decoders.ts';
import { fuzzRuns, fuzzSeed, hostileBytes, isPolluted } from '../support/hostile.ts';

describe.each(decoders)('$name', ({ real, json, takes }) => {
  it('is taken as it is sent', () => {
    for (const bytes of real) expect(takes(bytes)).toBe(true);
  });

  it('is dropped, and nothing else happens, where it is something else', () => {
    let dropped = 0;
    fc.assert(
      fc.property(hostileBytes(real, json), (bytes) => {
        if (!takes(bytes)) dropped++;
        return !isPolluted();
      }),
      { numRuns: fuzzRuns, seed: fuzzSeed },
    );
    expect(dropped).toBeGreaterThan(fuzzRuns / 4);
  });
});
