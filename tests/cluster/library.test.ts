import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import type { LoadedExperiment } from 'crossfold';
import { ConfigError, connect, defineExperiment, loadExperiment, loadModel, openRun, plotCurves } from 'crossfold';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { WatchedClusters } from '../support/watched-clusters.ts';

const root = resolve(import.meta.dirname, '../..');
let folder: string;
let clusters: WatchedClusters;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'crossfold library '));
  clusters = WatchedClusters.below(folder);
});
afterAll(async () => {
  await clusters.close();
  rmSync(folder, { recursive: true, force: true });
});

/** Runs an example as its first lines say. */
async function example(name: string, ...args: readonly string[]): Promise<string> {
  const child = spawn(process.execPath, [join(root, 'examples/library', name), ...args], {
    cwd: root,
    // Clusters of the library have their state there.
    env: { ...process.env, TMPDIR: folder },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let [out, err] = ['', ''];
  child.stdout.on('data', (text) => {
    out += text;
  });
  child.stderr.on('data', (text) => {
    err += text;
  });
  const [code] = await once(child, 'close');
  expect({ code, err: code === 0 ? '' : err }).toEqual({ code: 0, err: '' });
  return out;
}

describe('the examples run', () => {
  it('cross-validates, and leaves a run that others can read', async () => {
    const run = join(folder, 'run');
    const out = await example('cross-validate.mjs', run);
    expect(out).toContain('13,610 parameters');
    expect(out).toMatch(/fold 2, epoch 2: \d+\.\d %/);
    expect(out).toMatch(/\nmean +\d+\.\d+ ± \d+\.\d+ %/);
    const { results } = await openRun(run);
    expect(results.trials[0]?.summary?.accuracy.mean).toBeGreaterThan(0.7);
    expect(plotCurves(results, 'loss')).toMatch(/^<svg xmlns="[^"]+"[^>]*><style>.*<\/svg>$/s);
    expect(() => plotCurves(results, 'loss', 7)).toThrow('no fold of trial 7');
  });

  it('uses the model of that run: scores, a prediction, feature maps, and a file for Keras', async () => {
    const [run, out] = [join(folder, 'run'), join(folder, 'model')];
    const { results } = await openRun(run);
    const said = await example('use-model.mjs', run, out);
    // The very score that the cluster gave the same net on the same samples.
    expect(said).toContain(`${(100 * (results.test?.accuracy ?? 0)).toFixed(2)} % of 10000 test digits are right`);
    expect((await readFile(join(out, 'feature-maps.png'))).subarray(1, 4).toString()).toBe('PNG');
    const again = await loadModel(join(out, 'model.h5'));
    const first = await (await openRun(run)).model();
    expect(again.weights).toEqual(first.weights);
    for (const model of [again, first]) model.close();
  });

  it('sweeps: a losing configuration is stopped after two of three folds', async () => {
    const out = await example('sweep.mjs');
    expect(out.match(/^trial /gm)).toHaveLength(3);
    expect(out).toContain('pruned');
    expect(out).toMatch(/trained [678] epochs of folds instead of 9/);
    expect(existsSync(join(root, 'runs', 'mnist-kfold'))).toBe(false);
  });

  it('and leave every job of their clusters in exactly one final state', async () => {
    expect(await clusters.close()).toEqual([]);
  });
});

describe('errors', () => {
  it('name the field, whether it is in a file, in settings or in a value', async () => {
    const file = join(root, 'examples/mnist-kfold.yaml');
    await expect(loadExperiment(file, { 'training.epochs': 0 })).rejects.toThrow('--set training.epochs=0');
    const bad = defineExperiment({ dataset: { name: 'mnist' } } as unknown as LoadedExperiment['experiment']);
    await expect(bad).rejects.toThrow(ConfigError);
    await expect(bad).rejects.toThrow(/^the experiment: \w+/);
  });

  it('come from a cluster that is not there as from the command line', async () => {
    await expect(connect('nats://127.0.0.1:9')).rejects.toThrow('cannot reach the broker at 127.0.0.1:9');
    await expect(connect('')).rejects.toThrow('no broker named');
  });
});
