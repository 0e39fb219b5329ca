import type { OptimizerSpec } from '@crossfold/shared/config/training';

/** Elements [from, to) of the flat vector of weights. */
export interface Range {
  readonly from: number;
  readonly to: number;
}

/** What an update works on; all vectors are flat and aligned, but `state`, which has `slots` times their length. */
export interface Update {
  readonly weights: Float32Array;
  readonly gradient: Float32Array;
  /** What the gradient is to be divided by: the batch's samples where it is a sum, 1 where it is a mean. */
  readonly divisor: number;
  readonly state: Float32Array;
  readonly learningRate: number;
  /** Number of this update, from 1. */
  readonly step: number;
}

/**
 * An optimizer with Keras 3's update rule. Numbers are kept in float32 and computed with in float64, which every
 * JavaScript engine does alike: an update has the same bits on every machine. (So no `Math.pow`: its last bit may vary.)
 */
export interface Optimizer {
  /** Vectors like the weights that it keeps from step to step. */
  readonly slots: number;
  /** What each number of the state begins as. */
  readonly initial: number;
  apply(update: Update, range: Range): void;
}

export function createOptimizer(spec: OptimizerSpec): Optimizer {
  switch (spec.name) {
    case 'sgd':
      return sgd(spec);
    case 'rmsprop':
      return rmsprop(spec);
    case 'adam':
      return adam(spec, 0);
    case 'adamw':
      return adam(spec, spec.weightDecay);
    case 'adagrad':
      return adagrad(spec);
  }
}

/** Stochastic gradient descent; momentum after Polyak, or Nesterov as Sutskever et al. put it ("On the importance of initialization and momentum in deep learning", ICML 2013). */
function sgd({ momentum, nesterov }: Extract<OptimizerSpec, { name: 'sgd' }>): Optimizer {
  if (momentum === 0) {
    return {
      slots: 0,
      initial: 0,
      apply({ weights, gradient, divisor, learningRate }, { from, to }) {
        for (let i = from; i < to; i++) weights[i] = num(weights, i) - learningRate * (num(gradient, i) / divisor);
      },
    };
  }
  return {
    slots: 1,
    initial: 0,
    apply({ weights, gradient, divisor, state, learningRate }, { from, to }) {
      for (let i = from; i < to; i++) {
        const step = learningRate * (num(gradient, i) / divisor);
        const velocity = Math.fround(momentum * num(state, i) - step);
        state[i] = velocity;
        weights[i] = num(weights, i) + (nesterov ? momentum * velocity - step : velocity);
      }
    },
  };
}

/** Tieleman and Hinton, "Lecture 6.5 - rmsprop", 2012; Keras adds epsilon inside the root. */
function rmsprop({ rho, momentum, epsilon, centered }: Extract<OptimizerSpec, { name: 'rmsprop' }>): Optimizer {
  const slotOfMomentum = centered ? 2 : 1;
  return {
    slots: 1 + (centered ? 1 : 0) + (momentum > 0 ? 1 : 0),
    initial: 0,
    apply({ weights, gradient, divisor, state, learningRate }, { from, to }) {
      const n = weights.length;
      for (let i = from; i < to; i++) {
        const g = num(gradient, i) / divisor;
        const square = Math.fround(rho * num(state, i) + (1 - rho) * g * g);
        state[i] = square;
        let variance = square;
        if (centered) {
          const mean = Math.fround(rho * num(state, n + i) + (1 - rho) * g);
          state[n + i] = mean;
          variance -= mean * mean;
        }
        let step = (learningRate * g) / Math.sqrt(variance + epsilon);
        if (momentum > 0) {
          const at = slotOfMomentum * n + i;
          step = Math.fround(momentum * num(state, at) + step);
          state[at] = step;
        }
        weights[i] = num(weights, i) - step;
      }
    },
  };
}

/**
 * Kingma and Ba, "Adam: a method for stochastic optimization", ICLR 2015 (with the bias correction in the step, as Keras
 * does); amsgrad: Reddi et al., ICLR 2018; decoupled weight decay: Loshchilov and Hutter, ICLR 2019.
 */
function adam(
  { beta1, beta2, epsilon, amsgrad }: Extract<OptimizerSpec, { name: 'adam' | 'adamw' }>,
  weightDecay: number,
): Optimizer {
  return {
    slots: amsgrad ? 3 : 2,
    initial: 0,
    apply({ weights, gradient, divisor, state, learningRate, step }, { from, to }) {
      const n = weights.length;
      const rate = (learningRate * Math.sqrt(1 - power(beta2, step))) / (1 - power(beta1, step));
      for (let i = from; i < to; i++) {
        const g = num(gradient, i) / divisor;
        let w = num(weights, i);
        w -= w * weightDecay * learningRate;
        const m = Math.fround(num(state, i) + (g - num(state, i)) * (1 - beta1));
        const v = Math.fround(num(state, n + i) + (g * g - num(state, n + i)) * (1 - beta2));
        state[i] = m;
        state[n + i] = v;
        let largest = v;
        if (amsgrad) {
          largest = Math.max(num(state, 2 * n + i), v);
          state[2 * n + i] = largest;
        }
        weights[i] = w - (m * rate) / (Math.sqrt(largest) + epsilon);
      }
    },
  };
}

/** Duchi et al., "Adaptive subgradient methods for online learning and stochastic optimization", JMLR 2011. */
function adagrad({ initialAccumulator, epsilon }: Extract<OptimizerSpec, { name: 'adagrad' }>): Optimizer {
  return {
    slots: 1,
    initial: initialAccumulator,
    apply({ weights, gradient, divisor, state, learningRate }, { from, to }) {
      for (let i = from; i < to; i++) {
        const g = num(gradient, i) / divisor;
        const sum = Math.fround(num(state, i) + g * g);
        state[i] = sum;
        weights[i] = num(weights, i) - (learningRate * g) / Math.sqrt(sum + epsilon);
      }
    },
  };
}

/** An element that is known to be there. */
const num = (vector: Float32Array, i: number): number => vector[i] as number;

/** base^exponent for a whole exponent, by squaring. */
function power(base: number, exponent: number): number {
  let result = 1;
  let square = base;
  for (let rest = exponent; rest > 0; rest = Math.floor(rest / 2)) {
    if (rest % 2 === 1) result *= square;
    square *= square;
  }
  return result;
}
