import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { ConfigError, DamagedDataError } from '@crossfold/shared/errors';
import type { TrainedModel } from '@crossfold/shared/model/model-file';
import { decodeModel } from '@crossfold/shared/model/model-file';
import type { CompletedFold, Results } from '@crossfold/shared/results';
import type { CommandContext } from '../cli/context.ts';
import { findRunFolder } from '../cli/run-folder.ts';
import { ask, remoteUrl } from '../client/ask.ts';
import type { Outcome } from '../client/types.ts';
import { readWhole } from '../read-file.ts';
import { outerFoldsOf } from '../results/nested.ts';
import { readRun } from '../results/read-run.ts';
import { modelFile } from '../results/run-folder.ts';
import { bestFold, completedFolds } from '../results/select.ts';

/** Which of an experiment's nets is meant; `ensemble`: those of all folds of a trial together. */
export interface ModelChoice {
  /** Undefined: the best trial. */
  readonly trial?: number | undefined;
  /** Undefined: what the experiment was asked to leave in the end, see `final` in its file; the best fold's as a rule. */
  readonly fold?: FoldChoice | undefined;
}
export type FoldChoice = 'best' | 'refit' | 'ensemble' | number;

const maxModelBytes = 2 ** 31;

/**
 * A trained net: of a file (.safetensors of a run's folder, or Keras' .h5 or .keras), of a run's folder, or of an
 * experiment on a cluster.
 *
 * @throws ConfigError where there is none such, or it is several
 */
export async function findModel(
  which: string,
  choice: ModelChoice,
  context: Pick<CommandContext, 'env' | 'connect'>,
  nats?: string,
): Promise<TrainedModel> {
  const [model, another] = await findModels(which, choice, context, nats, (results) => [
    chosen(results, choice, which),
  ]);
  if (model === undefined || another !== undefined) throw new Error('one net is chosen');
  return model;
}

/**
 * Trained nets that answer together: one, as `findModel`, or those of an ensemble.
 *
 * @throws ConfigError where there are none such
 */
export async function findModels(
  which: string,
  choice: ModelChoice,
  context: Pick<CommandContext, 'env' | 'connect'>,
  nats?: string,
  choose: (results: Results) => readonly Place[] = (results) => chosenNets(results, choice, which),
): Promise<readonly TrainedModel[]> {
  if (await isFile(which)) return [await readModelFile(which)];
  // A cluster that is named has what is meant by an id; a path leads here all the same.
  const folder = nats === undefined || which.includes('/') ? findRunFolder(which) : undefined;
  if (folder !== undefined) {
    const { results } = await readRun(folder);
    const files = choose(results).map(({ trial, repeat, fold }) =>
      join(folder, modelFile(trial, repeat, fold, results.split.repeats)),
    );
    return Promise.all(files.map(readModelFile));
  }
  if (remoteUrl(nats, context) === undefined)
    throw new ConfigError(
      `there is no model at ${which}: name a run's folder, a .safetensors, .h5 or .keras file, or the cluster that has the experiment by --nats URL or CROSSFOLD_NATS_URL`,
    );
  return ask(context, nats, async (client) => {
    const { record, results, models } = await client.outcome(which);
    if (results === undefined)
      throw new ConfigError(
        `${which} has no models yet: it is ${record.state}; \`crossfold watch ${which}\` follows it`,
      );
    return choose(results).map((place) => modelAt(models, place, which));
  });
}

/** @throws ConfigError where it is not among the models of an experiment that were kept */
export function modelAt(models: Outcome['models'], { trial, repeat, fold }: Place, which: string): TrainedModel {
  const found = models.find((m) => m.trial === trial && m.repeat === repeat && m.fold === fold);
  if (found === undefined) {
    const kept = models.slice(0, 8).map((m) => `trial ${m.trial}, fold ${m.fold}`);
    const more = models.length > kept.length ? `, and ${models.length - kept.length} more` : '';
    throw new ConfigError(
      `${which} has no model of trial ${trial}, fold ${fold}; there are those of: ${kept.join('; ') || 'none'}${more}`,
    );
  }
  return decodeModel(found.bytes, `the model of ${which}`);
}

export interface Place {
  readonly trial: number;
  readonly repeat: number;
  readonly fold: number | 'refit';
}

/**
 * Where the net that is meant lies.
 *
 * @throws ConfigError where there is none such, or it is several
 */
export function chosen(results: Results, choice: ModelChoice, which: string): Place {
  if (choice.fold === 'ensemble')
    throw wrongFold(
      'ensemble',
      "is the nets of all folds together, and one is wanted: best, refit, or a fold's number",
    );
  const isTogether = choice.fold === undefined && results.final?.of === 'ensemble';
  const [net] = chosenNets(results, isTogether ? { ...choice, fold: 'best' } : choice, which);
  if (net === undefined) throw new Error('a net is chosen, or it is said why not');
  return net;
}

/**
 * Where the nets lie that are meant to answer together: one, or those of an ensemble.
 *
 * @throws ConfigError where there are none such
 */
export function chosenNets(
  { trials, best, final, nested }: Results,
  choice: ModelChoice,
  which: string,
): readonly Place[] {
  const kind = choice.fold ?? defaultFold(final, choice.trial);
  const number =
    choice.trial ?? (kind === 'refit' || choice.fold === undefined ? final?.trial : undefined) ?? best?.trial;
  const trial = trials.find((t) => t.trial === number);
  if (trial === undefined)
    throw new ConfigError(
      choice.trial === undefined
        ? `${which} has no trial that completed; \`crossfold report ${which}\` shows what became of them`
        : {
            field: '--trial',
            value: String(choice.trial),
            allowed: `must be one of ${trials.map((t) => t.trial).join(', ')}`,
          },
    );
  const place = ({ repeat, fold }: CompletedFold): Place => ({ trial: trial.trial, repeat, fold });
  const folds = completedFolds(trial);
  if (kind === 'refit') {
    if (final?.of === 'refit' && final.trial === trial.trial) return [{ trial: trial.trial, repeat: 0, fold: 'refit' }];
    throw wrongFold(
      kind,
      `trial ${trial.trial} of ${which} was not trained anew on all samples (final: refit in its file does that); the folds that it has are ${namesOf(folds)}, or best`,
    );
  }
  if (kind === 'ensemble' && folds.length > 0) return outerFoldsOf(trial, nested).map(place);
  const fold = typeof kind === 'number' ? folds.find((f) => f.fold === kind) : bestFold(folds);
  if (fold === undefined)
    throw wrongFold(String(kind), `must be best or one of those that completed: ${namesOf(folds)}`);
  return [place(fold)];
}

/** What is meant where nothing is said: what is left of the experiment in the end. */
const defaultFold = (final: Results['final'], trial: number | undefined): FoldChoice =>
  final === undefined || (trial !== undefined && trial !== final.trial) ? 'best' : final.of;

const wrongFold = (value: string, allowed: string): ConfigError => new ConfigError({ field: '--fold', value, allowed });

const namesOf = (folds: readonly { readonly fold: number | 'refit' }[]): string =>
  [...new Set(folds.map(({ fold }) => fold))].join(', ') || 'none';

/** A net of a file: .safetensors of a run's folder, or Keras' .h5 or .keras. */
export async function readModelFile(file: string): Promise<TrainedModel> {
  try {
    // These bring libraries that are of no use for other files.
    if (/\.(h5|hdf5)$/i.test(file)) return await (await import('@crossfold/worker/keras/h5')).readKerasH5(file);
    if (/\.keras$/i.test(file)) return await (await import('@crossfold/worker/keras/archive')).readKerasArchive(file);
    const bytes = await readWhole(file, maxModelBytes, (why) => new ConfigError(`the model ${file}: ${why}`));
    return decodeModel(bytes, file);
  } catch (error) {
    // It is the user who has named it: another file is what helps.
    if (error instanceof DamagedDataError) throw new ConfigError(error.message);
    throw error;
  }
}

const isFile = (path: string): Promise<boolean> =>
  stat(path).then(
    (s) => s.isFile(),
    () => false,
  );
