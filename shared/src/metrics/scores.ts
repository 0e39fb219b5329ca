import { ExperimentFailedError } from '../errors.ts';
import type { Scores } from '../results.ts';
import { areaUnderRoc } from './roc.ts';

/** Numbers that an evaluation gives for each sample: its loss, the class predicted, and a score (see `scoreOutputs`). */
export const outputsPerSample = 3;

/**
 * Scores of a model from its outputs. Sums are taken in float64 in the order of the samples, so that equal outputs give
 * equal scores whoever adds them up. Definitions are scikit-learn's, with `zero_division=0`.
 *
 * @param outputs [samples, 3]: loss, predicted class, and a score, which is the probability of class 1 where there are
 *   two classes and of the predicted class otherwise
 * @param labels class of each sample
 * @param classes number of classes
 * @throws ExperimentFailedError where the loss is no finite number: the weights have diverged
 */
export function scoreOutputs(outputs: Float32Array, labels: Int32Array, classes: number): Scores {
  const samples = labels.length;
  if (samples === 0 || outputs.length !== samples * outputsPerSample)
    throw new Error(`${outputs.length} outputs for ${samples} samples`);
  const confusionMatrix = Array.from({ length: classes }, () => new Array<number>(classes).fill(0));
  let loss = 0;
  for (let i = 0; i < samples; i++) {
    loss += outputs[i * outputsPerSample] ?? Number.NaN;
    const predicted = outputs[i * outputsPerSample + 1] ?? Number.NaN;
    const row = confusionMatrix[labels[i] ?? -1];
    if (row?.[predicted] === undefined)
      throw new Error(`sample ${i} of class ${labels[i]} is predicted to be of class ${predicted}, of ${classes}`);
    row[predicted] += 1;
  }
  loss /= samples;
  if (!Number.isFinite(loss))
    throw new ExperimentFailedError(
      `the loss is ${loss}: the weights have diverged; try a lower training.optimizer.learningRate, or training.clip`,
    );
  const rocAuc = classes === 2 ? areaUnderRoc(everyThird(outputs, 2), labels) : undefined;
  return { loss, ...scoreCounts(confusionMatrix), ...(rocAuc === undefined ? {} : { rocAuc }) };
}

/**
 * The scores that follow from counts alone.
 *
 * @param confusionMatrix `[true][predicted]`, in counts; of one evaluation, or the sum of several
 */
export function scoreCounts(
  confusionMatrix: readonly (readonly number[])[],
): Pick<Scores, 'accuracy' | 'confusionMatrix' | 'precision' | 'recall' | 'f1'> {
  const right = confusionMatrix.map((row, k) => row[k] ?? 0);
  const actual = confusionMatrix.map(sum);
  const predicted = confusionMatrix.map((_, k) => sum(confusionMatrix.map((row) => row[k] ?? 0)));
  return {
    accuracy: ratio(sum(right), sum(actual)),
    confusionMatrix,
    precision: right.map((n, k) => ratio(n, predicted[k] ?? 0)),
    recall: right.map((n, k) => ratio(n, actual[k] ?? 0)),
    f1: right.map((n, k) => ratio(2 * n, (predicted[k] ?? 0) + (actual[k] ?? 0))),
  };
}

const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);

const ratio = (numerator: number, denominator: number): number => (denominator === 0 ? 0 : numerator / denominator);

const everyThird = (outputs: Float32Array, from: number): Float32Array =>
  Float32Array.from({ length: outputs.length / outputsPerSample }, (_, i) => outputs[i * outputsPerSample + from] ?? 0);
