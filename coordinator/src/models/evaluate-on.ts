import { ConfigError } from '@crossfold/shared/errors';
import type { TrainedModel } from '@crossfold/shared/model/model-file';
import type { Predicts } from '@crossfold/worker/engine/ensemble';
import { firstOf } from '../data/image-folder.ts';
import type { DatasetLibrary } from '../datasets/library.ts';
import type { Evaluation } from './evaluation.ts';
import { evaluate } from './evaluation.ts';
import { openLabelled } from './labelled.ts';
import type { Labelled, PartName } from './labelled-pictures.ts';
import { decodingOf, shapeOf } from './open-predictor.ts';

export interface EvaluateSettings {
  /** Where to look for the name of an imported data set. */
  readonly libraries?: readonly DatasetLibrary[];
  /** Leave pictures out that cannot be used. */
  readonly skip?: boolean;
  /** Where names differ: the data set's classes are the net's in the same order. */
  readonly byOrder?: boolean;
}

/**
 * Scores a net on a data set.
 *
 * @param dataset as `openLabelled` takes it
 * @param part undefined: the test part where there is one, else everything
 * @throws ConfigError where there is no such data set, or it is not one for this net
 */
export async function evaluateOn(
  predictor: Predicts,
  model: TrainedModel,
  dataset: string,
  part: PartName | undefined,
  onProgress: (done: number, samples: number) => void,
  { libraries = [], skip = false, byOrder = false }: EvaluateSettings = {},
): Promise<Evaluation & { readonly data: Labelled }> {
  const data = await openLabelled(dataset, part, shapeOf(model), decodingOf(model), libraries, skip);
  const classOf = matchClasses(model.classes, data.classes, data.name, byOrder);
  const result = await evaluate(predictor, data, model.classes.length, classOf, (done) =>
    onProgress(done, data.labels.length),
  );
  const isByName = data.classes.every((name, i) => name === model.classes[classOf[i] ?? -1]);
  return { ...result, ...(isByName ? {} : { inOrder: data.classes }), data };
}

/**
 * The net's class for each of a data set's: the one of the same name. A net whose classes have numbers for names, as a file
 * of Keras' has that names none, takes them in order, as Keras does.
 *
 * @param name of the data set, for messages
 * @param byOrder other names are the net's classes in the same order
 * @throws ConfigError where it has classes that the net does not know
 */
export function matchClasses(
  known: readonly string[],
  has: readonly string[],
  name: string,
  byOrder: boolean,
): number[] {
  const byName = has.map((own) => known.indexOf(own));
  if (!byName.includes(-1)) return byName;
  const isAsMany = has.length === known.length;
  const isUnnamed = known.every((own, i) => own === String(i)) && byName.every((own) => own === -1);
  if (isAsMany && (byOrder || isUnnamed)) return has.map((_, i) => i);
  const unknown = has.filter((_, i) => byName[i] === -1);
  const pairs = has.map((own, i) => `${own} = ${known[i]}`);
  throw new ConfigError(
    `${name} has the classes ${firstOf(has)}, and the net tells ${firstOf(known)} apart: it does not know ${firstOf(unknown)}. ` +
      (isAsMany
        ? `Name the folders as the net's classes are named, or say --by-order if this is what they are: ${firstOf(pairs)}`
        : "Leave out what is of other classes, and name the folders as the net's classes are named"),
  );
}
