import type { Experiment } from '@crossfold/shared/config/experiment';
import type { ModelPlan } from '@crossfold/shared/model/plan';
import { keyedRandom } from '@crossfold/shared/rng';
import { Engine } from '@crossfold/worker/engine/engine';
import { loadEngine } from '@crossfold/worker/engine/load';
import { forwardFlops } from './cost.ts';

/** How fast this machine trains a net. */
export interface Speed {
  readonly backend: 'tensorflow' | 'wasm';
  readonly device: string;
  readonly imagesPerSecond: number;
  /** What a job takes before its first step: its net is built, and its step traced. */
  readonly secondsPerJob: number;
  /** Multiplications and additions a second; by it other nets' times are told. */
  readonly flopsPerSecond: number;
}

const warmUpSteps = 1;
const mostSteps = 8;
const longEnoughMs = 1500;

/**
 * Trains a net for a few batches of noise in this process, as a worker would, and looks at the clock.
 *
 * @param now milliseconds
 */
export async function measureSpeed(experiment: Experiment, plan: ModelPlan, now: () => number): Promise<Speed> {
  const { training, threadsPerWorker: threads, seed } = experiment;
  const loaded = await loadEngine({ threads, quiet: true });
  const { epochs: _, ...rest } = training;
  const begun = now();
  const engine = new Engine(loaded, {
    model: plan,
    training: { ...rest, epochs: 1 },
    keys: { seed, repeat: 0, fold: 0 },
  });
  const random = keyedRandom(seed, 'dry run');
  const slice = Math.ceil(training.batchSize / training.microBatches);
  const pixels = plan.inputShape.reduce((product, n) => product * n, 1);
  const x = Float32Array.from({ length: slice * pixels }, () => random.uniform());
  const labels = Int32Array.from({ length: slice }, (_, i) => i % plan.classes);
  const step = (number: number): void => {
    const total = new Float32Array(engine.vectorLength);
    for (let i = 0; i < training.microBatches; i++) {
      const vector = engine.gradient({ x, labels }, { step: number, slice: i });
      for (let k = 0; k < total.length; k++) total[k] = (total[k] ?? 0) + (vector[k] ?? 0);
    }
    engine.update(total, training.optimizer.learningRate / 100);
  };
  for (let i = 0; i < warmUpSteps; i++) step(i);
  const ready = (now() - begun) / 1000;
  const started = now();
  let steps = 0;
  while (steps < mostSteps && now() - started < longEnoughMs) step(warmUpSteps + steps++);
  const seconds = Math.max(1e-6, (now() - started) / 1000);
  engine.dispose();
  const imagesPerSecond = (steps * slice * training.microBatches) / seconds;
  const { backend, device } = loaded.identity;
  const secondsPerJob = Math.max(0, ready - (warmUpSteps * seconds) / steps);
  return { backend, device, imagesPerSecond, secondsPerJob, flopsPerSecond: 3 * forwardFlops(plan) * imagesPerSecond };
}
