/**
 * What a net's outputs say, worked out in JavaScript from [samples, outputs]: one output is the probability of class 1
 * of two, more are one a class.
 */

/** Class of each sample: the largest output's, the first of equals; for a single output whether it is above `half`. */
export function predictedClasses(outputs: Float32Array, samples: number, half: number): Int32Array {
  const width = outputs.length / samples;
  return Int32Array.from({ length: samples }, (_, sample) => {
    if (width === 1) return (outputs[sample] as number) > half ? 1 : 0;
    let best = sample * width;
    for (let i = best + 1; i < (sample + 1) * width; i++)
      if ((outputs[i] as number) > (outputs[best] as number)) best = i;
    return best - sample * width;
  });
}

/**
 * Three numbers a sample: its loss, its predicted class, and a score: the output for class 1 where there are two
 * classes, else the one for the predicted class.
 *
 * @param outputs probabilities where the last activation gives such
 * @param addedLoss what regularisers add to every loss
 */
export function evaluated(losses: Float32Array, outputs: Float32Array, addedLoss: number): Float32Array {
  const samples = losses.length;
  const width = outputs.length / samples;
  const predicted = predictedClasses(outputs, samples, 0.5);
  const result = new Float32Array(3 * samples);
  for (let i = 0; i < samples; i++) {
    const shown = width === 1 ? 0 : width === 2 ? 1 : (predicted[i] as number);
    result[3 * i] = (losses[i] as number) + addedLoss;
    result[3 * i + 1] = predicted[i] as number;
    result[3 * i + 2] = outputs[i * width + shown] as number;
  }
  return result;
}
