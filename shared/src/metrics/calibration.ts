/** How far a net's probabilities can be taken at their word. */
export interface Calibration {
  /** Expected calibration error: mean distance of confidence and accuracy over the bins, weighted by their samples. */
  readonly error: number;
  /** Mean over the samples of the summed squared distance of probabilities from the truth, halved: 0 is perfect. */
  readonly brier: number;
  /** Equally wide ranges of the predicted class's probability that have samples in them. */
  readonly bins: readonly {
    readonly from: number;
    readonly to: number;
    readonly samples: number;
    /** Mean probability of the predicted class. */
    readonly confidence: number;
    readonly accuracy: number;
  }[];
}

const binCount = 10;

/**
 * Guo et al., "On calibration of modern neural networks", ICML 2017; Brier, 1950, in the form that for two classes is
 * scikit-learn's `brier_score_loss`.
 *
 * @param probabilities [samples, classes]
 */
export function calibrationOf(probabilities: Float32Array, labels: ArrayLike<number>, classes: number): Calibration {
  const samples = labels.length;
  const bins = Array.from({ length: binCount }, () => ({ samples: 0, confidence: 0, right: 0 }));
  let squares = 0;
  for (let i = 0; i < samples; i++) {
    const row = probabilities.subarray(i * classes, (i + 1) * classes);
    let best = 0;
    row.forEach((p, k) => {
      if (p > (row[best] ?? 0)) best = k;
      squares += (p - (k === labels[i] ? 1 : 0)) ** 2;
    });
    const confidence = row[best] ?? 0;
    const bin = bins[Math.min(binCount - 1, Math.floor(confidence * binCount))];
    if (bin === undefined) continue;
    bin.samples++;
    bin.confidence += confidence;
    if (best === labels[i]) bin.right++;
  }
  return {
    error: bins.reduce((sum, bin) => sum + Math.abs(bin.confidence - bin.right), 0) / samples,
    brier: squares / (2 * samples),
    bins: bins.flatMap((bin, i) =>
      bin.samples === 0
        ? []
        : [
            {
              from: i / binCount,
              to: (i + 1) / binCount,
              samples: bin.samples,
              confidence: bin.confidence / bin.samples,
              accuracy: bin.right / bin.samples,
            },
          ],
    ),
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
