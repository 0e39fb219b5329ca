import type { DType, TensorValues } from '../tensorflow.ts';

/** An attribute of a TensorFlow operation. */
export type Attribute =
  | { readonly int: number }
  | { readonly ints: readonly number[] }
  | { readonly float: number }
  | { readonly bool: boolean }
  | { readonly string: string }
  | { readonly type: DType };

/** [height, width], or [before, after]. */
export type Pair = readonly [number, number];

/** How a window slides over an image. */
export interface Window {
  readonly strides: Pair;
  readonly padding: 'valid' | 'same';
}
export interface PoolWindow extends Window {
  readonly size: Pair;
}

const float: Attribute = { type: 'float32' };
const int: Attribute = { type: 'int32' };
const image = (pair: Pair): Attribute => ({ ints: [1, pair[0], pair[1], 1] });
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

  conv2d(x: T, filter: T, window: Window): T {
    return this.#one('Conv2D', [x, filter], convAttributes(window));
  }

  conv2dBackpropInput(inputShape: readonly number[], filter: T, dy: T, window: Window): T {
    return this.#one('Conv2DBackpropInput', [this.ints(inputShape), filter, dy], convAttributes(window));
  }

  conv2dBackpropFilter(x: T, filterShape: readonly number[], dy: T, window: Window): T {
    return this.#one('Conv2DBackpropFilter', [x, this.ints(filterShape), dy], convAttributes(window));
  }

  maxPool(x: T, window: PoolWindow): T {
    return this.#one('MaxPool', [x], poolAttributes(window));
  }

  maxPoolGrad(x: T, y: T, dy: T, window: PoolWindow): T {
    return this.#one('MaxPoolGrad', [x, y, dy], poolAttributes(window));
  }

  /** Besides the maxima, the place in the whole image that each is from. */
  maxPoolWithArgmax(x: T, window: PoolWindow): readonly [maxima: T, places: T] {
    const outputs = this.apply('MaxPoolWithArgmax', [x], argmaxAttributes(window), 2);
    const [maxima, places] = outputs;
    if (maxima === undefined || places === undefined) throw new Error('MaxPoolWithArgmax gave too little');
    return [maxima, places];
  }

  maxPoolGradWithArgmax(x: T, dy: T, places: T, window: PoolWindow): T {
    return this.#one('MaxPoolGradWithArgmax', [x, dy, places], argmaxAttributes(window));
  }

  avgPool(x: T, window: PoolWindow): T {
    return this.#one('AvgPool', [x], poolAttributes(window));
  }

  avgPoolGrad(inputShape: readonly number[], dy: T, window: PoolWindow): T {
    return this.#one('AvgPoolGrad', [this.ints(inputShape), dy], poolAttributes(window));
  }

  /** @param filter [height, width, channels, multiplier] */
  depthwiseConv2d(x: T, filter: T, window: Window): T {
    return this.#one('DepthwiseConv2dNative', [x, filter], depthwiseAttributes(window));
  }

  depthwiseConv2dBackpropInput(inputShape: readonly number[], filter: T, dy: T, window: Window): T {
    const inputs = [this.ints(inputShape), filter, dy];
    return this.#one('DepthwiseConv2dNativeBackpropInput', inputs, depthwiseAttributes(window));
  }

  depthwiseConv2dBackpropFilter(x: T, filterShape: readonly number[], dy: T, window: Window): T {
    const inputs = [x, this.ints(filterShape), dy];
    return this.#one('DepthwiseConv2dNativeBackpropFilter', inputs, depthwiseAttributes(window));
  }

  /** Pads an image, and deals its pixels out over `block` height x width smaller images, each a sample. */
  spaceToBatch(x: T, block: Pair, paddings: readonly [Pair, Pair]): T {
    return this.#one('SpaceToBatchND', [x, this.ints(block), this.#pairs(paddings)], blockAttributes('Tpaddings'));
  }

  /** The inverse: puts images together from pixels, and crops them. */
  batchToSpace(x: T, block: Pair, crops: readonly [Pair, Pair]): T {
    return this.#one('BatchToSpaceND', [x, this.ints(block), this.#pairs(crops)], blockAttributes('Tcrops'));
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

  elu(x: T): T {
    return this.#one('Elu', [x]);
  }

  eluGrad(dy: T, y: T): T {
    return this.#one('EluGrad', [dy, y]);
  }

  leakyRelu(x: T, slope: number): T {
    return this.#one('LeakyRelu', [x], { T: float, alpha: { float: slope } });
  }

  leakyReluGrad(dy: T, x: T, slope: number): T {
    return this.#one('LeakyReluGrad', [dy, x], { T: float, alpha: { float: slope } });
  }

  tanh(x: T): T {
    return this.#one('Tanh', [x]);
  }

  tanhGrad(dy: T, y: T): T {
    return this.#one('TanhGrad', [y, dy]);
  }

  sigmoid(x: T): T {
    return this.#one('Sigmoid', [x]);
  }

  sigmoidGrad(dy: T, y: T): T {
    return this.#one('SigmoidGrad', [y, dy]);
  }

  /**
   * Over the last dimension. Put together from simpler operations: TensorFlow's own has other bits in a graph, where
   * oneDNN takes it over, than by itself.
   */
  softmax(x: T): T {
    const exponentials = this.exp(this.sub(x, this.max(x, [-1], true)));
    return this.#one('RealDiv', [exponentials, this.sum(exponentials, [-1], true)]);
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

  /** x itself, across which TensorFlow joins no operations into one whose bits are others. */
  barrier(x: T): T {
    return this.#one('Snapshot', [x]);
  }

  add(a: T, b: T): T {
    return this.#one('AddV2', [a, b]);
  }

  mul(a: T, b: T): T {
    return this.#one('Mul', [a, b]);
  }

  sub(a: T, b: T): T {
    return this.#one('Sub', [a, b]);
  }

  abs(x: T): T {
    return this.#one('Abs', [x]);
  }

  neg(x: T): T {
    return this.#one('Neg', [x]);
  }

  square(x: T): T {
    return this.#one('Square', [x]);
  }

  exp(x: T): T {
    return this.#one('Exp', [x]);
  }

  log1p(x: T): T {
    return this.#one('Log1p', [x]);
  }

  erf(x: T): T {
    return this.#one('Erf', [x]);
  }

  /** Sum over some dimensions, which stay as 1 where `keep` is set. */
  sum(x: T, axes: readonly number[], keep = false): T {
    return this.#one('Sum', [x, this.ints(axes)], { T: float, Tidx: int, keep_dims: { bool: keep } });
  }

  max(x: T, axes: readonly number[], keep = false): T {
    return this.#one('Max', [x, this.ints(axes)], { T: float, Tidx: int, keep_dims: { bool: keep } });
  }

  mean(x: T, axes: readonly number[], keep = false): T {
    return this.#one('Mean', [x, this.ints(axes)], { T: float, Tidx: int, keep_dims: { bool: keep } });
  }

  /** Of labels [samples]: [samples, depth] with 1 at the label and 0 elsewhere. */
  oneHot(labels: T, depth: number): T {
    const inputs = [labels, this.constant(Int32Array.of(depth), []), this.scalar(1), this.scalar(0)];
    return this.#one('OneHot', inputs, { T: float, TI: int, axis: { int: -1 } });
  }

  intToFloat(x: T): T {
    return this.#one('Cast', [x], { SrcT: int, DstT: float, Truncate: { bool: false } });
  }

  /**
   * Each channel normalised over all else by its mean and variance.
   *
   * @param statistics mean and variance to use; those of the batch where not given
   * @returns y, the batch's mean and its variance with Bessel's correction, and three reserved tensors for the way back
   */
  batchNorm(x: T, scale: T, offset: T, epsilon: number, statistics?: readonly [mean: T, variance: T]): readonly T[] {
    const none = this.constant(new Float32Array(0), [0]);
    const inputs = [x, scale, offset, ...(statistics ?? [none, none])];
    const training = statistics === undefined;
    return this.apply(
      'FusedBatchNormV3',
      inputs,
      { ...normAttributes(epsilon, training), exponential_avg_factor: { float: 1 } },
      6,
    );
  }

  /** @returns derivatives by x, scale and offset */
  batchNormGrad(dy: T, x: T, scale: T, epsilon: number, reserved: readonly T[]): readonly T[] {
    return this.apply('FusedBatchNormGradV3', [dy, x, scale, ...reserved], normAttributes(epsilon, true), 5);
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

  #pairs(pairs: readonly Pair[]): T {
    return this.constant(Int32Array.from(pairs.flat()), [pairs.length, 2]);
  }
}

const convAttributes = (window: Window): Readonly<Record<string, Attribute>> => ({
  T: float,
  strides: image(window.strides),
  padding: paddingOf(window),
  dilations: image([1, 1]),
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

const argmaxAttributes = (window: PoolWindow): Readonly<Record<string, Attribute>> => ({
  T: float,
  Targmax: { type: 'int64' },
  ksize: image(window.size),
  strides: image(window.strides),
  padding: paddingOf(window),
  include_batch_in_index: { bool: false },
});

const depthwiseAttributes = (window: Window): Readonly<Record<string, Attribute>> => ({
  T: float,
  strides: image(window.strides),
  padding: paddingOf(window),
  explicit_paddings: { ints: [] },
  data_format: nhwc,
  dilations: image([1, 1]),
});

const blockAttributes = (ofPadding: 'Tpaddings' | 'Tcrops'): Readonly<Record<string, Attribute>> => ({
  T: float,
  Tblock_shape: int,
  [ofPadding]: int,
});

const normAttributes = (epsilon: number, training: boolean): Readonly<Record<string, Attribute>> => ({
  T: float,
  U: float,
  epsilon: { float: epsilon },
  data_format: nhwc,
  is_training: { bool: training },
});
