import { TrainingSpec } from '@crossfold/shared/config/training';
import { usableGpus } from '@crossfold/shared/gpus';
import { planModel } from '@crossfold/shared/model/plan';
import { Engine } from '@crossfold/worker/engine/engine';
import { describe, expect, it } from 'vitest';
import { digits, part } from '../support/digits.ts';
import { relativeError, tensorFlow } from '../support/engine.ts';

const training = TrainingSpec.parse({ epochs: 1, batchSize: 64, optimizer: { name: 'rmsprop' } });
const model = planModel({ preset: 'mnist-convnet' }, { height: 28, width: 28, channels: 1 }, 10, training.loss);

const open = (mode: 'graph' | 'eager', weights: 'kept' | 'given' = 'kept'): Engine =>
  new Engine(tensorFlow(), { model, training, keys: { seed: 1, repeat: 0, fold: 0 } }, { mode, weights });

/** Steps of 64 digits; the weights they end with. */
function train(engine: Engine, steps: number): Float32Array {
  const samples = digits(6400);
  for (let step = 0; step < steps; step++) {
    const from = (step % 100) * 64;
    engine.update(engine.gradient(part(samples, from, from + 64), { step, slice: 0 }), 0.001);
  }
  const { weights } = engine.state();
  engine.dispose();
  return weights;
}

describe('on a GPU', () => {
  it('TensorFlow has found it, and says which', () => {
    const [gpu] = usableGpus(process.env);
    expect(gpu, 'nvidia-smi lists a GPU').toBeDefined();
    expect(tensorFlow().binding.isUsingGpuDevice(), 'TensorFlow uses it').toBe(true);
    expect(tensorFlow().identity.device).toContain(gpu?.name);
  });

  it('gives the same bits twice', () => {
    expect(train(open('graph'), 50)).toEqual(train(open('graph'), 50));
  });

  it('gives the same bits whether the weights stay there or are given with every step', () => {
    expect(train(open('graph', 'kept'), 20)).toEqual(train(open('graph', 'given'), 20));
  });

  it('gives by the graph what it gives operation by operation', () => {
    expect(relativeError(train(open('graph'), 5), train(open('eager'), 5))).toBeLessThan(1e-4);
  });

  it('trains', () => {
    const engine = open('graph');
    train(open('graph'), 20);
    const started = performance.now();
    train(engine, 500);
    const seconds = (performance.now() - started) / 1000;
    console.log(`${tensorFlow().identity.device}: ${((500 * 64) / seconds).toFixed(0)} images a second, batch 64`);
  });
});
