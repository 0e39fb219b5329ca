import { z } from 'zod';

const rate = (value: number) => z.number().gt(0).max(1000).default(value);
const fraction = (value: number) => z.number().min(0).lt(1).default(value);
const epsilon = z.number().gt(0).max(1).default(1e-7);

/** Optimizers with Keras' update rules and defaults (Keras 3). */
export const OptimizerSpec = z.discriminatedUnion('name', [
  z
    .strictObject({
      name: z.literal('sgd'),
      learningRate: rate(0.01),
      momentum: fraction(0),
      nesterov: z.boolean().default(false),
    })
    .readonly(),
  z
    .strictObject({
      name: z.literal('rmsprop'),
      learningRate: rate(0.001),
      rho: fraction(0.9),
      momentum: fraction(0),
      epsilon,
      centered: z.boolean().default(false),
    })
    .readonly(),
  z
    .strictObject({
      name: z.literal('adam'),
      learningRate: rate(0.001),
      beta1: fraction(0.9),
      beta2: fraction(0.999),
      epsilon,
      amsgrad: z.boolean().default(false),
    })
    .readonly(),
  z
    .strictObject({
      name: z.literal('adamw'),
      learningRate: rate(0.001),
      weightDecay: z.number().min(0).default(0.004),
      beta1: fraction(0.9),
      beta2: fraction(0.999),
      epsilon,
      amsgrad: z.boolean().default(false),
    })
    .readonly(),
  z
    .strictObject({
      name: z.literal('adagrad'),
      learningRate: rate(0.001),
      initialAccumulator: z.number().min(0).default(0.1),
      epsilon,
    })
    .readonly(),
]);
export type OptimizerSpec = z.infer<typeof OptimizerSpec>;

/** How the learning rate changes; each begins with the optimizer's `learningRate`. */
export const ScheduleSpec = z.discriminatedUnion('name', [
  /** Multiplied by `factor` every `everyEpochs` epochs. */
  z
    .strictObject({
      name: z.literal('step'),
      everyEpochs: z.int().min(1),
      factor: z.number().gt(0).max(1).default(0.1),
    })
    .readonly(),
  /** Half a cosine from the full rate to `minimum` x the rate over all epochs (Loshchilov and Hutter, SGDR, 2017). */
  z.strictObject({ name: z.literal('cosine'), minimum: z.number().min(0).max(1).default(0) }).readonly(),
  /** Keras' ReduceLROnPlateau on a value of the validation. */
  z
    .strictObject({
      name: z.literal('plateau'),
      monitor: z.enum(['valLoss', 'valAccuracy']).default('valLoss'),
      factor: z.number().gt(0).lt(1).default(0.1),
      patience: z.int().min(1).default(10),
      /** What is better by no more than this is no progress. */
      minDelta: z.number().min(0).default(1e-4),
      /** Epochs after a lowering in which nothing is counted. */
      cooldown: z.int().min(0).default(0),
      /** A learning rate, below which it is not lowered. Keras' `min_lr`. */
      minimum: z.number().min(0).default(0),
    })
    .readonly(),
]);
export type ScheduleSpec = z.infer<typeof ScheduleSpec>;

/** Bounds on the gradient before the update, as Keras' `clipvalue` and `global_clipnorm`. */
export const ClipSpec = z
  .strictObject({ value: z.number().gt(0).exactOptional(), norm: z.number().gt(0).exactOptional() })
  .readonly();
export type ClipSpec = z.infer<typeof ClipSpec>;

/**
 * An average of the weights over the updates, average = momentum x average + (1 - momentum) x weights, beginning with the
 * weights after the first update: Keras' `use_ema` and `ema_momentum`. It is what is validated, kept and tested, as with
 * Keras' callback `SwapEMAWeights`; training goes on from the weights themselves.
 */
export const AverageSpec = z
  .strictObject({
    /** How much of the average each update leaves. Keras' `ema_momentum`. */
    momentum: fraction(0.99),
  })
  .readonly();
export type AverageSpec = z.infer<typeof AverageSpec>;

/** Keras' EarlyStopping. */
export const EarlyStoppingSpec = z
  .strictObject({
    monitor: z.enum(['valLoss', 'valAccuracy']).default('valLoss'),
    patience: z.int().min(1).default(5),
    minDelta: z.number().min(0).default(0),
    /** The result is that of the best epoch rather than of the last. */
    restoreBest: z.boolean().default(true),
  })
  .readonly();
export type EarlyStoppingSpec = z.infer<typeof EarlyStoppingSpec>;

export const Loss = z.enum(['categoricalCrossentropy', 'binaryCrossentropy', 'meanSquaredError']);
export type Loss = z.infer<typeof Loss>;

/** `training` of an experiment file. */
export const TrainingSpec = z
  .strictObject({
    epochs: z.int().min(1).max(100_000),
    batchSize: z.int().min(1).max(65_536).default(32),
    /** Slices that a batch is cut into: the most workers that a job can have. */
    microBatches: z.int().min(1).max(1024).default(4),
    optimizer: OptimizerSpec,
    loss: Loss.default('categoricalCrossentropy'),
    /** The learning rate rises in equal steps over the first so many updates: a factor beside any schedule, which counts from the first update. */
    warmUpSteps: z.int().min(0).default(0),
    schedule: ScheduleSpec.exactOptional(),
    clip: ClipSpec.exactOptional(),
    /** Validates and keeps an average of the weights over the updates instead of the last ones. */
    average: AverageSpec.exactOptional(),
    earlyStopping: EarlyStoppingSpec.exactOptional(),
    /** Steps that count as an epoch, where that is not one pass over the samples. */
    stepsPerEpoch: z.int().min(1).exactOptional(),
    /** Batches of validation samples to use, where that is not all of them. */
    validationSteps: z.int().min(1).exactOptional(),
    /** Weight of each class's samples in the training loss, in the order of the classes; all 1 where not given. */
    classWeights: z.array(z.number().gt(0)).min(2).max(65_536).readonly().exactOptional(),
  })
  .readonly();
export type TrainingSpec = z.infer<typeof TrainingSpec>;
