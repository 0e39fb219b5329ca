import { decodeTensors, encodeTensors } from '@crossfold/shared/codec/safetensors';
import { DamagedDataError } from '@crossfold/shared/errors';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

const file = {
  metadata: { note: 'ünï' },
  tensors: new Map([
    ['a', { shape: [2, 2], data: new Float32Array([1, -0, Number.NaN, 3.5]) }],
    ['empty', { shape: [0], data: new Float32Array(0) }],
    ['__proto__x', { shape: [1], data: new Float32Array([7]) }],
  ]),
};

describe('tensor files', () => {
  it('come back as they were, to the bit', () => {
    const back = decodeTensors(encodeTensors(file), 'file');
    expect(back.metadata).toEqual(file.metadata);
    expect([...back.tensors]).toEqual([...file.tensors]);
    expect(Object.is(back.tensors.get('a')?.data[1], -0)).toBe(true);
  });

  it('begin with the length of a JSON header that names offsets, as the format says', () => {
    const bytes = encodeTensors(file);
    const length = Number(new DataView(bytes.buffer).getBigUint64(0, true));
    const header: unknown = JSON.parse(new TextDecoder().decode(bytes.subarray(8, 8 + length)));
    expect(header).toMatchObject({ a: { dtype: 'F32', shape: [2, 2], data_offsets: [0, 16] } });
    expect(bytes.length).toBe(8 + length + 20);
    expect(length % 8).toBe(0);
  });

  it('are read from views that are not aligned', () => {
    const bytes = encodeTensors(file);
    const shifted = new Uint8Array(bytes.length + 1);
    shifted.set(bytes, 1);
    expect(decodeTensors(shifted.subarray(1), 'file').tensors.get('a')?.data[3]).toBe(3.5);
  });

  it('are refused when damaged, never with another error, whatever the damage', () => {
    const bytes = encodeTensors(file);
    const refuse = (damaged: Uint8Array): void => {
      try {
        decodeTensors(damaged, 'file');
      } catch (error) {
        expect(error).toBeInstanceOf(DamagedDataError);
      }
    };
    fc.assert(
      fc.property(fc.nat(bytes.length - 1), fc.nat(255), (at, value) => {
        const damaged = bytes.slice();
        damaged[at] = value;
        refuse(damaged);
        refuse(bytes.subarray(0, at));
      }),
      { numRuns: 2000 },
    );
    fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), refuse));
    expect(() => decodeTensors(bytes.subarray(0, bytes.length - 1), 'file')).toThrow(DamagedDataError);
  });
});
