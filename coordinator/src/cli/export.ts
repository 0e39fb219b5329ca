import { Option } from 'commander';
import type { FoldChoice } from '../models/find-model.ts';
import { findModel } from '../models/find-model.ts';
import type { ModelFormat } from '../models/write-model.ts';
import { lostIn, modelFormats, writeModel } from '../models/write-model.ts';
import type { Register } from './options.ts';
import { examples, foldOption, jsonOption, natsOption, wholeNumber } from './options.ts';

interface ExportOptions {
  readonly format: ModelFormat;
  readonly trial?: number;
  readonly fold?: FoldChoice;
  readonly out: string;
  readonly nats?: string;
  readonly json?: boolean;
}

/** `export ID|DIR`: a trained net in the format of another library. */
export const registerExport: Register = (program, context) => {
  program
    .command('export')
    .summary('write a trained net for Keras or TensorFlow')
    .description(
      'Writes a net of a finished experiment for another library: h5 is for Keras (load_model, 2 and 3), keras for Keras 3, tfjs for TensorFlow.js (loadLayersModel), savedmodel for TensorFlow and its servers.',
    )
    .argument('<id|folder>', "the experiment's id, its run's folder, or a .safetensors, .h5 or .keras file")
    .addOption(new Option('--format <format>', 'what to write').choices([...modelFormats]).makeOptionMandatory())
    .option('--trial <n>', 'the trial (default: the best one)', wholeNumber(0))
    .addOption(foldOption())
    .requiredOption('--out <path>', 'the file to write (h5, keras), or the folder (tfjs, savedmodel)')
    .addOption(natsOption())
    .addOption(jsonOption())
    .addHelpText(
      'after',
      examples(
        'export runs/cats-dogs-baseline-20260101-120000-1a2b --format h5 --out cats_and_dogs_small_1.h5',
        'export runs/cats-dogs-baseline-20260101-120000-1a2b --format keras --out cats_and_dogs_small_1.keras',
        'export runs/mnist-kfold-20260101-120000-1a2b --format tfjs --fold 2 --out web/digits',
      ),
    )
    .action(async (which: string, { format, trial, fold, out, nats, json }: ExportOptions) => {
      const model = await findModel(which, { trial, fold }, context, nats);
      await writeModel(format, out, model);
      const lost = lostIn(format, model);
      if (lost !== undefined) context.err.write(`${format}: ${lost}\n`);
      context.out.write(json === true ? `${JSON.stringify({ format, out })}\n` : `${format}: ${out}\n`);
    });
};
