import type { ImageShape } from '@crossfold/shared/data/manifest';
import type { TrainedModel } from '@crossfold/shared/model/model-file';
import type { Predicts } from '@crossfold/worker/engine/ensemble';
import { lossesOf, meanOutputs } from '@crossfold/worker/engine/ensemble';
import { shapeOf } from './open-predictor.ts';
import type { TestTime } from './test-times.ts';

/** Test-time augmentation: with `flip`, the outputs are the mean of those for a picture and for its mirror image. */
export const asked = (predictor: Predicts, model: TrainedModel, how: TestTime): Predicts =>
  how === 'none' ? predictor : flipped(predictor, model);

function flipped(predictor: Predicts, model: TrainedModel): Predicts {
  const shape = shapeOf(model);
  const predict = (x: Float32Array): Float32Array =>
    meanOutputs([predictor.predict(x), predictor.predict(mirrored(x, shape))]);
  return {
    outputs: predictor.outputs,
    predict,
    evaluate(x, labels) {
      const outputs = predict(x);
      return { outputs, losses: lossesOf(outputs, labels, model.training.loss) };
    },
    dispose: () => predictor.dispose(),
  };
}

/** Pictures with left and right exchanged. @param x [samples, height, width, channels] */
export function mirrored(x: Float32Array, { width, channels }: Pick<ImageShape, 'width' | 'channels'>): Float32Array {
  const out = new Float32Array(x.length);
  for (let pixel = 0; pixel < x.length / channels; pixel++) {
    const column = pixel % width;
    const from = (pixel + width - 1 - 2 * column) * channels;
    for (let c = 0; c < channels; c++) out[pixel * channels + c] = x[from + c] as number;
  }
  return out;
}
