import { execFile } from 'node:child_process';
import {
  cpSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { stringify } from 'yaml';
import { findBroker } from '../../coordinator/src/cluster/find-broker.ts';
import { copyCheckout } from '../support/checkout-copy.ts';
import { root } from '../support/documents.ts';
import { writeFiles } from '../support/pictures.ts';
import { WatchedClusters } from '../support/watched-clusters.ts';

// A machine with Node and a broker, and nothing else: no Python, no pip, no compiler, no binding from the package's host.
let checkout: string;
let env: NodeJS.ProcessEnv;

beforeAll(async () => {
  checkout = copyCheckout('no tools', ['package-lock.json', 'setup']);
  const modules = join(checkout, 'node_modules');
  mkdirSync(join(modules, '.crossfold'));
  cpSync(join(root, 'node_modules/.crossfold/built'), join(modules, '.crossfold/built'));
  // TensorFlow's package as npm leaves it: without what set-up adds.
  const scope = '@tensorflow';
  rmSync(join(modules, scope));
  mkdirSync(join(modules, scope));
  for (const name of readdirSync(join(root, 'node_modules', scope))) {
    const from = join(root, 'node_modules', scope, name);
    const added = [join(from, 'deps'), join(from, 'lib', 'napi-v8')];
    if (name !== 'tfjs-node-gpu') symlinkSync(from, join(modules, scope, name));
    else cpSync(from, join(modules, scope, name), { recursive: true, filter: (file) => !added.includes(file) });
  }
  const bin = join(checkout, 'bin');
  mkdirSync(bin);
  symlinkSync(process.execPath, join(bin, 'node'));
  symlinkSync(realpathSync(await findBroker(process.env)), join(bin, 'nats-server'));
  const cache = join(checkout, 'cache');
  env = { PATH: bin, HOME: checkout, CROSSFOLD_CACHE: cache, CROSSFOLD_BINDING_HOST: 'http://127.0.0.1:9' };
  const sides = { cats: [200, 120, 40], dogs: [40, 120, 200] } as const;
  for (const [name, rgb] of Object.entries(sides))
    for (const part of ['train', 'test'])
      for (let n = 0; n < 6; n++)
        await writeFiles(join(checkout, 'pictures', part, name), { [`${n}.png`]: { rgb, size: 16 + n } });
  const experiment = {
    name: 'no-tools',
    dataset: { path: 'pictures', image: { height: 16, width: 16 } },
    evaluation: { method: 'kfold', folds: 2 },
    model: {
      layers: [
        { type: 'conv2d', filters: 4, kernelSize: 3, activation: 'relu' },
        { type: 'maxPooling2d' },
        { type: 'flatten' },
        { type: 'dense', units: 2, activation: 'softmax' },
      ],
    },
    training: { epochs: 1, batchSize: 4, optimizer: { name: 'adam' } },
  };
  writeFileSync(join(checkout, 'small.yaml'), stringify(experiment));
  writeFileSync(join(checkout, 'augmented.yaml'), stringify({ ...experiment, augment: { rotation: 20 } }));
});
afterAll(() => rmSync(checkout, { recursive: true, force: true }));

interface Ended {
  readonly out: string;
  readonly err: string;
}

/** As `npx crossfold` runs it: sets up what it can, then does what it is asked to. */
const crossfold = (...words: readonly string[]): Promise<Ended> =>
  new Promise((resolve, reject) => {
    const bin = join(checkout, 'coordinator/bin/crossfold.cjs');
    execFile(process.execPath, [bin, ...words], { cwd: checkout, env }, (error, out, err) =>
      error === null ? resolve({ out, err }) : reject(new Error(`${words.join(' ')}: ${error.message}\n${out}${err}`)),
    );
  });

describe('without Python, pip and a compiler', () => {
  it('an experiment runs on the WebAssembly engine, and it is said how slow that is and what to install', async () => {
    const clusters = WatchedClusters.below(checkout);
    const { out, err } = await crossfold('run', 'small.yaml', '--workers', '2', '--out', 'run');
    expect(await clusters.close()).toEqual([]);
    expect(err).toContain('it has none for us');
    expect(err).toContain('no C++ compiler (c++, g++, clang++)');
    expect(err).toContain('going on WITHOUT TensorFlow, on the WebAssembly engine, which is about 25 times slower.');
    expect(err).toContain('apt-get install -y g++');
    expect(out).toMatch(/^mean +\d/m);
    const results = JSON.parse(readFileSync(join(checkout, 'run/results.json'), 'utf8'));
    expect(results).toMatchObject({ status: 'completed', engine: { backend: 'wasm', device: 'cpu' } });
    expect(readFileSync(join(checkout, 'run/report.html'), 'utf8')).toContain('wasm');
  });

  const picture = 'pictures/test/cats/0.png';
  it.each([
    [['evaluate', 'run', 'pictures'], /accuracy +\d/],
    [['predict', 'run', picture], /0\.png +(cats|dogs) +\d/],
    [['inspect', 'summary', 'small.yaml'], /conv2d/],
    [['inspect', 'activations', 'run', picture, '--out', 'maps.png'], /maps\.png/],
    [['inspect', 'augment', 'augmented.yaml', '--out', 'varied.png'], /varied\.png|augment/],
    [['export', 'run', '--format', 'h5', '--out', 'net.h5'], /net\.h5/],
    [['export', 'run', '--format', 'savedmodel', '--out', 'saved'], /saved/],
    [['report', 'run', '--out', 'again.html'], /again\.html/],
  ] as const)('%j', async (words, shows) => {
    const { out, err } = await crossfold(...words);
    expect(`${out}${err}`).toMatch(shows);
    if (words[0] === 'evaluate' || words[0] === 'predict') expect(err).toContain('about 25 times slower');
  });
});
