import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connectClient } from '@crossfold/coordinator/client/client';
import { evaluateOn } from '@crossfold/coordinator/models/evaluate-on';
import { chosenNets, findModels } from '@crossfold/coordinator/models/find-model';
import { openTogether } from '@crossfold/coordinator/models/open-predictor';
import { writeRunFolder } from '@crossfold/coordinator/results/run-folder';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { FinishedRun, TrainingCluster } from '../support/cluster.ts';
import { smallExperiment, startTrainingCluster } from '../support/cluster.ts';

/** Real workers: what is left in the end is trained on everything, is the same for any group, and can be used. */
let cluster: TrainingCluster;
let folder: string;
beforeAll(async () => {
  cluster = await startTrainingCluster({ workers: 2 });
  folder = await mkdtemp(join(tmpdir(), 'crossfold-final-'));
}, 120_000);
afterAll(async () => {
  await cluster?.stop();
  await rm(folder, { recursive: true, force: true });
});

const experiment = {
  ...smallExperiment,
  training: { ...smallExperiment.training, epochs: 5, earlyStopping: { monitor: 'valAccuracy', patience: 1 } },
} as const;

const save = async ({ record }: FinishedRun, name: string): Promise<string> => {
  const client = await connectClient(cluster.url);
  try {
    const out = join(folder, name);
    await writeRunFolder(await client.outcome(record.id), out);
    return out;
  } finally {
    await client.close();
  }
};
const world = { env: {}, connect: () => Promise.reject(new Error('nobody asks a cluster')) };

it('a refit is the same to the bit for one worker and for two, and its test score is that of the file it leaves', async () => {
  const [one, two] = [
    await cluster.run({ ...experiment, final: 'refit', workersPerJob: 1 }),
    await cluster.run({ ...experiment, final: 'refit', workersPerJob: 2 }),
  ].map((run) => ({ ...run, final: run.results.final }));
  if (one?.final?.of !== 'refit' || two?.final?.of !== 'refit') throw new Error('both were refitted');
  expect(two.final.workers).toHaveLength(2);
  expect(one.final.workers).toHaveLength(1);
  expect(two.final.weightsSha256).toBe(one.final.weightsSha256);
  expect(two.final.history).toEqual(one.final.history);
  expect(two.results.test?.loss).toBe(one.results.test?.loss);

  // Of all samples, and as long as the folds' best epochs say.
  const kept = one.results.trials[0]?.folds.flatMap((fold) =>
    fold.status === 'completed' ? [fold.bestEpoch + 1] : [],
  );
  const epochs = Math.round(((kept?.[0] ?? 0) + (kept?.[1] ?? 0)) / 2);
  expect(one.final).toMatchObject({ trainSamples: 404, epochs, samplesSeen: 404 * epochs });
  expect(one.results.test).toMatchObject({ of: 'refit', looks: 1, samples: 10_000 });

  const run = await save(one, 'refit');
  expect(await readdir(join(run, 'models'))).toEqual([
    'trial-0-fold-0.safetensors',
    'trial-0-fold-1.safetensors',
    'trial-0-refit.safetensors',
  ]);
  const { predictor, model } = await openTogether(await findModels(run, {}, world));
  const { scores } = await evaluateOn(predictor, model, 'mnist', 'test', () => undefined);
  predictor.dispose();
  expect(scores.confusionMatrix).toEqual(one.results.test?.confusionMatrix);
  expect(scores.loss).toBeCloseTo(one.results.test?.loss ?? 0, 5);
}, 120_000);

it('an ensemble is scored by the mean of what its nets give', async () => {
  const run = await cluster.run({ ...experiment, final: 'ensemble' });
  const { results } = run;
  expect(results).toMatchObject({
    final: { of: 'ensemble', members: { length: 2 } },
    test: { of: 'ensemble', looks: 1 },
  });
  const out = await save(run, 'ensemble');
  expect(chosenNets(results, {}, 'run').map(({ fold }) => fold)).toEqual([0, 1]);
  const { predictor, model } = await openTogether(await findModels(out, {}, world));
  const { scores } = await evaluateOn(predictor, model, 'mnist', 'test', () => undefined);
  predictor.dispose();
  expect(scores.confusionMatrix).toEqual(results.test?.confusionMatrix);
  expect(scores.loss).toBeCloseTo(results.test?.loss ?? 0, 5);
  // It is neither of its nets.
  for (const fold of [0, 1]) {
    const single = await openTogether(await findModels(out, { fold }, world));
    const alone = await evaluateOn(single.predictor, single.model, 'mnist', 'test', () => undefined);
    single.predictor.dispose();
    expect(alone.scores.loss).not.toBeCloseTo(scores.loss, 5);
  }
}, 120_000);
