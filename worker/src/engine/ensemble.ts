import type { Loss } from '@crossfold/shared/config/training';
import type { ModelPlan } from '@crossfold/shared/model/plan';
import { evaluated } from './predictions.ts';
import type { Predictor } from './predictor.ts';

/** What answers for pictures: one net, or several together. */
export type Predicts = Pick<Predictor, 'outputs' | 'predict' | 'evaluate' | 'dispose'>;

/** Numbers that a net gives for a sample. */
export const outputsOf = ({ layers }: ModelPlan): number => layers.at(-1)?.outputShape[0] ?? 1;

/** Probabilities nearer to 0 than this are taken for it: Keras' epsilon. */
const epsilon = 1e-7;

/** The mean of what several nets give, each [samples, outputs]: in float64, in their order, so that it is always the same. */
export function meanOutputs(nets: readonly Float32Array[]): Float32Array {
  return Float32Array.from(
    nets[0] ?? [],
    (_, i) => nets.reduce((sum, outputs) => sum + (outputs[i] ?? Number.NaN), 0) / nets.length,
  );
}

/**
 * Loss of each sample by a net's outputs, with Keras' definitions for probabilities (`from_logits=False`): for an ensemble,
 * whose outputs come of no activation.
 *
 * @param outputs [samples, outputs]
 * @param labels class of each sample
 */
export function lossesOf(outputs: Float32Array, labels: ArrayLike<number>, loss: Loss): Float32Array {
  const samples = labels.length;
  const width = outputs.length / samples;
  const target = (sample: number, k: number): number => (width === 1 ? (labels[sample] ?? 0) : +(labels[sample] === k));
  const each = (sample: number, of: (y: number, t: number) => number): number => {
    let sum = 0;
    for (let k = 0; k < width; k++) sum += of(outputs[sample * width + k] ?? Number.NaN, target(sample, k));
    return sum;
  };
  const log = (p: number): number => Math.log(Math.max(p, epsilon));
  return Float32Array.from({ length: samples }, (_, sample) => {
    switch (loss) {
      case 'categoricalCrossentropy':
        return -each(sample, (y, t) => t * log(y));
      case 'binaryCrossentropy':
        return -each(sample, (y, t) => t * log(y) + (1 - t) * log(1 - y)) / width;
      case 'meanSquaredError':
        return each(sample, (y, t) => (y - t) ** 2) / width;
    }
  });
}

/** Three numbers a sample, as `Engine.evaluate` gives them, of several nets by the mean of their outputs. */
export function evaluatedTogether(nets: readonly Float32Array[], labels: ArrayLike<number>, loss: Loss): Float32Array {
  const outputs = meanOutputs(nets);
  return evaluated(lossesOf(outputs, labels, loss), outputs, 0);
}

/** Several nets of one shape that answer together. */
export class Ensemble implements Predicts {
  readonly outputs: number;
  readonly #nets: readonly Predicts[];
  readonly #loss: Loss;

  constructor(nets: readonly Predicts[], loss: Loss) {
    this.outputs = nets[0]?.outputs ?? 1;
    this.#nets = nets;
    this.#loss = loss;
  }

  predict(x: Float32Array): Float32Array {
    return meanOutputs(this.#nets.map((net) => net.predict(x)));
  }

  evaluate(x: Float32Array, labels: Int32Array): { readonly outputs: Float32Array; readonly losses: Float32Array } {
    const outputs = this.predict(x);
    return { outputs, losses: lossesOf(outputs, labels, this.#loss) };
  }

  dispose(): void {
    for (const net of this.#nets) net.dispose();
  }
}
