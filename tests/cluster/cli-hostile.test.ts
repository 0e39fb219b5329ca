import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { idxBytes } from '../support/idx.ts';
import { writeFiles } from '../support/pictures.ts';

const command = resolve(import.meta.dirname, '../../coordinator/bin/main.cjs');
const h5 = resolve(import.meta.dirname, '../fixtures/keras-h5/keras-sequential.h5');
let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'crossfold-cli-hostile-'));
  const [images, labels] = [
    idxBytes([4, 28, 28], new Uint8Array(4 * 28 * 28)),
    idxBytes([4], Uint8Array.of(0, 1, 0, 1)),
  ];
  await writeFiles(folder, {
    'counts/train-images-idx3-ubyte': images,
    'counts/train-labels-idx1-ubyte': idxBytes([3], Uint8Array.of(0, 1, 0)),
    'magic/train-images-idx3-ubyte': Uint8Array.from(images, (byte, i) => (i === 2 ? 9 : byte)),
    'magic/train-labels-idx1-ubyte': labels,
    'one/only/1.png': { rgb: [1, 2, 3] },
  });
  const damaged = await readFile(h5);
  damaged.fill(0xff, 100, 3000);
  await writeFile(join(folder, 'damaged.h5'), damaged);
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const experiment = (dataset: string, model = '{ preset: mnist-convnet }'): string =>
  `name: x\nevaluation: { method: kfold, folds: 2 }\nmodel: ${model}\ntraining: { epochs: 1, optimizer: { name: adam } }\ndataset: ${dataset}\n`;
const images = '{ height: 8, width: 8 }';

function crossfold(parameters: readonly string[]): Promise<{ code: unknown; stdout: string; stderr: string }> {
  const env = { ...process.env, CROSSFOLD_NATS_URL: '' };
  return new Promise((done) => {
    execFile(process.execPath, [command, ...parameters], { env }, (error, stdout, stderr) =>
      done({ code: error === null ? 0 : error.code, stdout, stderr }),
    );
  });
}

it.each([
  [
    'not a number',
    experiment('{ name: mnist }').replace('epochs: 1', 'epochs: .nan'),
    /x\.yaml:4: training\.epochs is NaN: must be a whole number from 1 to 100000/,
  ],
  ['binary', '\u0000\u0001\ufffd', /x\.yaml/],
  ['with other counts', experiment('{ path: counts }'), /has 4 images, and .* has 3 labels/],
  ['with another magic', experiment('{ path: magic }'), /begins with 0x00000903, where 0x00000803/],
  ['of one class', experiment(`{ path: one, image: ${images} }`), /dataset\.path is one: holds one class only/],
  ['a damaged net', experiment('{ name: mnist }', '{ h5: damaged.h5 }'), /model\.h5 is .*damaged\.h5: is damaged/],
])(
  'an experiment that is %s: one line, exit code 2, nothing begun',
  { timeout: 60_000 },
  async (_what, text, message) => {
    const file = join(folder, 'x.yaml');
    const out = join(folder, 'out');
    await writeFile(file, text);
    const { code, stdout, stderr } = await crossfold(['run', file, '--workers', '1', '--out', out]);
    expect(stderr).toMatch(message);
    expect(stderr).toMatch(/^crossfold: [^\n]+\n$/);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(existsSync(out)).toBe(false);
  },
);
