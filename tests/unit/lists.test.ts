import { decodeJson, listOf } from '@crossfold/shared/decode';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';

describe('a list that somebody else has sent', () => {
  const bytesOf = (value: unknown): Uint8Array => new TextEncoder().encode(JSON.stringify(value));
  let looked = 0;
  const Item = z.strictObject({ n: z.custom((value) => ++looked > 0 && typeof value === 'number') });

  it('is what its items are read as', () => {
    expect(decodeJson(listOf(z.string().transform(Number)), bytesOf(['1', '2']), 100)).toEqual({ value: [1, 2] });
    expect(decodeJson(listOf(z.string()), bytesOf([]), 100)).toEqual({ value: [] });
  });

  it('is looked at up to the first item that is none', () => {
    looked = 0;
    const items = [{ n: 1 }, { n: 'two' }, ...Array.from({ length: 1000 }, () => ({ n: 'more' }))];
    expect(decodeJson(listOf(Item), bytesOf(items), 2 ** 20)).toEqual({ why: '1: n: Invalid input' });
    expect(looked).toBe(2);
  });

  it('is not looked at where it is longer than it may be', () => {
    looked = 0;
    const decoded = decodeJson(listOf(Item, 2), bytesOf([{ n: 1 }, { n: 2 }, { n: 3 }]), 100);
    expect(decoded).toEqual({ why: 'it has 3 items, and may have 2' });
    expect(looked).toBe(0);
  });
});
