import type { ScheduleSpec, TrainingSpec } from '@crossfold/shared/config/training';
import { improves, watched } from './monitor.ts';

/** How far a job is. */
export interface Progress {
  /** From 0. */
  readonly epoch: number;
  /** Optimizer updates before this one. */
  readonly update: number;
  /** Updates that the whole job has. */
  readonly updates: number;
  /** Of the epochs that are over. */
  readonly history: { readonly valLoss: readonly number[]; readonly valAccuracy: readonly number[] };
}

/**
 * The learning rate of an update: the optimizer's own, changed by schedule and warm-up. Warm-up is a factor beside any
 * schedule, which counts from the first update as it would without: Keras has it in CosineDecay alone, where the cosine
 * begins after it and its first update has the rate 0.
 */
export function learningRateAt(
  training: Pick<TrainingSpec, 'optimizer' | 'warmUpSteps' | 'schedule'>,
  progress: Progress,
): number {
  const { optimizer, warmUpSteps, schedule } = training;
  const rate = schedule === undefined ? optimizer.learningRate : scheduled(schedule, optimizer.learningRate, progress);
  return progress.update < warmUpSteps ? (rate * (progress.update + 1)) / warmUpSteps : rate;
}

function scheduled(schedule: ScheduleSpec, rate: number, { epoch, update, updates, history }: Progress): number {
  switch (schedule.name) {
    case 'step': {
      let lowered = rate;
      for (let e = schedule.everyEpochs; e <= epoch; e += schedule.everyEpochs) lowered *= schedule.factor;
      return lowered;
    }
    case 'cosine': {
      const share = (1 + Math.cos((Math.PI * update) / updates)) / 2;
      return rate * (schedule.minimum + (1 - schedule.minimum) * share);
    }
    case 'plateau':
      return onPlateau(schedule, rate, history);
  }
}

/**
 * Keras' ReduceLROnPlateau: lowered whenever `patience` epochs in a row have not been better by more than `minDelta`; the
 * `cooldown` epochs after that do not count.
 */
function onPlateau(
  { monitor, factor, patience, minDelta, cooldown, minimum }: Extract<ScheduleSpec, { name: 'plateau' }>,
  rate: number,
  history: Progress['history'],
): number {
  let lowered = rate;
  let best = Number.POSITIVE_INFINITY;
  let waited = 0;
  let cooling = 0;
  for (const value of watched(monitor, history)) {
    if (cooling > 0) cooling--;
    if (improves(value, best, minDelta)) {
      best = value;
      waited = 0;
    } else if (cooling === 0 && ++waited >= patience && lowered > minimum) {
      lowered = Math.max(lowered * factor, minimum);
      cooling = cooldown;
      waited = 0;
    }
  }
  return lowered;
}
