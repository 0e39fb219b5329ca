import { dirname } from 'node:path';
import { ConfigError } from '@crossfold/shared/errors';
import { makeFolder } from '@crossfold/shared/make-folder';
import type { TrainedModel } from '@crossfold/shared/model/model-file';

export const modelFormats = ['h5', 'keras', 'tfjs', 'savedmodel'] as const;
export type ModelFormat = (typeof modelFormats)[number];

/** What of a net's optimizer a format has no place for, in a sentence that names one that has; undefined: nothing. */
export function lostIn(format: ModelFormat, { training }: TrainedModel): string | undefined {
  // TensorFlow's has no optimizer at all, and is not for training.
  if (format !== 'h5' && format !== 'tfjs') return undefined;
  const { optimizer, average } = training;
  const lost = [
    ...(optimizer.name === 'adamw'
      ? [`AdamW is written as Adam, without its weight decay of ${optimizer.weightDecay}`]
      : []),
    ...(average === undefined
      ? []
      : [`the average of weights (momentum ${average.momentum}) is left out of its settings`]),
  ];
  if (lost.length === 0) return undefined;
  return `${lost.join(', and ')}, since Keras 2 opens no file that has such settings; predictions are the same, and --format keras keeps them`;
}

/**
 * Writes a net for another library.
 *
 * @param out the file (h5, keras), or the folder (tfjs, savedmodel)
 * @throws ConfigError where it cannot be written
 */
export async function writeModel(format: ModelFormat, out: string, model: TrainedModel): Promise<void> {
  try {
    await makeFolder(dirname(out));
    // Each of these brings a library that the other commands do without.
    if (format === 'h5') return await (await import('@crossfold/worker/keras/h5')).writeKerasH5(out, model);
    if (format === 'keras')
      return await (await import('@crossfold/worker/keras/archive')).writeKerasArchive(out, model);
    if (format === 'tfjs') return await (await import('@crossfold/worker/export/tfjs')).writeTfjs(out, model);
    return await (await import('@crossfold/worker/export/saved-model')).writeSavedModel(out, model);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === undefined || error instanceof ConfigError) throw error;
    throw new ConfigError({
      field: '--out',
      value: out,
      allowed: code === 'EISDIR' ? 'is a folder' : `cannot be written (${code})`,
    });
  }
}
