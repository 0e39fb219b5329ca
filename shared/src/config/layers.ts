import { z } from 'zod';

/**
 * Activations, by Keras' names. `gelu` is the exact one (erf), `swish` is x sigmoid(x); `leakyRelu` has the slope 0.3 below 0 of
 * Keras' layer LeakyReLU (its activation of that name has 0.2).
 */
export const Activation = z.enum(['linear', 'relu', 'elu', 'leakyRelu', 'gelu', 'swish', 'tanh', 'sigmoid', 'softmax']);
export type Activation = z.infer<typeof Activation>;

/** Penalties on a parameter, added to the loss: l1 x sum |w| + l2 x sum w^2. */
export const Regularizer = z
  .strictObject({ l1: z.number().min(0).default(0), l2: z.number().min(0).default(0) })
  .readonly();
export type Regularizer = z.infer<typeof Regularizer>;

const size = z.int().min(1).max(16_384);
/** One number for both, or [height, width]. */
const pair = z.union([size, z.tuple([size, size]).readonly()]);
const name = z
  .string()
  .regex(/^[A-Za-z][A-Za-z0-9_-]{0,63}$/, 'must be letters, digits, "-" and "_", 64 at most, beginning with a letter')
  .exactOptional();
const padding = z.enum(['valid', 'same']).default('valid');
const activation = Activation.default('linear');
const useBias = z.boolean().default(true);
const regularizer = Regularizer.exactOptional();

export const Conv2dSpec = z
  .strictObject({
    type: z.literal('conv2d'),
    name,
    filters: z.int().min(1).max(65_536),
    kernelSize: pair,
    strides: pair.default(1),
    padding,
    dilation: pair.default(1),
    activation,
    useBias,
    kernelRegularizer: regularizer,
    biasRegularizer: regularizer,
  })
  .readonly();

export const SeparableConv2dSpec = z
  .strictObject({
    type: z.literal('separableConv2d'),
    name,
    filters: z.int().min(1).max(65_536),
    kernelSize: pair,
    strides: pair.default(1),
    padding,
    dilation: pair.default(1),
    depthMultiplier: z.int().min(1).max(64).default(1),
    activation,
    useBias,
    depthwiseRegularizer: regularizer,
    pointwiseRegularizer: regularizer,
    biasRegularizer: regularizer,
  })
  .readonly();

const pooling = { name, poolSize: pair.default(2), strides: pair.exactOptional(), padding };
export const MaxPooling2dSpec = z.strictObject({ type: z.literal('maxPooling2d'), ...pooling }).readonly();
export const AveragePooling2dSpec = z.strictObject({ type: z.literal('averagePooling2d'), ...pooling }).readonly();
export const GlobalAveragePooling2dSpec = z
  .strictObject({ type: z.literal('globalAveragePooling2d'), name })
  .readonly();
export const FlattenSpec = z.strictObject({ type: z.literal('flatten'), name }).readonly();

export const DenseSpec = z
  .strictObject({
    type: z.literal('dense'),
    name,
    units: z.int().min(1).max(1_000_000),
    activation,
    useBias,
    kernelRegularizer: regularizer,
    biasRegularizer: regularizer,
  })
  .readonly();

/** Drops inputs in training with probability `rate` and scales the rest by 1 / (1 - rate). */
export const DropoutSpec = z
  .strictObject({ type: z.literal('dropout'), name, rate: z.number().min(0).lt(1) })
  .readonly();

/** Normalises each channel over the samples of a slice; in evaluation by the moving statistics. */
export const BatchNormalizationSpec = z
  .strictObject({
    type: z.literal('batchNormalization'),
    name,
    momentum: z.number().min(0).lt(1).default(0.99),
    epsilon: z.number().gt(0).max(1).default(0.001),
    center: z.boolean().default(true),
    scale: z.boolean().default(true),
  })
  .readonly();

export const ActivationSpec = z
  .strictObject({ type: z.literal('activation'), name, activation: Activation })
  .readonly();

/** One layer of a sequential net, with Keras' meaning and defaults. */
export const LayerSpec = z.discriminatedUnion('type', [
  Conv2dSpec,
  SeparableConv2dSpec,
  MaxPooling2dSpec,
  AveragePooling2dSpec,
  GlobalAveragePooling2dSpec,
  FlattenSpec,
  DenseSpec,
  DropoutSpec,
  BatchNormalizationSpec,
  ActivationSpec,
]);
export type LayerSpec = z.infer<typeof LayerSpec>;
