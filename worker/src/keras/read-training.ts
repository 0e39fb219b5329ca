import type { LayerSpec } from '@crossfold/shared/config/layers';
import type { Loss } from '@crossfold/shared/config/training';
import { OptimizerSpec } from '@crossfold/shared/config/training';
import { z } from 'zod';
import { kerasLosses } from './config.ts';

const Config = z.object({
  loss: z.unknown(),
  optimizer_config: z.object({ class_name: z.string(), config: z.record(z.string(), z.unknown()) }).optional(),
});

/**
 * Loss and optimizer of `training_config`, as far as they are there and can be had; otherwise the loss that fits the last
 * layer, and RMSprop. They matter for evaluating; an experiment that begins with the net says its own.
 */
export function readTrainingConfig(
  json: string | undefined,
  layers: readonly LayerSpec[],
): { readonly loss: Loss; readonly optimizer: OptimizerSpec } {
  const parsed = Config.safeParse(JSON.parse(json ?? 'null'));
  const fitting = lossFor(layers);
  const named = parsed.success ? lossOf(parsed.data.loss) : undefined;
  return {
    // Another loss on a sigmoid or softmax output than cross-entropy: only the squared error can be had as well.
    loss: named === 'meanSquaredError' ? named : fitting,
    optimizer: (parsed.success ? optimizerOf(parsed.data.optimizer_config) : undefined) ?? fallback,
  };
}

const fallback = OptimizerSpec.parse({ name: 'rmsprop' });

function lossFor(layers: readonly LayerSpec[]): Loss {
  const last = layers.at(-1);
  const activation = last !== undefined && 'activation' in last ? last.activation : 'linear';
  if (activation === 'softmax') return 'categoricalCrossentropy';
  return activation === 'sigmoid' ? 'binaryCrossentropy' : 'meanSquaredError';
}

function lossOf(value: unknown): Loss | undefined {
  const object = z.object({ config: z.union([z.string(), z.object({ name: z.string() })]) }).safeParse(value);
  const config = object.success ? object.data.config : value;
  const name = typeof config === 'object' && config !== null && 'name' in config ? config.name : config;
  const known = Object.entries(kerasLosses).find(([, keras]) => keras === name || name === 'mse');
  return known?.[0] as Loss | undefined;
}

function optimizerOf(
  value: { readonly class_name: string; readonly config: Readonly<Record<string, unknown>> } | undefined,
): OptimizerSpec | undefined {
  if (value === undefined) return undefined;
  const { config } = value;
  const kind = value.class_name.replace('Custom>', '').toLowerCase();
  const name = kind === 'adam' && typeof config.weight_decay === 'number' ? 'adamw' : kind;
  const parsed = OptimizerSpec.safeParse({
    name,
    ...kept({ learningRate: config.learning_rate }),
    ...(name === 'sgd' ? kept({ momentum: config.momentum, nesterov: config.nesterov }) : {}),
    ...(name === 'rmsprop'
      ? kept({ rho: config.rho, momentum: config.momentum, epsilon: config.epsilon, centered: config.centered })
      : {}),
    ...(name === 'adam' || name === 'adamw'
      ? kept({ beta1: config.beta_1, beta2: config.beta_2, epsilon: config.epsilon, amsgrad: config.amsgrad })
      : {}),
    ...(name === 'adamw' ? kept({ weightDecay: config.weight_decay }) : {}),
    ...(name === 'adagrad'
      ? kept({ initialAccumulator: config.initial_accumulator_value, epsilon: config.epsilon })
      : {}),
  });
  return parsed.success ? parsed.data : undefined;
}

const kept = (settings: Readonly<Record<string, unknown>>): Record<string, unknown> =>
  Object.fromEntries(Object.entries(settings).filter(([, value]) => value !== undefined && value !== null));
