import { mkdtemp, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { main } from '@crossfold/coordinator/cli/main';
import { connectClient } from '@crossfold/coordinator/client/client';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { completedFolds } from '../../coordinator/src/results/select.ts';
import { smallExperiment, startTrainingCluster, type TrainingCluster } from '../support/cluster.ts';
import { fakeWorld } from '../support/fake-client.ts';
import { writeFiles } from '../support/pictures.ts';

let cluster: TrainingCluster;
let folder: string;
const engineBefore = process.env.CROSSFOLD_ENGINE;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'crossfold wasm '));
  // What the commands below compute with, on this thread.
  process.env.CROSSFOLD_ENGINE = 'wasm';
  cluster = await startTrainingCluster({ workers: 2, env: { CROSSFOLD_ENGINE: 'wasm' } });
});
afterAll(async () => {
  if (engineBefore === undefined) delete process.env.CROSSFOLD_ENGINE;
  else process.env.CROSSFOLD_ENGINE = engineBefore;
  await rm(folder, { recursive: true, force: true });
  await cluster.stop();
});

const slow =
  /computing on the WebAssembly engine, which is about 25 times slower than TensorFlow; `crossfold doctor` says/;

async function crossfold(...words: readonly string[]): Promise<string> {
  const { context, out, err } = fakeWorld();
  const code = await main(words, { ...context, connect: (url) => connectClient(url) });
  expect({ code, err: code === 0 ? '' : err() }).toEqual({ code: 0, err: '' });
  // Whoever waits for it is told why.
  if (words[0] === 'evaluate' || words[0] === 'predict') expect(err()).toMatch(slow);
  return out();
}

it('the WebAssembly engine trains the same jobs, with the same bits by one worker and by two', async () => {
  const one = await cluster.run({ ...smallExperiment, workersPerJob: 1 });
  const two = await cluster.run({ ...smallExperiment, workersPerJob: 2 });
  for (const { results } of [one, two]) expect(results.engine).toMatchObject({ backend: 'wasm' });
  const folds = [one, two].map(({ results }) => results.trials.flatMap(completedFolds));
  const bits = folds.map((of) => of.map(({ weightsSha256 }) => weightsSha256));
  expect(bits[0]).toHaveLength(2);
  expect(bits[1]).toEqual(bits[0]);
  expect(folds[1]?.map(({ exchange }) => exchange)).not.toContain('none');
});

it('does what else nets are for: refit, evaluate, predict, feature maps, files for others', async () => {
  const { results: before } = await cluster.run({ ...smallExperiment, name: 'all-of-it' });
  const run = join(folder, 'run');
  await crossfold('refit', before.id, '--nats', cluster.url, '--out', run);
  const results = JSON.parse(await readFile(join(run, 'results.json'), 'utf8'));
  expect(results).toMatchObject({ engine: { backend: 'wasm' }, final: { of: 'refit' }, test: { of: 'refit' } });
  // The very score that a worker gave the net, of the same samples.
  const { scores } = JSON.parse(await crossfold('evaluate', run, 'mnist', '--json'));
  expect(scores.accuracy).toBe(results.test.accuracy);
  const picture = join(folder, 'one.png');
  await writeFiles(folder, { 'one.png': { rgb: [200, 90, 10], size: 28 } });
  const predict = async (net: string, ...more: string[]): Promise<unknown> =>
    JSON.parse(await crossfold('predict', net, picture, '--json', ...more)).predictions[0].probabilities;
  const probabilities = await predict(run);
  await predict(run, '--fold', 'ensemble', '--tta', 'flip');
  for (const format of ['h5', 'keras'])
    await crossfold('export', run, '--format', format, '--out', join(folder, `net.${format}`));
  for (const format of ['h5', 'keras']) expect(await predict(join(folder, `net.${format}`))).toEqual(probabilities);
  for (const [format, file] of [
    ['tfjs', 'model.json'],
    ['savedmodel', 'saved_model.pb'],
  ] as const) {
    await crossfold('export', run, '--format', format, '--out', join(folder, format));
    expect((await stat(join(folder, format, file))).size).toBeGreaterThan(500);
  }
  await crossfold('inspect', 'activations', run, picture, '--out', join(folder, 'maps.png'));
  expect((await readFile(join(folder, 'maps.png'))).subarray(1, 4).toString()).toBe('PNG');
});
