import { readFileSync } from 'node:fs';
import { LayerSpec } from '@crossfold/shared/config/layers';
import type { TrainingSpec as Training } from '@crossfold/shared/config/training';
import {
  ClipSpec,
  EarlyStoppingSpec,
  Loss,
  OptimizerSpec,
  ScheduleSpec,
  TrainingSpec,
} from '@crossfold/shared/config/training';
import type { ModelPlan } from '@crossfold/shared/model/plan';
import { planModel } from '@crossfold/shared/model/plan';
import { z } from 'zod';

const floats = z.array(z.number());
const versions = z.record(z.string(), z.string());

const Case = z.object({
  name: z.string(),
  layers: z.array(LayerSpec),
  loss: Loss,
  classes: z.int(),
  classWeights: floats.exactOptional(),
  weights: floats,
  x: floats,
  labels: floats,
  outputs: floats,
  losses: floats,
  trainLoss: z.number(),
  gradient: floats,
  stepLosses: floats,
  after: floats,
});
const LayerFile = z.object({
  versions,
  image: z.object({ height: z.int(), width: z.int(), channels: z.int() }),
  cases: z.array(Case),
});
const OptimizerFile = z.object({
  versions,
  cases: z.array(
    z.object({
      optimizer: OptimizerSpec,
      clip: ClipSpec.exactOptional(),
      weights: floats,
      gradients: z.array(floats),
      steps: z.array(floats),
    }),
  ),
  averages: z.array(z.object({ momentum: z.number(), weights: z.array(floats), averages: z.array(floats) })),
});
const MnistFile = z.object({
  versions,
  seed: z.int(),
  batchSize: z.int(),
  every: z.int(),
  limits: floats,
  before: floats,
  steps: z.array(z.object({ loss: z.number(), correct: z.int() })),
  after: floats,
  moved: z.number(),
});
const ScheduleFile = z.object({
  versions,
  schedules: z.array(z.object({ name: z.string(), training: TrainingSpec, stepsPerEpoch: z.int(), rates: floats })),
  warmUp: z.array(z.object({ steps: z.int(), learningRate: z.number(), rates: floats })),
  plateaus: z.array(z.object({ learningRate: z.number(), schedule: ScheduleSpec, values: floats, rates: floats })),
  stops: z.array(
    z.object({
      earlyStopping: EarlyStoppingSpec,
      values: floats,
      epochs: z.int(),
      ended: z.boolean(),
      bestEpoch: z.int(),
    }),
  ),
  updates: z.object({ training: TrainingSpec, weights: floats, gradients: z.array(floats), steps: z.array(floats) }),
});

const read = (name: string): unknown =>
  JSON.parse(readFileSync(new URL(`../fixtures/keras/${name}`, import.meta.url), 'utf8'));

/** What Keras says of a small net: see tests/fixtures/keras/make.py. */
export interface KerasCase extends z.infer<typeof Case> {
  readonly model: ModelPlan;
  readonly training: Training;
}

/** Nets that between them have every kind of layer, activation and loss. */
export function kerasLayers(): KerasCase[] {
  const { image, cases } = LayerFile.parse(read('layers.json'));
  return cases.map((given) => ({
    ...given,
    model: planModel({ layers: given.layers }, image, given.classes, given.loss),
    training: TrainingSpec.parse({
      epochs: 1,
      batchSize: given.labels.length,
      microBatches: 1,
      optimizer: { name: 'sgd', learningRate: 0.1 },
      loss: given.loss,
      ...(given.classWeights === undefined ? {} : { classWeights: given.classWeights }),
    }),
  }));
}

export const kerasOptimizers = () => OptimizerFile.parse(read('optimizers.json')).cases;
export const kerasAverages = () => OptimizerFile.parse(read('optimizers.json')).averages;
export const kerasMnist = () => MnistFile.parse(read('mnist.json'));
export const kerasSchedules = () => ScheduleFile.parse(read('schedules.json'));
