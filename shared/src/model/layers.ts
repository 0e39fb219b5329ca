import type { LayerSpec, Regularizer } from '../config/layers.ts';

/** How a parameter begins: Keras' GlorotUniform (limit sqrt(6 / (fanIn + fanOut))), zeros or ones. */
export type Initializer =
  | { readonly kind: 'glorotUniform'; readonly fanIn: number; readonly fanOut: number }
  | { readonly kind: 'zeros' }
  | { readonly kind: 'ones' };

/** What a layer makes of an input: the shape that comes out, and the parameters that it takes. */
export interface LayerDescription {
  readonly outputShape: readonly number[];
  readonly parameters: readonly {
    readonly name: string;
    readonly shape: readonly number[];
    readonly trainable: boolean;
    readonly initializer: Initializer;
    readonly regularizer: Regularizer | undefined;
  }[];
}

type Pair = number | readonly [number, number];
export const both = (pair: Pair): readonly [number, number] => (typeof pair === 'number' ? [pair, pair] : pair);

const zeros: Initializer = { kind: 'zeros' };
const ones: Initializer = { kind: 'ones' };

/** Shapes and parameters of one layer, or in words why it cannot take that input. */
export function describeLayer(spec: LayerSpec, input: readonly number[]): LayerDescription | string {
  switch (spec.type) {
    case 'conv2d': {
      const out = slide(input, spec.kernelSize, spec.strides, spec.padding, spec.dilation);
      if (typeof out === 'string') return out;
      const [kh, kw] = both(spec.kernelSize);
      const channels = input[2] ?? 1;
      const fans = { fanIn: kh * kw * channels, fanOut: kh * kw * spec.filters };
      const kernel = trainable('kernel', [kh, kw, channels, spec.filters], glorot(fans), spec.kernelRegularizer);
      return described([...out, spec.filters], kernel, ...bias(spec, spec.filters));
    }
    case 'separableConv2d': {
      const [down, across] = both(spec.strides);
      if (down !== across) return `strides must be the same for height and width, and are ${down} x ${across}`;
      const out = slide(input, spec.kernelSize, spec.strides, spec.padding, spec.dilation);
      if (typeof out === 'string') return out;
      const [kh, kw] = both(spec.kernelSize);
      const channels = input[2] ?? 1;
      const middle = channels * spec.depthMultiplier;
      // Keras takes the last two dimensions of the depthwise kernel for its inputs and outputs.
      const deep = glorot({ fanIn: kh * kw * channels, fanOut: kh * kw * spec.depthMultiplier });
      const point = glorot({ fanIn: middle, fanOut: spec.filters });
      return described(
        [...out, spec.filters],
        trainable('depthwise_kernel', [kh, kw, channels, spec.depthMultiplier], deep, spec.depthwiseRegularizer),
        trainable('pointwise_kernel', [1, 1, middle, spec.filters], point, spec.pointwiseRegularizer),
        ...bias(spec, spec.filters),
      );
    }
    case 'maxPooling2d':
    case 'averagePooling2d': {
      const out = slide(input, spec.poolSize, spec.strides ?? spec.poolSize, spec.padding, 1);
      return typeof out === 'string' ? out : described([...out, input[2] ?? 1]);
    }
    case 'globalAveragePooling2d':
      return input.length === 3 ? described([input[2] ?? 1]) : needsImages(input);
    case 'flatten':
      return described([input.reduce((product, n) => product * n, 1)]);
    case 'dense': {
      const [units, ...more] = input;
      if (units === undefined || more.length > 0)
        return `needs a flat input, and gets ${input.join(' x ')}; put a flatten or globalAveragePooling2d layer before it`;
      const kernel = glorot({ fanIn: units, fanOut: spec.units });
      return described(
        [spec.units],
        trainable('kernel', [units, spec.units], kernel, spec.kernelRegularizer),
        ...bias(spec, spec.units),
      );
    }
    case 'batchNormalization': {
      const channels = [input.at(-1) ?? 1];
      return described(
        input,
        ...(spec.scale ? [trainable('gamma', channels, ones, undefined)] : []),
        ...(spec.center ? [trainable('beta', channels, zeros, undefined)] : []),
        { ...trainable('moving_mean', channels, zeros, undefined), trainable: false },
        { ...trainable('moving_variance', channels, ones, undefined), trainable: false },
      );
    }
    case 'dropout':
    case 'activation':
      return described(input);
  }
}

type ParameterDescription = LayerDescription['parameters'][number];

const described = (outputShape: readonly number[], ...parameters: ParameterDescription[]): LayerDescription => ({
  outputShape,
  parameters,
});

const glorot = (fans: { readonly fanIn: number; readonly fanOut: number }): Initializer => ({
  kind: 'glorotUniform',
  ...fans,
});

const trainable = (
  name: string,
  shape: readonly number[],
  initializer: Initializer,
  regularizer: Regularizer | undefined,
): ParameterDescription => ({ name, shape, trainable: true, initializer, regularizer });

const bias = (
  spec: { readonly useBias: boolean; readonly biasRegularizer?: Regularizer },
  units: number,
): ParameterDescription[] => (spec.useBias ? [trainable('bias', [units], zeros, spec.biasRegularizer)] : []);

const needsImages = (input: readonly number[]): string =>
  `needs an input of height x width x channels, and gets ${input.join(' x ')}`;

/** Height and width of what a window that slides over an image gives (TensorFlow's VALID and SAME). */
function slide(
  input: readonly number[],
  window: Pair,
  strides: Pair,
  padding: 'valid' | 'same',
  dilation: Pair,
): [number, number] | string {
  const [height, width, channels] = input;
  if (height === undefined || width === undefined || channels === undefined) return needsImages(input);
  const [sizes, steps, gaps] = [both(window), both(strides), both(dilation)];
  if (Math.max(...gaps) > 1 && Math.max(...steps) > 1) return 'dilation and strides cannot both be above 1';
  const out: number[] = [];
  for (const [axis, length] of [height, width].entries()) {
    const reach = ((sizes[axis] ?? 1) - 1) * (gaps[axis] ?? 1) + 1;
    const step = steps[axis] ?? 1;
    if (padding === 'valid' && length < reach)
      return `its window of ${both(window).join(' x ')}${Math.max(...gaps) > 1 ? ` with dilation ${gaps.join(' x ')}` : ''} does not fit into an input of ${input.join(' x ')}; larger images, fewer poolings, or padding: same`;
    out.push(padding === 'same' ? Math.ceil(length / step) : Math.floor((length - reach) / step) + 1);
  }
  return [out[0] ?? 0, out[1] ?? 0];
}
