import type { Loss } from '@crossfold/shared/config/training';
import type { Ops } from '../ops/ops.ts';

/**
 * What the net's last numbers mean and how wrong they are. `x` is the input of the last activation where the loss is
 * computed together with it, which is exact where the activation saturates.
 */
export interface LossHead {
  /** Set where `x` is the input of the last activation. */
  readonly fused: 'softmax' | 'sigmoid' | undefined;
  /** Loss of each sample [samples], and its derivative by x. */
  loss<T>(ops: Ops<T>, x: T, labels: T): readonly [losses: T, derivative: T];
  /** The net's outputs [samples, outputs]. */
  outputs<T>(ops: Ops<T>, x: T): T;
}

const softmaxCrossentropy: LossHead = {
  fused: 'softmax',
  loss: (ops, x, labels) => ops.sparseSoftmaxCrossEntropy(x, labels),
  outputs: (ops, x) => ops.softmax(x),
};

export function lossHead(loss: Loss): LossHead {
  switch (loss) {
    case 'categoricalCrossentropy':
      return softmaxCrossentropy;
    default:
      throw new Error(`the loss ${loss} cannot be computed`);
  }
}
