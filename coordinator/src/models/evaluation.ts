import type { Calibration } from '@crossfold/shared/metrics/calibration';
import { calibrationOf, probabilitiesOf } from '@crossfold/shared/metrics/calibration';
import { scoreOutputs } from '@crossfold/shared/metrics/scores';
import type { Scores } from '@crossfold/shared/results';
import type { Predicts } from '@crossfold/worker/engine/ensemble';
import { evaluated } from '@crossfold/worker/engine/predictions';
import type { Labelled } from './labelled-pictures.ts';

/** One picture's prediction. */
export interface Judged {
  readonly sample: number;
  readonly name: string;
  readonly label: number;
  readonly predicted: number;
  /** Of the predicted class. */
  readonly confidence: number;
  readonly loss: number;
}

export interface Evaluation {
  readonly scores: Scores;
  readonly calibration: Calibration;
  /** Wrong predictions, the most confident ones first. */
  readonly mistakes: readonly Judged[];
  /** Names of the data set's classes where these are the net's in the same order, rather than by name. */
  readonly inOrder?: readonly string[];
}

const batch = 64;
const rescale = Float32Array.from({ length: 256 }, (_, byte) => byte / 255);

/** Pixels as a net takes them. */
export const rescaled = (pixels: Uint8Array): Float32Array => Float32Array.from(pixels, (byte) => rescale[byte] ?? 0);

/**
 * Evaluates a net on a data set, a batch at a time.
 *
 * @param classOf the net's class for each of the data set's
 */
export async function evaluate(
  predictor: Predicts,
  data: Labelled,
  classes: number,
  classOf: readonly number[],
  onProgress: (done: number) => void,
): Promise<Evaluation> {
  const count = data.labels.length;
  const labels = data.labels.map((label) => classOf[label] ?? -1);
  const outputs = new Float32Array(count * predictor.outputs);
  const losses = new Float32Array(count);
  for (let from = 0; from < count; from += batch) {
    const samples = Math.min(batch, count - from);
    const x = rescaled(await data.read(from, samples));
    const part = predictor.evaluate(x, labels.subarray(from, from + samples));
    outputs.set(part.outputs, from * predictor.outputs);
    losses.set(part.losses, from);
    onProgress(from + samples);
  }
  const judged = evaluated(losses, outputs, 0);
  const probabilities = probabilitiesOf(outputs, predictor.outputs);
  const all = Array.from({ length: count }, (_, sample): Judged => {
    const predicted = judged[3 * sample + 1] ?? 0;
    return {
      sample,
      name: data.nameOf(sample),
      label: labels[sample] ?? 0,
      predicted,
      confidence: probabilities[sample * classes + predicted] ?? 0,
      loss: losses[sample] ?? 0,
    };
  });
  return {
    scores: scoreOutputs(judged, labels, classes),
    calibration: calibrationOf(probabilities, labels, classes),
    mistakes: all.filter(({ label, predicted }) => label !== predicted).sort((a, b) => b.confidence - a.confidence),
  };
}
