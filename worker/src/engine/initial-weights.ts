import type { ModelPlan } from '@crossfold/shared/model/plan';
import { keyedRandom } from '@crossfold/shared/rng';

/**
 * Fills the flat vector with a model's initial weights. Random ones are drawn from the generator of (seed, repeat,
 * parameter), so that folds and trials begin alike. Glorot uniform: Glorot and Bengio, AISTATS 2010, with Keras' limit
 * sqrt(6 / (fanIn + fanOut)).
 */
export function initialWeights(
  plan: ModelPlan,
  { seed, repeat }: { readonly seed: number; readonly repeat: number },
  weights: Float32Array,
): void {
  for (const { name, offset, length, initializer } of plan.parameters) {
    const part = weights.subarray(offset, offset + length);
    if (initializer.kind !== 'glorotUniform') {
      part.fill(initializer.kind === 'ones' ? 1 : 0);
      continue;
    }
    const limit = Math.sqrt(6 / (initializer.fanIn + initializer.fanOut));
    const random = keyedRandom(seed, repeat, 'init', name);
    for (let i = 0; i < length; i++) part[i] = (2 * random.uniform() - 1) * limit;
  }
}
