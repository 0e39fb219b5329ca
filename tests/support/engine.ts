import type { EngineSettings } from '@crossfold/worker/engine/engine';
import { Engine } from '@crossfold/worker/engine/engine';
import type { LoadedTensorFlow } from '@crossfold/worker/engine/tensorflow';
import { loadTensorFlow } from '@crossfold/worker/engine/tensorflow';
import type { KerasCase } from './keras.ts';

let loaded: LoadedTensorFlow | undefined;

/** TensorFlow on one thread, loaded once a process. */
export function tensorFlow(): LoadedTensorFlow {
  loaded ??= loadTensorFlow({ threads: 1 });
  return loaded;
}

/** TensorFlow which, as on a GPU, takes copies of what it is given. */
function copying(): LoadedTensorFlow {
  const { binding, identity } = tensorFlow();
  const createTensor: typeof binding.createTensor = (shape, dtype, values) =>
    binding.createTensor(shape, dtype, values.slice());
  return { identity, binding: Object.create(binding, { createTensor: { value: createTensor } }) as typeof binding };
}

/**
 * An engine with the net and the weights of a case; a program that does not load as a graph fails the test. Where
 * programs keep the weights, TensorFlow does not see what is written to them later.
 */
export function engineOf(given: KerasCase, settings: Pick<EngineSettings, 'mode' | 'weights'> = {}): Engine {
  const keys = { seed: 1, repeat: 0, fold: 0 };
  const engine = new Engine(
    settings.weights === 'kept' ? copying() : tensorFlow(),
    { model: given.model, training: given.training, keys },
    {
      ...settings,
      onFallback(program, reason) {
        throw new Error(`the ${program} is not taken as a graph`, { cause: reason });
      },
    },
  );
  const state = engine.state();
  engine.load({ weights: Float32Array.from(given.weights), optimizer: state.optimizer, step: 0 });
  return engine;
}

export const samplesOf = (given: KerasCase): { x: Float32Array; labels: Int32Array } => ({
  x: Float32Array.from(given.x),
  labels: Int32Array.from(given.labels),
});

/** The largest difference relative to the largest number that is expected. */
export function relativeError(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  if (actual.length !== expected.length) return Number.POSITIVE_INFINITY;
  let scale = 0;
  let difference = 0;
  for (let i = 0; i < expected.length; i++) {
    scale = Math.max(scale, Math.abs(expected[i] ?? 0));
    const here = Math.abs((actual[i] ?? Number.NaN) - (expected[i] ?? 0));
    // Not a number is no small difference.
    difference = here <= difference ? difference : here;
  }
  return difference / (scale || 1);
}
