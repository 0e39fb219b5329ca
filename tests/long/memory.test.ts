import { TrainingSpec } from '@crossfold/shared/config/training';
import { planModel } from '@crossfold/shared/model/plan';
import { Engine } from '@crossfold/worker/engine/engine';
import { describe, expect, it } from 'vitest';
import { digits, part } from '../support/digits.ts';
import { tensorFlow } from '../support/engine.ts';

const MiB = 2 ** 20;

describe('memory', () => {
  it('stays as it is over 10,000 steps', { timeout: 1_800_000 }, () => {
    const training = TrainingSpec.parse({ epochs: 1, batchSize: 64, optimizer: { name: 'rmsprop' } });
    const model = planModel({ preset: 'mnist-convnet' }, { height: 28, width: 28, channels: 1 }, 10, training.loss);
    const { binding } = tensorFlow();
    const engine = new Engine(tensorFlow(), { model, training, keys: { seed: 1, repeat: 0, fold: 0 } });
    const samples = digits(6400);
    const train = (from: number, to: number): void => {
      for (let step = from; step < to; step++) {
        const at = (step % 100) * 64;
        engine.update(engine.gradient(part(samples, at, at + 64), { step, slice: 0 }), 1e-4);
      }
    };
    train(0, 1000);
    const before = { tensors: binding.getNumOfTensors(), rss: process.memoryUsage().rss };
    const marks: string[] = [];
    for (let thousand = 1; thousand < 11; thousand++) {
      train(thousand * 1000, thousand * 1000 + 1000);
      marks.push((process.memoryUsage().rss / MiB).toFixed(0));
    }
    const grown = (process.memoryUsage().rss - before.rss) / MiB;
    console.log(
      `resident after 1,000 steps ${(before.rss / MiB).toFixed(0)} MiB, then every 1,000: ${marks.join(', ')}`,
    );
    expect(binding.getNumOfTensors()).toBe(before.tensors);
    // A leak of one gradient vector a step would be 3,600 MiB, one of a kilobyte a step still 10; the rest is the heap.
    expect(grown).toBeLessThan(64);
    engine.dispose();
  });
});
