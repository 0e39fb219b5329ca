import type { Activation, LayerSpec, Regularizer } from '@crossfold/shared/config/layers';
import { LayerSpec as LayerSchema } from '@crossfold/shared/config/layers';
import { ConfigError } from '@crossfold/shared/errors';
import { z } from 'zod';
import { kerasActivations, leakySlope } from './config.ts';

/** A net read from Keras' own description of it. */
export interface KerasNet {
  /** [height, width, channels]. */
  readonly inputShape: readonly number[];
  readonly layers: readonly LayerSpec[];
  /** For each layer, the names of Keras' layers that it is made of. */
  readonly names: readonly string[];
}

const Config = z.record(z.string(), z.unknown());
type Config = z.infer<typeof Config>;
const KerasObject = z.object({ class_name: z.string(), config: Config });
const ModelConfig = z.object({
  class_name: z.string(),
  config: z.union([z.object({ layers: z.array(KerasObject).max(2000) }), z.array(KerasObject).max(2000)]),
});

/**
 * Reads `model_config` of Keras 2 or 3: a sequential net, or a functional one whose layers follow one another.
 *
 * @param what names the file in messages
 * @throws ConfigError naming the first layer, or setting of one, that cannot be had here
 */
export function readModelConfig(json: string, what: string): KerasNet {
  let value: unknown;
  try {
    value = JSON.parse(json);
  } catch {
    throw new ConfigError(`${what} has a model_config that is not JSON`);
  }
  const parsed = ModelConfig.safeParse(value);
  if (!parsed.success) throw new ConfigError(`${what} has a model_config that is not Keras'`);
  const { class_name, config } = parsed.data;
  if (!['Sequential', 'Functional', 'Model'].includes(class_name))
    throw new ConfigError(`${what} holds a ${class_name}; only nets whose layers follow one another can be read`);
  const objects = Array.isArray(config) ? config : config.layers;
  if (class_name !== 'Sequential') checkChain(objects, value, what);
  return readLayers(objects, what);
}

/** Makes sure that every layer of a functional net takes the output of the one before it, and nothing else. */
function checkChain(objects: readonly { readonly config: Config }[], model: unknown, what: string): void {
  const nodes = z
    .object({ config: z.object({ layers: z.array(z.object({ inbound_nodes: z.unknown().optional() })) }) })
    .parse(model).config.layers;
  objects.forEach(({ config }, i) => {
    if (i === 0) return;
    const sources = JSON.stringify(nodes[i]?.inbound_nodes ?? []);
    const others = objects.filter((other, j) => j !== i - 1 && sources.includes(JSON.stringify(other.config.name)));
    if (!sources.includes(JSON.stringify(objects[i - 1]?.config.name)) || others.length > 0)
      throw new ConfigError(
        `${what} branches at layer ${String(config.name)}; only nets whose layers follow one another can be read`,
      );
  });
}

function readLayers(objects: readonly z.infer<typeof KerasObject>[], what: string): KerasNet {
  let inputShape: readonly number[] | undefined;
  const layers: LayerSpec[] = [];
  const names: string[] = [];
  for (const { class_name, config } of objects) {
    const name = String(config.name ?? class_name);
    const wrong = (why: string): ConfigError => new ConfigError(`${what}: layer ${name} (${class_name}) ${why}`);
    inputShape ??= readShape(config);
    if (class_name === 'InputLayer' || class_name === 'Rescaling') {
      if (class_name === 'Rescaling') checkRescaling(config, wrong);
      continue;
    }
    if ((config.data_format ?? 'channels_last') !== 'channels_last') throw wrong('has its channels first');
    const previous = layers.at(-1);
    const activation =
      class_name === 'LeakyReLU' || class_name === 'ReLU' ? readActivationLayer(class_name, config, wrong) : undefined;
    if (
      activation !== undefined &&
      previous !== undefined &&
      'activation' in previous &&
      previous.activation === 'linear'
    ) {
      layers[layers.length - 1] = { ...previous, activation };
      continue;
    }
    const spec = activation === undefined ? readLayer(class_name, config, wrong) : { type: 'activation', activation };
    const parsed = LayerSchema.safeParse({ ...spec, name: name.replaceAll(/[^A-Za-z0-9_-]/g, '_') });
    if (!parsed.success) {
      const [issue] = parsed.error.issues;
      throw wrong(`has a setting that cannot be had here: ${issue?.path.join('.') ?? ''} ${issue?.message ?? ''}`);
    }
    layers.push(parsed.data);
    names.push(name);
  }
  if (inputShape?.length !== 3) throw new ConfigError(`${what} does not take pictures of height x width x channels`);
  return { inputShape, layers, names };
}

type Wrong = (why: string) => ConfigError;

function readShape(config: Config): readonly number[] | undefined {
  const shape = config.batch_input_shape ?? config.batch_shape;
  const parsed = z.tuple([z.null(), z.int().min(1), z.int().min(1), z.int().min(1)]).safeParse(shape);
  return parsed.success ? [parsed.data[1], parsed.data[2], parsed.data[3]] : undefined;
}

/** Pixels are read as numbers from 0 to 1 here; a net that does so itself fits, any other scale does not. */
function checkRescaling({ scale, offset }: Config, wrong: Wrong): void {
  if (typeof scale === 'number' && Math.abs(scale - 1 / 255) < 1e-6 && (offset === 0 || offset === undefined)) return;
  throw wrong('rescales pixels by another factor than 1/255');
}

function readActivationLayer(name: string, config: Config, wrong: Wrong): Activation {
  const slope = Number(config.negative_slope ?? config.alpha ?? (name === 'ReLU' ? 0 : leakySlope));
  if (config.max_value != null || Number(config.threshold ?? 0) !== 0) throw wrong('has a maximum or a threshold');
  if (slope === 0) return 'relu';
  if (Math.abs(slope - leakySlope) > 1e-6) throw wrong(`has a slope of ${slope}; only ${leakySlope} can be had here`);
  return 'leakyRelu';
}

function readLayer(name: string, config: Config, wrong: Wrong): Record<string, unknown> {
  const activation = (): Activation => readActivation(config.activation, wrong);
  const penalty = (key: string): Regularizer | undefined => readRegularizer(config[key], wrong);
  const convolution = (): Record<string, unknown> => {
    if (Number(config.groups ?? 1) !== 1) throw wrong('has groups');
    return {
      filters: config.filters,
      kernelSize: config.kernel_size,
      strides: config.strides,
      padding: config.padding,
      dilation: config.dilation_rate,
      activation: activation(),
      useBias: config.use_bias,
    };
  };
  const pooling = { poolSize: config.pool_size, strides: config.strides, padding: config.padding };
  switch (name) {
    case 'Conv2D':
    case 'Convolution2D':
      return {
        type: 'conv2d',
        ...convolution(),
        ...given('kernelRegularizer', penalty('kernel_regularizer')),
        ...given('biasRegularizer', penalty('bias_regularizer')),
      };
    case 'SeparableConv2D':
      return {
        type: 'separableConv2d',
        ...convolution(),
        depthMultiplier: config.depth_multiplier,
        ...given('depthwiseRegularizer', penalty('depthwise_regularizer')),
        ...given('pointwiseRegularizer', penalty('pointwise_regularizer')),
        ...given('biasRegularizer', penalty('bias_regularizer')),
      };
    case 'MaxPooling2D':
      return { type: 'maxPooling2d', ...pooling };
    case 'AveragePooling2D':
      return { type: 'averagePooling2d', ...pooling };
    case 'GlobalAveragePooling2D':
      if (config.keepdims === true) throw wrong('keeps its dimensions');
      return { type: 'globalAveragePooling2d' };
    case 'Flatten':
      return { type: 'flatten' };
    case 'Dense':
      return {
        type: 'dense',
        units: config.units,
        activation: activation(),
        useBias: config.use_bias,
        ...given('kernelRegularizer', penalty('kernel_regularizer')),
        ...given('biasRegularizer', penalty('bias_regularizer')),
      };
    case 'Dropout':
      return { type: 'dropout', rate: config.rate };
    case 'BatchNormalization': {
      const axis = Array.isArray(config.axis) ? config.axis[0] : config.axis;
      if (![-1, 3, 1].includes(Number(axis ?? -1))) throw wrong('normalises over another axis than the channels');
      return {
        type: 'batchNormalization',
        momentum: config.momentum,
        epsilon: config.epsilon,
        center: config.center,
        scale: config.scale,
      };
    }
    case 'Activation':
      return { type: 'activation', activation: activation() };
    default:
      throw wrong('is of a kind that cannot be had here');
  }
}

const given = (key: string, value: unknown): Record<string, unknown> => (value === undefined ? {} : { [key]: value });

function readActivation(value: unknown, wrong: Wrong): Activation {
  const parsed = z.object({ config: z.string() }).safeParse(value);
  const name = parsed.success ? parsed.data.config : (value ?? 'linear');
  if (name === 'silu') return 'swish';
  const known = Object.entries(kerasActivations).find(([, keras]) => keras === name);
  if (known === undefined) throw wrong(`has the activation ${JSON.stringify(name)}, which cannot be had here`);
  return known[0] as Activation;
}

function readRegularizer(value: unknown, wrong: Wrong): Regularizer | undefined {
  if (value === null || value === undefined) return undefined;
  const parsed = KerasObject.safeParse(value);
  if (!parsed.success || !['L1', 'L2', 'L1L2'].includes(parsed.data.class_name))
    throw wrong('has a regulariser other than L1 and L2');
  const { l1, l2 } = parsed.data.config;
  return { l1: Number(l1 ?? 0), l2: Number(l2 ?? 0) };
}
