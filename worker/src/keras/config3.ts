import type { TrainingSpec } from '@crossfold/shared/config/training';
import type { ModelPlan } from '@crossfold/shared/model/plan';
import type { KerasObject } from './config.ts';
import { kerasLayers, kerasLosses, kerasOptimizer } from './config.ts';

/** Release of Keras 3 that archives are written as. */
export const archiveVersion = '3.15.1';

/** A serialised object of Keras 3, which names the module that it is of. */
interface Keras3Object extends KerasObject {
  readonly module: string;
  readonly registered_name: null;
}

const object = (module: string, { class_name, config }: KerasObject): Keras3Object => ({
  module,
  class_name,
  config,
  registered_name: null,
});

/** `config.json` of a `.keras` file: the net, and how it was compiled. */
export function archiveConfig(plan: ModelPlan, training: TrainingSpec) {
  const input = [null, ...plan.inputShape];
  const layers = kerasLayers(plan).map(({ object: layer }) => object('keras.layers', layerOf(layer, input)));
  return {
    ...object('keras', {
      class_name: 'Sequential',
      config: { name: 'sequential', trainable: true, dtype: 'float32', layers, build_input_shape: input },
    }),
    build_config: { input_shape: input },
    compile_config: {
      optimizer: object('keras.optimizers', optimizerOf(training)),
      loss: kerasLosses[training.loss],
      loss_weights: null,
      metrics: ['accuracy'],
      weighted_metrics: null,
      run_eagerly: false,
      steps_per_execution: 1,
      jit_compile: false,
    },
  };
}

/** A layer as Keras 2 writes it, with what Keras 3 calls otherwise. */
function layerOf({ class_name, config }: KerasObject, input: readonly unknown[]): KerasObject {
  if (class_name === 'InputLayer') {
    const { name, dtype, sparse, ragged } = config;
    return { class_name, config: { batch_shape: input, dtype, sparse, ragged, name } };
  }
  const own = Object.entries(config).map(([key, value]): [string, unknown] => {
    if (class_name === 'LeakyReLU' && key === 'alpha') return ['negative_slope', value];
    const module = key.endsWith('_initializer') ? 'keras.initializers' : 'keras.regularizers';
    return [key, isObject(value) ? object(module, value) : value];
  });
  return { class_name, config: Object.fromEntries(own) };
}

const isObject = (value: unknown): value is KerasObject =>
  typeof value === 'object' && value !== null && 'class_name' in value;

/** Keras 2 opens no file with AdamW or averages in it; Keras 3 does. */
function optimizerOf(training: TrainingSpec): KerasObject {
  const { optimizer, average } = training;
  const { class_name, config } = kerasOptimizer(training);
  const own = average === undefined ? config : { ...config, use_ema: true, ema_momentum: average.momentum };
  if (optimizer.name !== 'adamw') return { class_name, config: own };
  return { class_name: 'AdamW', config: { ...own, name: 'adamw', weight_decay: optimizer.weightDecay } };
}
