import type { Decoding, ImageShape } from '@crossfold/shared/data/manifest';
import type { TrainedModel } from '@crossfold/shared/model/model-file';
import type { Predicts } from '@crossfold/worker/engine/ensemble';
import { Ensemble } from '@crossfold/worker/engine/ensemble';
import { engineNotice, loadEngine } from '@crossfold/worker/engine/load';
import { Predictor } from '@crossfold/worker/engine/predictor';

/**
 * A net ready to predict, on one thread: its numbers are then those that it was trained to.
 *
 * @param quiet for commands, which do nothing else meanwhile: TensorFlow's greeting is kept from stderr
 */
export const openPredictor = async (model: TrainedModel, quiet = false): Promise<Predictor> =>
  new Predictor(await loadEngine({ threads: 1, quiet }), model);

/**
 * Nets ready to answer a command together, by the mean of what they give.
 *
 * @param onNotice told what a user should know of the engine: that it is slow
 * @returns the predictor, and the first of the models: what they all take, and which classes they tell apart
 */
export async function openTogether(
  models: readonly TrainedModel[],
  onNotice: (notice: string) => void = () => undefined,
): Promise<{ readonly predictor: Predicts; readonly model: TrainedModel }> {
  const [model, ...others] = models;
  if (model === undefined) throw new RangeError('there is no net to predict with');
  const loaded = await loadEngine({ threads: 1, quiet: true });
  const notice = engineNotice(loaded.identity.backend);
  if (notice !== undefined) onNotice(notice);
  const predictor = new Predictor(loaded, model);
  if (others.length === 0) return { predictor, model };
  const all = [predictor, ...others.map((other) => new Predictor(loaded, other))];
  return { predictor: new Ensemble(all, model.training.loss), model };
}

/** Size of the pictures that a net takes. */
export function shapeOf({ plan }: TrainedModel): ImageShape {
  const [height = 1, width = 1, channels = 1] = plan.inputShape;
  return { height, width, channels };
}

/** How the net's pictures were decoded; stretched and averaged where it does not say so, as Keras does. */
export const decodingOf = ({ decoding }: TrainedModel): Decoding =>
  decoding ?? { fit: 'fill', kernel: 'linear', maxPixels: 100_000_000 };
