import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { ConfigError } from '@crossfold/shared/errors';
import type { TrainedModel } from '@crossfold/shared/model/model-file';
import { decodeModel } from '@crossfold/shared/model/model-file';
import type { Results } from '@crossfold/shared/results';
import type { CommandContext } from '../cli/context.ts';
import { remoteUrl } from '../cli/options.ts';
import { ask } from '../cli/queries.ts';
import { findRunFolder } from '../cli/run-folder.ts';
import { readRun } from '../results/read-run.ts';
import { modelFile } from '../results/run-folder.ts';
import { bestFold, completedFolds } from '../results/select.ts';

/** Which of an experiment's nets is meant. */
export interface ModelChoice {
  /** Undefined: the best trial. */
  readonly trial?: number | undefined;
  readonly fold: 'best' | 'refit' | number;
}

const maxModelBytes = 2 ** 31;

/**
 * A trained net: of a file (.safetensors of a run's folder, or Keras' .h5), of a run's folder, or of an experiment on a
 * cluster.
 *
 * @throws ConfigError where there is none such
 */
export async function findModel(
  which: string,
  choice: ModelChoice,
  context: Pick<CommandContext, 'env' | 'connect'>,
  nats?: string,
): Promise<TrainedModel> {
  if (nats === undefined && (await isFile(which))) return readModelFile(which);
  const folder = nats === undefined ? findRunFolder(which) : undefined;
  if (folder !== undefined) {
    const { results } = await readRun(folder);
    const { trial, repeat, fold } = chosen(results, choice, which);
    return readModelFile(join(folder, modelFile(trial, repeat, fold, results.split.repeats)));
  }
  if (remoteUrl(nats, context) === undefined)
    throw new ConfigError(
      `there is no model at ${which}: name a run's folder, a .safetensors or .h5 file, or the cluster that has the experiment by --nats URL or CROSSFOLD_NATS_URL`,
    );
  return ask(context, nats, async (client) => {
    const { record, results, models } = await client.outcome(which);
    if (results === undefined)
      throw new ConfigError(
        `${which} has no models yet: it is ${record.state}; \`crossfold watch ${which}\` follows it`,
      );
    const place = chosen(results, choice, which);
    const found = models.find((m) => m.trial === place.trial && m.repeat === place.repeat && m.fold === place.fold);
    if (found === undefined) throw new ConfigError(`${which} has no model of trial ${place.trial}, fold ${place.fold}`);
    return decodeModel(found.bytes, `the model of ${which}`);
  });
}

interface Place {
  readonly trial: number;
  readonly repeat: number;
  readonly fold: number;
}

/** Where the net that is meant lies.
 *
 * @throws ConfigError where there is none such */
export function chosen({ trials, best }: Results, choice: ModelChoice, which: string): Place {
  const number = choice.trial ?? best?.trial;
  const trial = trials.find((t) => t.trial === number);
  if (trial === undefined)
    throw new ConfigError(
      choice.trial === undefined
        ? `${which} has no trial that completed`
        : {
            field: '--trial',
            value: String(choice.trial),
            allowed: `must be one of ${trials.map((t) => t.trial).join(', ')}`,
          },
    );
  const folds = completedFolds(trial);
  const names = [...new Set(folds.map(({ fold }) => fold))].join(', ') || 'none';
  if (choice.fold === 'refit')
    throw new ConfigError({
      field: '--fold',
      value: 'refit',
      allowed: `${which} was not refitted on all its folds; those that it has are ${names}, or best`,
    });
  const fold = choice.fold === 'best' ? bestFold(folds) : folds.find((f) => f.fold === choice.fold);
  if (fold === undefined)
    throw new ConfigError({
      field: '--fold',
      value: String(choice.fold),
      allowed: `must be best or one of those that completed: ${names}`,
    });
  return { trial: trial.trial, repeat: fold.repeat, fold: fold.fold };
}

/** A net of a file: .safetensors of a run's folder, or Keras' .h5. */
export async function readModelFile(file: string): Promise<TrainedModel> {
  // Brings a library that is of no use for other files.
  if (/\.(h5|hdf5|keras)$/i.test(file)) return (await import('@crossfold/worker/keras/h5')).readKerasH5(file);
  try {
    const { size } = await stat(file);
    if (size > maxModelBytes) throw new ConfigError(`${file} has ${size} bytes, more than a model may have`);
    return decodeModel(await readFile(file), file);
  } catch (error) {
    if (error instanceof Error && (error as NodeJS.ErrnoException).code === 'ENOENT')
      throw new ConfigError(`there is no model ${file}`);
    throw error;
  }
}

const isFile = (path: string): Promise<boolean> =>
  stat(path).then(
    (s) => s.isFile(),
    () => false,
  );
