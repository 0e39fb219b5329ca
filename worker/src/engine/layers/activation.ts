import type { Activation } from '@crossfold/shared/config/layers';
import type { Ops } from '../ops/ops.ts';
import type { Stage } from './stage.ts';

interface Curve {
  forward<T>(ops: Ops<T>, x: T): T;
  /** The derivative by x, times dy. */
  backward<T>(ops: Ops<T>, dy: T, x: T, y: T): T;
}

/** Keras' slope of leakyRelu below 0. */
const leak = 0.3;

/**
 * In a graph TensorFlow would join some curves to the layer before, or move a constant within a product, and give other
 * bits: barriers keep it from doing so. Where the bits are the same (relu, leakyRelu) it may.
 */
const curves: Readonly<Record<Exclude<Activation, 'linear'>, Curve>> = {
  relu: {
    forward: (ops, x) => ops.relu(x),
    backward: (ops, dy, _x, y) => ops.reluGrad(dy, y),
  },
  elu: {
    forward: (ops, x) => ops.elu(ops.barrier(x)),
    backward: (ops, dy, _x, y) => ops.eluGrad(dy, y),
  },
  leakyRelu: {
    forward: (ops, x) => ops.leakyRelu(x, leak),
    // By y, which has the sign of x: so x need not be kept, and TensorFlow may join the bias to the relu.
    backward: (ops, dy, _x, y) => ops.leakyReluGrad(dy, y, leak),
  },
  tanh: {
    forward: (ops, x) => ops.tanh(ops.barrier(x)),
    backward: (ops, dy, _x, y) => ops.tanhGrad(dy, y),
  },
  sigmoid: {
    forward: (ops, x) => ops.sigmoid(ops.barrier(x)),
    backward: (ops, dy, _x, y) => ops.sigmoidGrad(dy, y),
  },
  /** x F(x), F being the normal distribution (Hendrycks and Gimpel, "Gaussian error linear units", 2016). */
  gelu: {
    forward: (ops, x) => ops.mul(x, normalDistribution(ops, ops.barrier(x))),
    backward(ops, dy, x) {
      const bell = ops.exp(ops.mul(ops.scalar(-0.5), ops.square(x)));
      const slope = ops.mul(ops.scalar(1 / Math.sqrt(2 * Math.PI)), ops.barrier(ops.mul(x, bell)));
      return ops.mul(dy, ops.add(normalDistribution(ops, x), slope));
    },
  },
  /** x s(x), s being the sigmoid; its derivative is s + y (1 - s) (Ramachandran et al., "Searching for activation functions", 2017). */
  swish: {
    forward: (ops, x) => ops.mul(x, ops.barrier(ops.sigmoid(x))),
    backward(ops, dy, x, y) {
      const s = ops.sigmoid(x);
      return ops.mul(dy, ops.add(s, ops.mul(y, ops.sub(ops.scalar(1), s))));
    },
  },
  softmax: {
    forward: (ops, x) => ops.softmax(x),
    backward: (ops, dy, _x, y) => ops.mul(y, ops.sub(dy, ops.sum(ops.mul(dy, y), [-1], true))),
  },
};

const normalDistribution = <T>(ops: Ops<T>, x: T): T =>
  ops.mul(ops.scalar(0.5), ops.add(ops.scalar(1), ops.erf(ops.mul(x, ops.scalar(Math.SQRT1_2)))));

/** y = f(x), element by element; softmax over the last dimension. */
export function activation(name: string, shape: readonly number[], kind: Exclude<Activation, 'linear'>): Stage {
  const curve = curves[kind];
  return {
    name,
    parameters: [],
    inputShape: shape,
    outputShape: shape,
    ...(kind === 'relu' ? { poolable: 'relu' as const } : {}),
    forward: ({ ops }, x, parameters) => ({ x, parameters, y: curve.forward(ops, x) }),
    backward: ({ ops }, dy, { x, y }) => ({ dx: curve.backward(ops, dy, x, y), parameters: [] }),
  };
}
