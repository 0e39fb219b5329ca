import { ConfigError } from '@crossfold/shared/errors';
import { probabilitiesOf } from '@crossfold/shared/metrics/calibration';
import type { TrainedModel } from '@crossfold/shared/model/model-file';
import type { Predicts } from '@crossfold/worker/engine/ensemble';
import { listed } from '../data/image-source.ts';
import { rescaled } from './evaluation.ts';
import { readPicture } from './labelled.ts';
import { decodingOf, shapeOf } from './open-predictor.ts';

const batch = 64;

/** What a net takes a picture for. */
export interface Prediction {
  readonly image: string;
  /** Name of the class. */
  readonly class: string;
  readonly probability: number;
  /** Of each class by its name. */
  readonly probabilities: Readonly<Record<string, number>>;
}

/**
 * What a net takes picture files for, a batch at a time.
 *
 * @param onUnusable told of the files that cannot be read or used, and why: they are left out then
 * @throws ConfigError naming every file that cannot be read or used where nobody is told of them, or all are
 */
export async function predictFiles(
  predictor: Predicts,
  model: TrainedModel,
  files: readonly string[],
  onUnusable?: (problems: readonly string[]) => void,
): Promise<Prediction[]> {
  const predictions: Prediction[] = [];
  const problems: string[] = [];
  for (let from = 0; from < files.length; from += batch) {
    const own = files.slice(from, from + batch);
    const read = await Promise.all(own.map((file) => readPicture(file, shapeOf(model), decodingOf(model))));
    const pictures = read.filter((picture) => typeof picture !== 'string');
    const names = own.filter((_, i) => typeof read[i] !== 'string');
    problems.push(...read.filter((picture) => typeof picture === 'string'));
    // Once one cannot be used the others are only looked at: whoever mends them does so in one go.
    if (names.length > 0 && (problems.length === 0 || onUnusable !== undefined))
      predictions.push(...predictPixels(predictor, model, Buffer.concat(pictures), names));
  }
  if (problems.length > 0 && predictions.length > 0) onUnusable?.(problems);
  else if (problems.length > 0)
    throw new ConfigError(`${problems.length} of ${files.length} pictures cannot be used: ${listed(problems)}`);
  return predictions;
}

/**
 * What a net takes pictures for.
 *
 * @param pixels uint8, [pictures, height, width, channels] as the net takes them
 * @param names of the pictures
 */
export function predictPixels(
  predictor: Predicts,
  { classes }: TrainedModel,
  pixels: Uint8Array,
  names: readonly string[],
): Prediction[] {
  const probabilities = probabilitiesOf(predictor.predict(rescaled(pixels)), predictor.outputs);
  const count = classes.length;
  return names.map((name, i) => predictionOf(name, classes, probabilities.subarray(i * count, (i + 1) * count)));
}

function predictionOf(image: string, classes: readonly string[], probabilities: Float32Array): Prediction {
  const best = probabilities.indexOf(probabilities.reduce((most, p) => Math.max(most, p), Number.NEGATIVE_INFINITY));
  return {
    image,
    class: classes[best] ?? String(best),
    probability: probabilities[best] ?? 0,
    probabilities: Object.fromEntries(classes.map((name, i) => [name, probabilities[i] ?? 0])),
  };
}
