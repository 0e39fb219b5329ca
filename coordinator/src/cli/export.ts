import { mkdir } from 'node:fs/promises';
import { dirname } from 'node:path';
import { ConfigError } from '@crossfold/shared/errors';
import type { TrainedModel } from '@crossfold/shared/model/model-file';
import { Option } from 'commander';
import { findModel } from '../models/find-model.ts';
import type { Register } from './options.ts';
import { examples, foldOption, natsOption, wholeNumber } from './options.ts';

const formats = ['h5', 'tfjs', 'savedmodel'] as const;
type Format = (typeof formats)[number];

interface ExportOptions {
  readonly format: Format;
  readonly trial?: number;
  readonly fold: 'best' | 'refit' | number;
  readonly out: string;
  readonly nats?: string;
}

/** `export ID|DIR`: a trained net in the format of another library. */
export const registerExport: Register = (program, context) => {
  program
    .command('export')
    .summary('write a trained net for Keras or TensorFlow')
    .description(
      'Writes a net of a finished experiment for another library: h5 is for Keras (load_model, 2 and 3), tfjs for TensorFlow.js (loadLayersModel), savedmodel for TensorFlow and its servers.',
    )
    .argument('<id|folder>', "the experiment's id, its run's folder, or a .safetensors or .h5 file")
    .addOption(new Option('--format <format>', 'what to write').choices([...formats]).makeOptionMandatory())
    .option('--trial <n>', 'the trial (default: the best one)', wholeNumber(0))
    .addOption(foldOption())
    .requiredOption('--out <path>', 'the file to write (h5), or the folder (tfjs, savedmodel)')
    .addOption(natsOption())
    .addHelpText(
      'after',
      examples(
        'export runs/cats-dogs-baseline-20260101-120000-1a2b --format h5 --out cats_and_dogs_small_1.h5',
        'export runs/mnist-kfold-20260101-120000-1a2b --format tfjs --fold 2 --out web/digits',
      ),
    )
    .action(async (which: string, { format, trial, fold, out, nats }: ExportOptions) => {
      const model = await findModel(which, { trial, fold }, context, nats);
      await write(format, out, model);
      context.out.write(`${format}: ${out}\n`);
    });
};

async function write(format: Format, out: string, model: TrainedModel): Promise<void> {
  try {
    await mkdir(dirname(out), { recursive: true });
    // Each of these brings a library that the other commands do without.
    if (format === 'h5') return await (await import('@crossfold/worker/keras/h5')).writeKerasH5(out, model);
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
