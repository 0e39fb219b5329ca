import type { Loss } from '@crossfold/shared/config/training';
import type { Ops } from '../ops/ops.ts';

/**
 * What the net's last numbers mean and how wrong they are, with Keras' definitions; labels are numbers of classes. Where
 * the loss is computed together with the last activation, it is exact where the activation saturates.
 */
export interface LossHead {
  /** The last activation, where `x` below is that activation's input rather than the net's output. */
  readonly fused: 'softmax' | 'sigmoid' | undefined;
  /** Of x [samples, outputs] and labels [samples]: loss of each sample [samples], and its derivative by x. */
  loss<T>(ops: Ops<T>, x: T, labels: T): readonly [losses: T, derivative: T];
  /** The net's outputs [samples, outputs]. */
  outputs<T>(ops: Ops<T>, x: T): T;
}

/** @param outputs numbers that the net gives for a sample */
export function lossHead(loss: Loss, outputs: number): LossHead {
  switch (loss) {
    case 'categoricalCrossentropy':
      return categoricalCrossentropy;
    case 'binaryCrossentropy':
      return binaryCrossentropy(outputs);
    case 'meanSquaredError':
      return meanSquaredError(outputs);
  }
}

/** -log softmax(x)[label]. */
const categoricalCrossentropy: LossHead = {
  fused: 'softmax',
  loss: (ops, x, labels) => ops.sparseSoftmaxCrossEntropy(x, labels),
  outputs: (ops, x) => ops.softmax(x),
};

/** Mean over the outputs of -t log s(x) - (1 - t) log(1 - s(x)), which is max(x, 0) - x t + log(1 + exp(-|x|)). */
const binaryCrossentropy = (outputs: number): LossHead => ({
  fused: 'sigmoid',
  loss(ops, x, labels) {
    const t = targets(ops, labels, outputs);
    const each = ops.add(ops.sub(ops.relu(x), ops.mul(x, t)), ops.log1p(ops.exp(ops.neg(ops.abs(x)))));
    return [ops.mean(each, [1]), ops.mul(ops.sub(ops.sigmoid(x), t), ops.scalar(1 / outputs))];
  },
  outputs: (ops, x) => ops.sigmoid(x),
});

/** Mean over the outputs of (y - t)^2. */
const meanSquaredError = (outputs: number): LossHead => ({
  fused: undefined,
  loss(ops, y, labels) {
    const difference = ops.sub(y, targets(ops, labels, outputs));
    return [ops.mean(ops.square(difference), [1]), ops.mul(difference, ops.scalar(2 / outputs))];
  },
  outputs: (_, y) => y,
});

/** What the outputs should be: 1 at the label's place; a single output is the probability of class 1. */
const targets = <T>(ops: Ops<T>, labels: T, outputs: number): T =>
  outputs === 1 ? ops.reshape(ops.intToFloat(labels), [-1, 1]) : ops.oneHot(labels, outputs);
