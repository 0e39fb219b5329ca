import type { Reliability } from '../results.ts';

/** How far a net's probabilities can be taken at their word. */
export interface Calibration extends Reliability {
  /** Mean over the samples of the summed squared distance of probabilities from the truth, halved: 0 is perfect. */
  readonly brier: number;
}

const binCount = 10;

/**
 * How often predictions are right, by how sure they are. Guo et al., "On calibration of modern neural networks", ICML
 * 2017.
 *
 * @param confidences probability of the predicted class of each sample
 * @param isRight whether it is the true one
 */
export function reliabilityOf(confidences: ArrayLike<number>, isRight: (sample: number) => boolean): Reliability {
  const bins = Array.from({ length: binCount }, () => ({ samples: 0, confidence: 0, right: 0 }));
  for (let i = 0; i < confidences.length; i++) {
    const confidence = confidences[i] ?? 0;
    const bin = bins[Math.min(binCount - 1, Math.floor(confidence * binCount))];
    if (bin === undefined) continue;
    bin.samples++;
    bin.confidence += confidence;
    if (isRight(i)) bin.right++;
  }
  return {
    error: bins.reduce((sum, bin) => sum + Math.abs(bin.confidence - bin.right), 0) / confidences.length,
    bins: bins.flatMap(({ samples, confidence, right }, i) =>
      samples === 0
        ? []
        : [
            {
              from: i / binCount,
              to: (i + 1) / binCount,
              samples,
              confidence: confidence / samples,
              accuracy: right / samples,
            },
          ],
    ),
  };
}

/**
 * The same for the whole of a net's outputs, and the Brier score (1950), in the form that for two classes is
 * scikit-learn's `brier_score_loss`.
 *
 * @param probabilities [samples, classes]
 */
export function calibrationOf(probabilities: Float32Array, labels: ArrayLike<number>, classes: number): Calibration {
  const samples = labels.length;
  const predicted = new Int32Array(samples);
  let squares = 0;
  const confidences = Float32Array.from({ length: samples }, (_, i) => {
    const row = probabilities.subarray(i * classes, (i + 1) * classes);
    let best = 0;
    row.forEach((p, k) => {
      if (p > (row[best] ?? 0)) best = k;
      squares += (p - (k === labels[i] ? 1 : 0)) ** 2;
    });
    predicted[i] = best;
    return row[best] ?? 0;
  });
  return {
    ...reliabilityOf(confidences, (i) => predicted[i] === labels[i]),
    brier: squares / (2 * samples),
  };
}

/** Probabilities of all classes from a net's outputs: a single output is that of class 1 of two. */
export function probabilitiesOf(outputs: Float32Array, width: number): Float32Array {
  if (width !== 1) return outputs;
  const both = new Float32Array(outputs.length * 2);
  outputs.forEach((p, i) => {
    both[2 * i] = 1 - p;
    both[2 * i + 1] = p;
  });
  return both;
}
