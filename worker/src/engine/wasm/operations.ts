import type * as Tfjs from '@tensorflow/tfjs-core';
import type { WindowShape } from './windows.ts';
import {
  averagePool,
  averagePoolGrad,
  depthwiseFilterGrad,
  depthwiseInputGrad,
  maxPool,
  maxPoolGrad,
  sumOfRows,
  windowShape,
} from './windows.ts';

type Tf = typeof Tfjs;
type Tensor = Tfjs.Tensor;
type Image = Tfjs.Tensor4D;
type Matrix = Tfjs.Tensor2D;

/** An operation's attributes, by TensorFlow's names. */
export interface Attributes {
  readonly ints: (name: string) => readonly number[];
  readonly number: (name: string) => number;
  readonly flag: (name: string) => boolean;
  readonly text: (name: string) => string;
}

type Operation = (inputs: readonly Tensor[], attributes: Attributes) => readonly Tensor[];

/**
 * TensorFlow's operations on TensorFlow.js' kernels: those that nets need, by the names and with the order of inputs of
 * TensorFlow's registry. Where a kernel is missing there, or means something else, it is put together from others or
 * computed in plain loops.
 */
export function operations(tf: Tf): Readonly<Record<string, Operation>> {
  const unary = (compute: (x: Tensor) => Tensor): Operation => {
    return ([x]) => [compute(given(x))];
  };
  const binary = (compute: (a: Tensor, b: Tensor) => Tensor): Operation => {
    return ([a, b]) => [compute(given(a), given(b))];
  };
  const reduction = (compute: (x: Tensor, axes: number[], keep: boolean) => Tensor): Operation => {
    return ([x, axes], { flag }) => [compute(given(x), ints(axes), flag('keep_dims'))];
  };
  const image = (values: Float32Array, shape: readonly number[]): Tensor => tf.tensor(values, [...shape], 'float32');

  /** The kernel writes whole numbers, whatever it is asked for. */
  const oneHot = (labels: Tensor, depth: number): Tensor => tf.cast(tf.oneHot(labels, depth), 'float32');

  /** Dot products of each pixel that a tap of the window meets with what came of it, tap by tap. */
  const filterGrad: Operation = ([x, filterShape, dy], attributes) => {
    const [height = 1, width = 1, channels = 1, filters = 1] = ints(filterShape);
    const shape = windowShape(given(x).shape, [height, width], strides(attributes), attributes.text('padding'));
    const { before, after, outHeight, outWidth, samples } = shape;
    const padded = tf.pad4d(given(x) as Image, [
      [0, 0],
      [before[0], after[0]],
      [before[1], after[1]],
      [0, 0],
    ]);
    const rows = samples * outHeight * outWidth;
    const derivatives = tf.reshape(given(dy), [rows, filters]) as Matrix;
    const taps: Matrix[] = [];
    for (let ky = 0; ky < height; ky++) {
      for (let kx = 0; kx < width; kx++) {
        const met = tf.stridedSlice(
          padded,
          [0, ky, kx, 0],
          [samples, ky + (outHeight - 1) * shape.strides[0] + 1, kx + (outWidth - 1) * shape.strides[1] + 1, channels],
          [1, shape.strides[0], shape.strides[1], 1],
        );
        taps.push(tf.matMul(tf.reshape(met, [rows, channels]), derivatives, true) as Matrix);
      }
    }
    return [tf.reshape(tf.concat(taps, 0), [height, width, channels, filters])];
  };

  const crossEntropy: Operation = ([logits, labels]) => {
    const [x, classes] = [given(logits) as Matrix, given(labels) as Tfjs.Tensor1D];
    const shifted = tf.sub(x, tf.max(x, [-1], true));
    const exponentials = tf.exp(shifted);
    const sums = tf.sum(exponentials, [-1], true);
    const right = oneHot(classes, x.shape[1]);
    const loss = tf.sub(tf.reshape(tf.log(sums), [x.shape[0]]), tf.sum(tf.mul(shifted, right), [-1]));
    return [loss, tf.sub(tf.div(exponentials, sums), right)];
  };

  const batchNorm: Operation = ([x, scale, offset, mean, variance], { flag, number }) => {
    const [input, training] = [given(x), flag('is_training')];
    const axes = [0, 1, 2];
    const m = training ? tf.mean(input, axes) : given(mean);
    const v = training ? tf.mean(tf.square(tf.sub(input, m)), axes) : given(variance);
    const deviation = tf.sqrt(tf.add(v, number('epsilon')));
    const y = tf.add(tf.mul(tf.div(tf.sub(input, m), deviation), given(scale)), given(offset));
    const n = input.size / (input.shape.at(-1) ?? 1);
    const drawn = tf.mul(v, n > 1 ? n / (n - 1) : 1);
    return [y, tf.clone(m), drawn, tf.clone(m), tf.clone(v), tf.scalar(0)];
  };

  /** Ioffe and Szegedy, "Batch normalization" (ICML 2015), section 3. */
  const batchNormGrad: Operation = ([dy, x, scale, mean, variance], { number }) => {
    const [derivative, input] = [given(dy), given(x)];
    const axes = [0, 1, 2];
    const inverse = tf.div(1, tf.sqrt(tf.add(given(variance), number('epsilon'))));
    const normal = tf.mul(tf.sub(input, given(mean)), inverse);
    const byOffset = tf.sum(derivative, axes);
    const byScale = tf.sum(tf.mul(derivative, normal), axes);
    const n = input.size / (input.shape.at(-1) ?? 1);
    const inner = tf.sub(tf.sub(derivative, tf.div(byOffset, n)), tf.mul(normal, tf.div(byScale, n)));
    const dx = tf.mul(tf.mul(inverse, given(scale)), inner);
    return [dx, byScale, byOffset, tf.scalar(0), tf.scalar(0)];
  };

  return {
    Snapshot: unary((x) => tf.clone(x)),
    Relu: unary((x) => tf.relu(x)),
    ReluGrad: binary((dy, y) => tf.mul(dy, tf.step(y))),
    Elu: unary((x) => tf.elu(x)),
    EluGrad: binary((dy, y) => tf.mul(dy, tf.where(tf.greater(y, 0), tf.onesLike(y), tf.add(y, 1)))),
    LeakyRelu: ([x], { number }) => [tf.leakyRelu(given(x), number('alpha'))],
    LeakyReluGrad: ([dy, x], { number }) => [
      tf.where(tf.greater(given(x), 0), given(dy), tf.mul(given(dy), number('alpha'))),
    ],
    Tanh: unary((x) => tf.tanh(x)),
    TanhGrad: binary((y, dy) => tf.mul(dy, tf.sub(1, tf.square(y)))),
    Sigmoid: unary((x) => tf.sigmoid(x)),
    SigmoidGrad: binary((y, dy) => tf.mul(dy, tf.mul(y, tf.sub(1, y)))),
    Abs: unary((x) => tf.abs(x)),
    Neg: unary((x) => tf.neg(x)),
    Square: unary((x) => tf.square(x)),
    Exp: unary((x) => tf.exp(x)),
    Log1p: unary((x) => tf.log1p(x)),
    Erf: unary((x) => tf.erf(x)),
    AddV2: binary((a, b) => tf.add(a, b)),
    Sub: binary((a, b) => tf.sub(a, b)),
    Mul: binary((a, b) => tf.mul(a, b)),
    RealDiv: binary((a, b) => tf.div(a, b)),
    Sum: reduction((x, axes, keep) => tf.sum(x, axes, keep)),
    Max: reduction((x, axes, keep) => tf.max(x, axes, keep)),
    Mean: reduction((x, axes, keep) => tf.mean(x, axes, keep)),
    Cast: unary((x) => tf.cast(x, 'float32')),
    OneHot: ([labels, depth]) => [oneHot(given(labels), ints(depth)[0] ?? 1)],
    Reshape: ([x, shape]) => [tf.reshape(given(x), ints(shape))],
    Slice: ([x, begin, size]) => [tf.slice(given(x), ints(begin), ints(size))],
    ConcatV2: (inputs) => [tf.concat(inputs.slice(0, -1), ints(inputs.at(-1))[0] ?? 0)],
    MatMul: ([a, b], { flag }) => [
      tf.matMul(given(a) as Matrix, given(b) as Matrix, flag('transpose_a'), flag('transpose_b')),
    ],
    BiasAdd: binary((x, bias) => tf.add(x, bias)),
    BiasAddGrad: ([dy]) => {
      const columns = given(dy).shape.at(-1) ?? 1;
      return [tf.tensor1d(sumOfRows(floats(dy), columns))];
    },
    SpaceToBatchND: ([x, block, paddings]) => [
      tf.spaceToBatchND(given(x) as Image, ints(block), pairs(ints(paddings))),
    ],
    BatchToSpaceND: ([x, block, crops]) => [tf.batchToSpaceND(given(x) as Image, ints(block), pairs(ints(crops)))],
    Conv2D: ([x, filter], attributes) => [
      tf.conv2d(given(x) as Image, given(filter) as Image, [...strides(attributes)], tfjsPadding(attributes)),
    ],
    Conv2DBackpropInput: ([shape, filter, dy], attributes) => [
      tf.engine().runKernel(
        'Conv2DBackpropInput',
        { dy: given(dy), filter: given(filter) },
        {
          strides: [...strides(attributes)],
          pad: tfjsPadding(attributes),
          dataFormat: 'NHWC',
          inputShape: ints(shape),
        },
      ) as Tensor,
    ],
    Conv2DBackpropFilter: filterGrad,
    DepthwiseConv2dNative: ([x, filter], attributes) => [
      tf.depthwiseConv2d(given(x) as Image, given(filter) as Image, [...strides(attributes)], tfjsPadding(attributes)),
    ],
    DepthwiseConv2dNativeBackpropInput: ([shape, filter, dy], attributes) => {
      const [height = 1, width = 1, , multiplier = 1] = given(filter).shape;
      const geometry = windowShape(ints(shape), [height, width], strides(attributes), attributes.text('padding'));
      return [image(depthwiseInputGrad(floats(filter), floats(dy), multiplier, geometry), ints(shape))];
    },
    DepthwiseConv2dNativeBackpropFilter: ([x, filterShape, dy], attributes) => {
      const [height = 1, width = 1, , multiplier = 1] = ints(filterShape);
      const geometry = windowShape(given(x).shape, [height, width], strides(attributes), attributes.text('padding'));
      return [image(depthwiseFilterGrad(floats(x), floats(dy), multiplier, geometry), ints(filterShape))];
    },
    MaxPool: ([x], attributes) => [image(...pooled(x, attributes, (values, shape) => maxPool(values, shape).maxima))],
    MaxPoolWithArgmax: ([x], attributes) => {
      const shape = poolShape(given(x).shape, attributes);
      const { maxima, places } = maxPool(floats(x), shape);
      return [image(maxima, outShape(shape)), tf.tensor(places, [...outShape(shape)], 'int32')];
    },
    MaxPoolGrad: ([x, , dy], attributes) => {
      const shape = poolShape(given(x).shape, attributes);
      return [image(maxPoolGrad(floats(dy), maxPool(floats(x), shape).places, shape), given(x).shape)];
    },
    MaxPoolGradWithArgmax: ([x, dy, places], attributes) => {
      const shape = poolShape(given(x).shape, attributes);
      return [image(maxPoolGrad(floats(dy), given(places).dataSync() as Int32Array, shape), given(x).shape)];
    },
    AvgPool: ([x], attributes) => [image(...pooled(x, attributes, averagePool))],
    AvgPoolGrad: ([shape, dy], attributes) => {
      const geometry = poolShape(ints(shape), attributes);
      return [image(averagePoolGrad(floats(dy), geometry), ints(shape))];
    },
    SparseSoftmaxCrossEntropyWithLogits: crossEntropy,
    FusedBatchNormV3: batchNorm,
    FusedBatchNormGradV3: batchNormGrad,
  };
}

function pooled(
  x: Tensor | undefined,
  attributes: Attributes,
  compute: (values: Float32Array, shape: WindowShape) => Float32Array,
): [values: Float32Array, shape: readonly number[]] {
  const shape = poolShape(given(x).shape, attributes);
  return [compute(floats(x), shape), outShape(shape)];
}

const poolShape = (shape: readonly number[], attributes: Attributes): WindowShape => {
  const [, height = 1, width = 1] = attributes.ints('ksize');
  return windowShape(shape, [height, width], strides(attributes), attributes.text('padding'));
};

const outShape = ({ samples, outHeight, outWidth, channels }: WindowShape): readonly number[] => [
  samples,
  outHeight,
  outWidth,
  channels,
];

function strides({ ints: of }: Attributes): readonly [number, number] {
  const [, height = 1, width = 1] = of('strides');
  return [height, width];
}

const tfjsPadding = ({ text }: Attributes): 'same' | 'valid' => (text('padding') === 'SAME' ? 'same' : 'valid');

function given(tensor: Tensor | undefined): Tensor {
  if (tensor === undefined) throw new RangeError('an operation lacks an input');
  return tensor;
}

const floats = (tensor: Tensor | undefined): Float32Array => given(tensor).dataSync() as Float32Array;
const ints = (tensor: Tensor | undefined): number[] => [...given(tensor).dataSync()];

function pairs(numbers: readonly number[]): [number, number][] {
  return Array.from({ length: numbers.length / 2 }, (_, i) => [numbers[2 * i] ?? 0, numbers[2 * i + 1] ?? 0]);
}
