import type { DType, TensorValues } from '../tensorflow.ts';

/** An attribute of a TensorFlow operation. */
export type Attribute =
  | { readonly int: number }
  | { readonly ints: readonly number[] }
  | { readonly float: number }
  | { readonly bool: boolean }
  | { readonly string: string }
  | { readonly type: DType };

/** How a window slides over an image: [height, width] each. */
export interface Window {
  readonly strides: readonly [number, number];
  readonly padding: 'valid' | 'same';
}
export interface ConvWindow extends Window {
  readonly dilations: readonly [number, number];
}
export interface PoolWindow extends Window {
  readonly size: readonly [number, number];
}

const float: Attribute = { type: 'float32' };
const int: Attribute = { type: 'int32' };
const image = (pair: readonly [number, number]): Attribute => ({ ints: [1, pair[0], pair[1], 1] });
const paddingOf = (window: Window): Attribute => ({ string: window.padding.toUpperCase() });
const nhwc: Attribute = { string: 'NHWC' };

/**
 * TensorFlow's operations, as far as nets need them. What a layer computes is written once over this and runs in two
 * ways: `EagerOps` executes each operation at once, `GraphOps` writes it down as a node of a graph. Images are
 * [samples, height, width, channels]; numbers are float32.
 */
export abstract class Ops<T> {
  /** One operation of TensorFlow's registry, with its inputs and attributes in the registry's order and names. */
  abstract apply(
    op: string,
    inputs: readonly T[],
    attributes: Readonly<Record<string, Attribute>>,
    outputs: number,
  ): readonly T[];

  /** A tensor whose values never change. */
  abstract constant(values: TensorValues, shape: readonly number[]): T;

  #one(op: string, inputs: readonly T[], attributes: Readonly<Record<string, Attribute>> = { T: float }): T {
    const [output] = this.apply(op, inputs, attributes, 1);
    if (output === undefined) throw new Error(`${op} gave no output`);
    return output;
  }

  scalar(value: number): T {
    return this.constant(Float32Array.of(value), []);
  }

  ints(values: readonly number[]): T {
    return this.constant(Int32Array.from(values), [values.length]);
  }

  conv2d(x: T, filter: T, window: ConvWindow): T {
    return this.#one('Conv2D', [x, filter], convAttributes(window));
  }

  conv2dBackpropInput(inputShape: readonly number[], filter: T, dy: T, window: ConvWindow): T {
    return this.#one('Conv2DBackpropInput', [this.ints(inputShape), filter, dy], convAttributes(window));
  }

  conv2dBackpropFilter(x: T, filterShape: readonly number[], dy: T, window: ConvWindow): T {
    return this.#one('Conv2DBackpropFilter', [x, this.ints(filterShape), dy], convAttributes(window));
  }

  maxPool(x: T, window: PoolWindow): T {
    return this.#one('MaxPool', [x], poolAttributes(window));
  }

  maxPoolGrad(x: T, y: T, dy: T, window: PoolWindow): T {
    return this.#one('MaxPoolGrad', [x, y, dy], poolAttributes(window));
  }

  matMul(a: T, b: T, { transposeA = false, transposeB = false } = {}): T {
    return this.#one('MatMul', [a, b], {
      T: float,
      transpose_a: { bool: transposeA },
      transpose_b: { bool: transposeB },
    });
  }

  biasAdd(x: T, bias: T): T {
    return this.#one('BiasAdd', [x, bias], { T: float, data_format: nhwc });
  }

  /** Sum over all but the last dimension. */
  biasAddGrad(dy: T): T {
    return this.#one('BiasAddGrad', [dy], { T: float, data_format: nhwc });
  }

  relu(x: T): T {
    return this.#one('Relu', [x]);
  }

  /** @param y input or output of the relu */
  reluGrad(dy: T, y: T): T {
    return this.#one('ReluGrad', [dy, y]);
  }

  softmax(x: T): T {
    return this.#one('Softmax', [x]);
  }

  /** Of logits [samples, classes] and labels [samples]: loss of each sample, and its derivative by the logits. */
  sparseSoftmaxCrossEntropy(logits: T, labels: T): readonly [loss: T, derivative: T] {
    const [loss, derivative] = this.apply(
      'SparseSoftmaxCrossEntropyWithLogits',
      [logits, labels],
      { T: float, Tlabels: int },
      2,
    );
    if (loss === undefined || derivative === undefined) throw new Error('the loss has two outputs');
    return [loss, derivative];
  }

  add(a: T, b: T): T {
    return this.#one('AddV2', [a, b]);
  }

  mul(a: T, b: T): T {
    return this.#one('Mul', [a, b]);
  }

  reshape(x: T, shape: readonly number[]): T {
    return this.#one('Reshape', [x, this.ints(shape)], { T: float, Tshape: int });
  }

  slice(x: T, begin: readonly number[], size: readonly number[]): T {
    return this.#one('Slice', [x, this.ints(begin), this.ints(size)], { T: float, Index: int });
  }

  concat(parts: readonly T[], axis: number): T {
    const attributes = { N: { int: parts.length }, T: float, Tidx: int };
    return this.#one('ConcatV2', [...parts, this.constant(Int32Array.of(axis), [])], attributes);
  }
}

const convAttributes = (window: ConvWindow): Readonly<Record<string, Attribute>> => ({
  T: float,
  strides: image(window.strides),
  padding: paddingOf(window),
  dilations: image(window.dilations),
  use_cudnn_on_gpu: { bool: true },
  explicit_paddings: { ints: [] },
  data_format: nhwc,
});

const poolAttributes = (window: PoolWindow): Readonly<Record<string, Attribute>> => ({
  T: float,
  ksize: image(window.size),
  strides: image(window.strides),
  padding: paddingOf(window),
  data_format: nhwc,
});
