import type { Decoding, ImageShape } from '@crossfold/shared/data/manifest';
import type { TrainedModel } from '@crossfold/shared/model/model-file';
import { loadEngine } from '@crossfold/worker/engine/load';
import { Predictor } from '@crossfold/worker/engine/predictor';

/** A net ready to predict, on one thread: its numbers are then those that it was trained to. */
export const openPredictor = async (model: TrainedModel): Promise<Predictor> =>
  new Predictor(await loadEngine({ threads: 1 }), model);

/** Size of the pictures that a net takes. */
export function shapeOf({ plan }: TrainedModel): ImageShape {
  const [height = 1, width = 1, channels = 1] = plan.inputShape;
  return { height, width, channels };
}

/** How the net's pictures were decoded; stretched and averaged where it does not say so, as Keras does. */
export const decodingOf = ({ decoding }: TrainedModel): Decoding =>
  decoding ?? { fit: 'fill', kernel: 'linear', maxPixels: 100_000_000 };
