import { existsSync } from 'node:fs';
import type { ModelSpec } from '@crossfold/shared/config/model';
import { Preset } from '@crossfold/shared/config/model';
import type { Loss } from '@crossfold/shared/config/training';
import type { ImageShape } from '@crossfold/shared/data/manifest';
import { ConfigError } from '@crossfold/shared/errors';
import { planModel } from '@crossfold/shared/model/plan';
import { InvalidArgumentError, Option } from 'commander';
import type { LoadedExperiment } from '../config/load.ts';
import { loadExperiment } from '../config/load.ts';
import { type DatasetShape, mnistShape } from '../data/dataset-shape.ts';
import { describeDataset } from '../data/describe.ts';
import { located } from '../data/preflight.ts';
import { formatModelTable, modelDocument } from '../results/model-table.ts';
import type { Register } from './options.ts';
import { examples, jsonOption, setOption, wholeNumber } from './options.ts';

interface SummaryOptions {
  readonly image?: ImageShape;
  readonly classes?: number;
  readonly set: readonly string[];
  readonly json?: boolean;
}

interface Net extends DatasetShape {
  readonly model: ModelSpec;
  readonly loss: Loss;
  /** Where a field stands that is wrong. */
  readonly at: LoadedExperiment['at'];
}

/** `inspect summary FILE|PRESET`: the layers of a net. */
export const registerSummary: Register = (program, context) => {
  program
    .command('summary')
    .summary('the layers of a net: shapes and parameters')
    .description(
      `Shows the layers of an experiment's net, or of one that is built in (${Preset.options.join(', ')}): what comes out of each, and how many parameters it has.`,
    )
    .argument('<file|preset>', 'an experiment file, or the name of a net that is built in')
    .addOption(
      new Option('--image <shape>', "height x width x channels of the images (default: the data set's)").argParser(
        imageShape,
      ),
    )
    .addOption(
      new Option('--classes <n>', "number of classes (default: the data set's)").argParser(wholeNumber(2, 65_536)),
    )
    .addOption(setOption())
    .addOption(jsonOption())
    .addHelpText(
      'after',
      examples(
        'inspect summary examples/mnist-kfold.yaml',
        'inspect summary cats-dogs-baseline --image 64x64x3',
        'inspect summary mnist-convnet --json',
      ),
    )
    .action(async (what: string, options: SummaryOptions) => {
      const { model, image, classes, loss, at } = await netOf(what, options);
      const plan = await located(at, async () => planModel(model, image, classes, loss));
      context.out.write(
        options.json === true ? `${JSON.stringify(modelDocument(plan))}\n` : `${formatModelTable(plan)}\n`,
      );
    });
};

async function netOf(what: string, { image, classes, set }: SummaryOptions): Promise<Net> {
  const preset = Preset.safeParse(what);
  if (preset.success && !existsSync(what)) {
    if (set.length > 0) throw new ConfigError(`--set is for experiment files, and ${what} is a net that is built in`);
    const usual = madeFor[preset.data];
    return {
      model: { preset: preset.data },
      loss: usual.loss,
      image: image ?? usual.image,
      classes: classes ?? usual.classes,
      at: () => ({}),
    };
  }
  if (!existsSync(what) && !/[./\\]/.test(what))
    throw new ConfigError(`${what}: neither a file nor a net that is built in; those are ${Preset.options.join(', ')}`);
  const { experiment, baseDir, at } = await loadExperiment(what, set);
  const { model, training, dataset } = experiment;
  if (image !== undefined && classes !== undefined) return { model, loss: training.loss, image, classes, at };
  const shape = await describeDataset(dataset, baseDir).catch((error: unknown) => {
    if (!(error instanceof ConfigError)) throw error;
    throw new ConfigError(`${error.message}; without the data set, give --image and --classes`);
  });
  return { model, loss: training.loss, image: image ?? shape.image, classes: classes ?? shape.classes, at };
}

/** What the nets that are built in are for. */
const madeFor: Readonly<Record<Preset, DatasetShape & { readonly loss: Loss }>> = {
  'mnist-convnet': { ...mnistShape, loss: 'categoricalCrossentropy' },
  'cats-dogs-baseline': photos(),
  'cats-dogs-augmented': photos(),
  'cats-dogs-tuned': photos(),
};

function photos(): DatasetShape & { readonly loss: Loss } {
  return { image: { height: 150, width: 150, channels: 3 }, classes: 2, loss: 'binaryCrossentropy' };
}

function imageShape(text: string): ImageShape {
  const [height = 0, width = 0, channels = 0, ...more] = text
    .split('x')
    .map((part) => (/^\d+$/.test(part) ? Number(part) : 0));
  if (more.length > 0 || height < 1 || width < 1 || channels < 1 || channels > 4 || Math.max(height, width) > 16_384)
    throw new InvalidArgumentError('It must be height x width x channels, as in 150x150x3.');
  return { height, width, channels };
}
