import type { TrainingSpec } from '@crossfold/shared/config/training';
import { ExperimentFailedError } from '@crossfold/shared/errors';
import type { Faults } from '@crossfold/shared/faults';
import { sliceStart } from '../data/batches.ts';
import { improves, watched } from '../engine/monitor.ts';
import { learningRateAt } from '../engine/schedule.ts';
import type { EngineSession } from '../engine/session.ts';
import type { Exchange } from '../exchange/exchange.ts';
import type { SliceRange } from '../exchange/tree.ts';
import { rankRange } from '../exchange/tree.ts';
import type { JobObserver } from '../observe/observer.ts';
import type { Action } from './course.ts';
import type { Gradients } from './gradients.ts';
import type { JobState } from './state.ts';
import { nothingYet } from './state.ts';

/** One member's place in the generation that is open. */
export interface Place {
  readonly rank: number;
  readonly size: number;
  readonly exchange: Exchange;
  readonly gradients: Gradients;
  /** Aborts when the generation closes. */
  readonly signal: AbortSignal;
  readonly now: () => number;
  readonly observer: Required<JobObserver>;
  readonly faults: Faults;
}

/** Trying again would give the same: the job fails with this as its reason. */
export class HopelessError extends ExperimentFailedError {}

/**
 * One train step, the same for a group of any size: gradient sums of this rank's slices; all-reduce; update. Until the
 * total is there everything can be given up when the generation closes; from then on nothing is.
 *
 * @param next what comes after it
 */
export async function trainStep(
  state: JobState,
  action: Extract<Action, { kind: 'step' }>,
  next: Action,
  engine: EngineSession,
  training: TrainingSpec,
  place: Place,
): Promise<JobState> {
  const { exchange, gradients, observer, now } = place;
  const started = now();
  const slices = rankRange(place.rank, place.size, training.microBatches);
  const { nodes, dataMs } = await gradients.of(state.position, action, slices);
  place.signal.throwIfAborted();
  const computed = now();
  await place.faults.at('computing', { rank: place.rank, position: state.position });
  const total = await exchange.allReduce(state.position, nodes, engine.vectorLength, place.signal);

  const summed = now();
  const learningRate = learningRateAt(training, { ...action, history: state.history });
  const updating = engine.update(total, learningRate);
  if (next.kind === 'step') gradients.askAhead(state.position + 1, next, slices);
  const step = await updating;
  observer.stepped({
    epoch: action.epoch,
    step: action.step,
    slices: slices.to - slices.from,
    samples: samplesIn(slices, step.samples, training.microBatches),
    transport: exchange.travelled,
    // Of a gradient that was asked for ahead, what was done before this step began took none of its time.
    times: { started, dataMs: Math.min(dataMs, computed - started), computed, summed, updated: now() },
  });
  if (!Number.isFinite(step.loss)) {
    observer.diverged();
    throw new HopelessError(
      `the loss became ${step.loss} in epoch ${action.epoch + 1}, step ${action.step + 1}; a smaller training.optimizer.learningRate or gradient clipping (training.clip) may help`,
    );
  }
  return {
    ...state,
    position: state.position + 1,
    updates: action.update + 1,
    samplesSeen: state.samplesSeen + step.samples,
    running: {
      ...state.running,
      loss: state.running.loss + step.loss * step.samples,
      correct: state.running.correct + step.correct,
      samples: state.running.samples + step.samples,
    },
    exchange: exchange.travelled === 'none' ? state.exchange : exchange.travelled,
  };
}

/** Samples of a batch that lie in a range of its slices. */
const samplesIn = ({ from, to }: SliceRange, samples: number, slices: number): number =>
  sliceStart(samples, to, slices) - sliceStart(samples, from, slices);

/**
 * The end of an epoch: every rank evaluates the validation samples of its slices, the outputs of all are summed into
 * one vector (each sample is non-zero in one place only, so the sum is exact), and everyone draws the same conclusions
 * from it. The members' digests of their weights ride along; a difference fails the job.
 */
export async function validate(
  state: JobState,
  epoch: number,
  engine: EngineSession,
  training: TrainingSpec,
  place: Place,
  secondsOfEpoch: number,
): Promise<JobState> {
  const { observer, now } = place;
  const started = now();
  const slices = rankRange(place.rank, place.size, training.microBatches);
  const nodes = await engine.validate(slices);
  place.signal.throwIfAborted();
  await place.faults.at('validating', { rank: place.rank, position: state.position });
  const total = await place.exchange.allReduce(state.position, nodes, engine.validationLength, place.signal);
  const { outputs, digestsAgree } = engine.readValidation(total);
  observer.validated(epoch, { from: started, to: now() });
  if (!digestsAgree)
    throw new HopelessError(
      `the members of the group hold different weights after epoch ${epoch + 1}; their engines do not compute alike`,
    );

  // A refit trains on all samples, and has none to validate on.
  const scored = engine.validationLabels.length === 0 ? undefined : scoreOutputs(outputs, engine.validationLabels);
  if (scored !== undefined && !Number.isFinite(scored.loss)) {
    observer.diverged();
    throw new HopelessError(
      `the validation loss became ${scored.loss} after epoch ${epoch + 1}; a smaller training.optimizer.learningRate or gradient clipping (training.clip) may help`,
    );
  }
  const history = {
    loss: [...state.history.loss, state.running.loss / state.running.samples],
    accuracy: [...state.history.accuracy, state.running.correct / state.running.samples],
    valLoss: scored === undefined ? [] : [...state.history.valLoss, scored.loss],
    valAccuracy: scored === undefined ? [] : [...state.history.valAccuracy, scored.accuracy],
    seconds: [...state.history.seconds, secondsOfEpoch],
  };
  const stopping = earlyStopping(training, history);
  const keep = stopping === undefined || !stopping.restoreBest || stopping.bestEpoch === epoch;
  return {
    ...state,
    position: state.position + 1,
    history,
    running: nothingYet,
    kept: keep ? { epoch, weights: await engine.evaluatedWeights(), outputs } : state.kept,
    ended: stopping?.ended ?? false,
    seconds: state.seconds + secondsOfEpoch,
  };
}

/** Mean loss and accuracy of validation outputs (loss, predicted class, score a sample), summed in sample order. */
function scoreOutputs(outputs: Float32Array, labels: ArrayLike<number>): { loss: number; accuracy: number } {
  let loss = 0;
  let correct = 0;
  const samples = outputs.length / 3;
  for (let i = 0; i < samples; i++) {
    loss += outputs[3 * i] ?? 0;
    if (outputs[3 * i + 1] === labels[i]) correct++;
  }
  return { loss: loss / samples, accuracy: correct / samples };
}

/** Keras' EarlyStopping on the history so far: the best epoch, and whether `patience` epochs have passed since. */
export function earlyStopping(
  training: Pick<TrainingSpec, 'earlyStopping'>,
  history: JobState['history'],
): { bestEpoch: number; ended: boolean; restoreBest: boolean } | undefined {
  const rule = training.earlyStopping;
  if (rule === undefined) return undefined;
  let bestEpoch = 0;
  let best = Number.POSITIVE_INFINITY;
  let waited = 0;
  watched(rule.monitor, history).forEach((value, epoch) => {
    waited++;
    if (improves(value, best, rule.minDelta)) {
      best = value;
      bestEpoch = epoch;
      waited = 0;
    }
  });
  return { bestEpoch, ended: waited >= rule.patience, restoreBest: rule.restoreBest };
}
