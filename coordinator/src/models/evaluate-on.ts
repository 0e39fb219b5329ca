import { ConfigError } from '@crossfold/shared/errors';
import type { TrainedModel } from '@crossfold/shared/model/model-file';
import type { Predicts } from '@crossfold/worker/engine/ensemble';
import type { DatasetLibrary } from '../datasets/library.ts';
import type { Evaluation } from './evaluation.ts';
import { evaluate } from './evaluation.ts';
import type { Labelled, PartName } from './labelled.ts';
import { openLabelled } from './labelled.ts';
import { decodingOf, shapeOf } from './open-predictor.ts';

/**
 * Scores a net on a data set.
 *
 * @param dataset as `openLabelled` takes it
 * @param libraries where to look for the name of an imported one
 * @param part undefined: the test part where there is one, else everything
 * @param skip leave pictures out that cannot be used
 * @throws ConfigError where there is no such data set, or it is not one for this net
 */
export async function evaluateOn(
  predictor: Predicts,
  model: TrainedModel,
  dataset: string,
  part: PartName | undefined,
  onProgress: (done: number, samples: number) => void,
  libraries: readonly DatasetLibrary[] = [],
  skip = false,
): Promise<Evaluation & { readonly data: Labelled }> {
  const data = await openLabelled(dataset, part, shapeOf(model), decodingOf(model), libraries, skip);
  const result = await evaluate(predictor, data, model.classes.length, matchClasses(model, data), (done) =>
    onProgress(done, data.labels.length),
  );
  return { ...result, data };
}

/** The net's class for each of the data set's: by name where the names are the same, else by number. */
function matchClasses(model: TrainedModel, data: Labelled): number[] {
  const byName = data.classes.map((name) => model.classes.indexOf(name));
  if (!byName.includes(-1)) return byName;
  if (data.classes.length === model.classes.length) return data.classes.map((_, i) => i);
  throw new ConfigError(
    `${data.name} has the classes ${data.classes.join(', ')}, and the net tells ${model.classes.join(', ')} apart`,
  );
}
