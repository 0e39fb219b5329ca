import { afterAll, beforeAll, expect, it } from 'vitest';
import { completedFolds } from '../../coordinator/src/results/select.ts';
import { smallExperiment, startTrainingCluster, type TrainingCluster } from '../support/cluster.ts';

let cluster: TrainingCluster;
beforeAll(async () => {
  cluster = await startTrainingCluster({ workers: 2, env: { CROSSFOLD_ENGINE: 'wasm' } });
});
afterAll(() => cluster.stop());

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
