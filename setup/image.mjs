/**
 * What the Dockerfile takes from set-up, one thing a stage, so that each stays cached while the rest changes.
 *
 * `node setup/image.mjs pins DIR`: package.json and package-lock.json of nothing but the packages that TensorFlow's
 * binding is compiled from, out of the checkout's package-lock.json; the same bytes as long as those stay the same.
 * `node setup/image.mjs tensorflow DIR | broker DIR`: TensorFlow with its binding, or nats-server, in DIR.
 */
import { mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { contextOf } from './context.mjs';
import { report, setUp } from './steps.mjs';

const COMPILED_FROM = ['@tensorflow/tfjs-node-gpu', 'node-api-headers'];
const root = resolve(import.meta.dirname, '..');

/** @param {string} folder */
function writePins(folder) {
  const { packages } = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8'));
  /** @type {Record<string, string>} */
  const dependencies = {};
  /** @type {Record<string, object>} */
  const locked = {};
  for (const name of COMPILED_FROM) {
    const { version, resolved, integrity } = packages[`node_modules/${name}`];
    dependencies[name] = version;
    // Their own dependencies are left out: only sources and headers are wanted.
    locked[`node_modules/${name}`] = { version, resolved, integrity };
  }
  const own = { name: 'binding', private: true, dependencies };
  const lock = { name: 'binding', lockfileVersion: 3, requires: true, packages: { '': own, ...locked } };
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, 'package.json'), JSON.stringify(own, null, 2));
  writeFileSync(join(folder, 'package-lock.json'), JSON.stringify(lock, null, 2));
}

/**
 * @param {'tensorflow' | 'broker'} what
 * @param {string} folder must not exist yet
 */
async function provide(what, folder) {
  const context = contextOf(root, { ...process.env, CROSSFOLD_CACHE: `${folder}.cache` });
  // Only the one that is asked for is loaded: the stage has no more of set-up than that.
  const step =
    what === 'broker' ? (await import('./broker.mjs')).broker : (await import('./tensorflow.mjs')).tensorflow;
  await setUp(context, [step]);
  const home = readdirSync(context.cache).find((name) => name !== 'downloads');
  mkdirSync(dirname(folder), { recursive: true });
  renameSync(join(context.cache, home ?? ''), folder);
}

const [what, folder] = process.argv.slice(2);
try {
  if (folder !== undefined && what === 'pins') writePins(resolve(folder));
  else if (folder !== undefined && (what === 'tensorflow' || what === 'broker')) await provide(what, resolve(folder));
  else throw new Error('usage: node setup/image.mjs pins|tensorflow|broker DIR');
} catch (error) {
  process.exitCode = report(error);
}
