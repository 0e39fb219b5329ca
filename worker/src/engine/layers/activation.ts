import type { Activation } from '@crossfold/shared/config/layers';
import type { Ops } from '../ops/ops.ts';
import type { Stage } from './stage.ts';

interface Curve {
  forward<T>(ops: Ops<T>, x: T): T;
  /** The derivative by x, times dy. */
  backward<T>(ops: Ops<T>, dy: T, x: T, y: T): T;
}

const curves: Readonly<Partial<Record<Activation, Curve>>> = {
  relu: {
    forward: (ops, x) => ops.relu(x),
    backward: (ops, dy, _x, y) => ops.reluGrad(dy, y),
  },
};

/** y = f(x), element by element, or by sample for softmax. */
export function activation(name: string, shape: readonly number[], kind: Activation): Stage {
  const curve = curves[kind];
  if (curve === undefined) throw new Error(`the activation ${kind} cannot be computed`);
  return {
    name,
    parameters: [],
    inputShape: shape,
    outputShape: shape,
    forward: ({ ops }, x, parameters) => ({ x, parameters, y: curve.forward(ops, x) }),
    backward: ({ ops }, dy, { x, y }) => ({ dx: curve.backward(ops, dy, x, y), parameters: [] }),
  };
}
