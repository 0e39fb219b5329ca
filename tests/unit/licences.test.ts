import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { expect, it } from 'vitest';
import { licences } from '../../docs/licences.mjs';
import { billOfMaterials, shipped } from '../../setup/sbom.mjs';

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

it('the bill of materials has every package that is shipped, once, with its licence and digest', () => {
  const { components, serialNumber } = billOfMaterials();
  const npm = components.filter(({ purl }) => purl.startsWith('pkg:npm/'));
  expect(npm.map(({ name, version }) => `${name} ${version}`)).toEqual(
    shipped().map(({ name, version }) => `${name} ${version}`),
  );
  // What is shipped and is needed by tools as well: npm's own bill has none of it.
  expect(npm.map(({ name }) => name)).toContain('ansi-regex');
  expect(new Set(components.map((one) => one['bom-ref'])).size).toBe(components.length);
  for (const one of npm)
    expect(one).toMatchObject({ hashes: [{ alg: 'SHA-512', content: expect.stringMatching(/^[0-9a-f]{128}$/) }] });
  for (const { version, licenses } of components) expect([version !== '', licenses.length]).toEqual([true, 1]);
  expect(serialNumber).toMatch(/^urn:uuid:[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/);
  expect(billOfMaterials().serialNumber).toBe(serialNumber);
});
