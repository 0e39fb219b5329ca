import type { Activation, LayerSpec, Regularizer } from '@crossfold/shared/config/layers';
import type { Loss, OptimizerSpec, TrainingSpec } from '@crossfold/shared/config/training';
import type { LayerPlan, ModelPlan } from '@crossfold/shared/model/plan';

/** Names of activations in Keras, 2 and 3. A leaky ReLU of slope 0.3 is a layer there. */
export const kerasActivations: Readonly<Record<Exclude<Activation, 'leakyRelu'>, string>> = {
  linear: 'linear',
  relu: 'relu',
  elu: 'elu',
  gelu: 'gelu',
  swish: 'swish',
  tanh: 'tanh',
  sigmoid: 'sigmoid',
  softmax: 'softmax',
};

export const kerasLosses: Readonly<Record<Loss, string>> = {
  categoricalCrossentropy: 'categorical_crossentropy',
  binaryCrossentropy: 'binary_crossentropy',
  meanSquaredError: 'mean_squared_error',
};

/** Keras' version that files are written as; what is in them has stayed the same through all of Keras 2. */
export const kerasVersion = '2.15.0';

/** Slope of a leaky ReLU below 0. */
export const leakySlope = 0.3;

type Config = Readonly<Record<string, unknown>>;
export interface KerasObject {
  readonly class_name: string;
  readonly config: Config;
}

/** A layer of Keras', and the parameters that it has. */
export interface KerasLayer {
  readonly object: KerasObject;
  readonly parameters: LayerPlan['parameters'];
}

/** The layers of a net as Keras 2 writes them, which Keras 3 reads as well; the input first. */
export function kerasLayers(plan: ModelPlan): KerasLayer[] {
  const config = {
    batch_input_shape: [null, ...plan.inputShape],
    dtype: 'float32',
    sparse: false,
    ragged: false,
    name: `${plan.layers[0]?.name ?? 'net'}_input`,
  };
  return [{ object: { class_name: 'InputLayer', config }, parameters: [] }, ...plan.layers.flatMap(layersOf)];
}

/** `model_config` of an HDF5 file. */
export const kerasModelConfig = (layers: readonly KerasLayer[]): KerasObject => ({
  class_name: 'Sequential',
  config: { name: 'sequential', layers: layers.map(({ object }) => object) },
});

/** A layer of ours as one of Keras', or as two where its activation is a layer there. */
function layersOf(layer: LayerPlan): KerasLayer[] {
  const { name, spec, parameters } = layer;
  const kind = 'activation' in spec ? spec.activation : 'linear';
  const own = (activation: Exclude<Activation, 'leakyRelu'>): KerasLayer => ({
    object: { class_name: classNames[spec.type], config: { ...base(name), ...configOf(spec, activation) } },
    parameters,
  });
  if (kind !== 'leakyRelu') return [own(kind)];
  const leaky = (of: string): KerasLayer => ({
    object: { class_name: 'LeakyReLU', config: { ...base(of), alpha: leakySlope } },
    parameters: [],
  });
  return spec.type === 'activation' ? [leaky(name)] : [own('linear'), leaky(`${name}_leaky_re_lu`)];
}

const classNames: Readonly<Record<LayerSpec['type'], string>> = {
  conv2d: 'Conv2D',
  separableConv2d: 'SeparableConv2D',
  maxPooling2d: 'MaxPooling2D',
  averagePooling2d: 'AveragePooling2D',
  globalAveragePooling2d: 'GlobalAveragePooling2D',
  flatten: 'Flatten',
  dense: 'Dense',
  dropout: 'Dropout',
  batchNormalization: 'BatchNormalization',
  activation: 'Activation',
};

const base = (name: string): Config => ({ name, trainable: true, dtype: 'float32' });

function configOf(spec: LayerSpec, kind: Exclude<Activation, 'leakyRelu'>): Config {
  const activation = kerasActivations[kind];
  switch (spec.type) {
    case 'conv2d':
      return {
        ...convolution(spec),
        groups: 1,
        activation,
        kernel_initializer: glorot,
        ...bias(spec),
        kernel_regularizer: regularizer(spec.kernelRegularizer),
        kernel_constraint: null,
      };
    case 'separableConv2d':
      return {
        ...convolution(spec),
        activation,
        depth_multiplier: spec.depthMultiplier,
        depthwise_initializer: glorot,
        pointwise_initializer: glorot,
        ...bias(spec),
        depthwise_regularizer: regularizer(spec.depthwiseRegularizer),
        pointwise_regularizer: regularizer(spec.pointwiseRegularizer),
        depthwise_constraint: null,
        pointwise_constraint: null,
      };
    case 'maxPooling2d':
    case 'averagePooling2d':
      return {
        pool_size: pair(spec.poolSize),
        strides: pair(spec.strides ?? spec.poolSize),
        padding: spec.padding,
        data_format: 'channels_last',
      };
    case 'globalAveragePooling2d':
      return { data_format: 'channels_last', keepdims: false };
    case 'flatten':
      return { data_format: 'channels_last' };
    case 'dense':
      return {
        units: spec.units,
        activation,
        kernel_initializer: glorot,
        ...bias(spec),
        kernel_regularizer: regularizer(spec.kernelRegularizer),
        kernel_constraint: null,
      };
    case 'dropout':
      return { rate: spec.rate, noise_shape: null, seed: null };
    case 'batchNormalization':
      return {
        axis: -1,
        momentum: spec.momentum,
        epsilon: spec.epsilon,
        center: spec.center,
        scale: spec.scale,
        beta_initializer: zeros,
        gamma_initializer: ones,
        moving_mean_initializer: zeros,
        moving_variance_initializer: ones,
        beta_regularizer: null,
        gamma_regularizer: null,
        beta_constraint: null,
        gamma_constraint: null,
      };
    case 'activation':
      return { activation };
  }
}

type Pair = number | readonly [number, number];
const pair = (of: Pair): readonly number[] => (typeof of === 'number' ? [of, of] : of);

const zeros: KerasObject = { class_name: 'Zeros', config: {} };
const ones: KerasObject = { class_name: 'Ones', config: {} };
const glorot: KerasObject = { class_name: 'GlorotUniform', config: { seed: null } };

const convolution = (spec: {
  readonly filters: number;
  readonly kernelSize: Pair;
  readonly strides: Pair;
  readonly padding: string;
  readonly dilation: Pair;
}): Config => ({
  filters: spec.filters,
  kernel_size: pair(spec.kernelSize),
  strides: pair(spec.strides),
  padding: spec.padding,
  data_format: 'channels_last',
  dilation_rate: pair(spec.dilation),
  activity_regularizer: null,
});

const bias = (spec: { readonly useBias: boolean; readonly biasRegularizer?: Regularizer }): Config => ({
  use_bias: spec.useBias,
  bias_initializer: zeros,
  bias_regularizer: regularizer(spec.biasRegularizer),
  bias_constraint: null,
});

const regularizer = (of: Regularizer | undefined): KerasObject | null =>
  of === undefined ? null : { class_name: 'L1L2', config: { l1: of.l1, l2: of.l2 } };

/** Loss, metric and optimizer, as `model.compile` had them: `training_config` of an HDF5 file. */
export const kerasTrainingConfig = (training: TrainingSpec): Config => ({
  loss: kerasLosses[training.loss],
  metrics: ['accuracy'],
  weighted_metrics: null,
  loss_weights: null,
  optimizer_config: kerasOptimizer(training),
});

/** An optimizer with all its settings, as Keras 2 and 3 both know it. */
export function kerasOptimizer({ optimizer, clip }: TrainingSpec): KerasObject {
  const { class_name, config } = rule(optimizer);
  const settings = { ...config, learning_rate: optimizer.learningRate };
  const clips = { clipvalue: clip?.value ?? null, global_clipnorm: clip?.norm ?? null };
  return { class_name, config: { ...settings, ...clips } };
}

function rule(spec: OptimizerSpec): KerasObject {
  switch (spec.name) {
    case 'sgd':
      return { class_name: 'SGD', config: { name: 'SGD', momentum: spec.momentum, nesterov: spec.nesterov } };
    case 'rmsprop': {
      const { rho, momentum, epsilon, centered } = spec;
      return { class_name: 'RMSprop', config: { name: 'RMSprop', rho, momentum, epsilon, centered } };
    }
    case 'adam':
    case 'adamw': {
      // Keras 2 does not open a file with AdamW or weight decay in it: the decay stays behind.
      const { beta1: beta_1, beta2: beta_2, epsilon, amsgrad } = spec;
      return { class_name: 'Adam', config: { name: 'Adam', beta_1, beta_2, epsilon, amsgrad } };
    }
    case 'adagrad':
      return {
        class_name: 'Adagrad',
        config: { name: 'Adagrad', initial_accumulator_value: spec.initialAccumulator, epsilon: spec.epsilon },
      };
  }
}
