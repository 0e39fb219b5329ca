import type { ScheduleSpec, TrainingSpec } from '@crossfold/shared/config/training';

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

/** The learning rate of an update: the optimizer's own, changed by warm-up and schedule. */
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

/** Keras' ReduceLROnPlateau: lowered whenever `patience` epochs in a row have not been better by more than `minDelta`. */
function onPlateau(
  { monitor, factor, patience, minDelta, minimum }: Extract<ScheduleSpec, { name: 'plateau' }>,
  rate: number,
  history: Progress['history'],
): number {
  const values = monitor === 'valAccuracy' ? history.valAccuracy.map((value) => -value) : history.valLoss;
  let lowered = rate;
  let best = Number.POSITIVE_INFINITY;
  let waited = 0;
  for (const value of values) {
    if (value < best - minDelta) {
      best = value;
      waited = 0;
    } else if (++waited >= patience) {
      lowered = Math.min(lowered, Math.max(lowered * factor, minimum));
      waited = 0;
    }
  }
  return lowered;
}
