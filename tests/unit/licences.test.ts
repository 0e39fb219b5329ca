import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { expect, it } from 'vitest';
import { licences, shipped } from '../../docs/licences.mjs';

const root = resolve(import.meta.dirname, '../..');

it('docs/licences.md lists what is shipped (npm run docs)', () => {
  expect(readFileSync(resolve(root, 'docs/licences.md'), 'utf8')).toBe(licences());
});

it('nothing is shipped whose licence is not stated, or asks more than to be named', () => {
  const fine = /^(MIT|ISC|0BSD|BlueOak-1\.0\.0|Unlicense|CC0-1\.0|BSD-[23]-Clause|Apache-2\.0|Python-2\.0)$/;
  const parts = (licence: string): string[] => licence.replaceAll(/[()]/g, '').split(/ AND | OR /);
  const others = shipped().filter(({ licence }) => !parts(licence).every((part) => fine.test(part)));
  // Linked dynamically, and exchangeable; NIST's: to be named, and without warranty.
  expect(others.filter(({ name }) => !name.startsWith('@img/sharp') && name !== 'h5wasm')).toEqual([]);
  expect(shipped().length).toBeGreaterThan(50);
});
