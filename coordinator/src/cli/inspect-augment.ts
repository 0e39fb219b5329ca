import { existsSync, statSync } from 'node:fs';
import { join, normalize, resolve } from 'node:path';
import { AugmentSpec } from '@crossfold/shared/config/augment';
import type { DatasetSpec } from '@crossfold/shared/config/dataset';
import { ConfigError } from '@crossfold/shared/errors';
import { loadExperiment } from '../config/load.ts';
import type { Register } from './options.ts';
import { examples, jsonOption, setOption, wholeNumber } from './options.ts';

interface AugmentOptions {
  readonly json?: boolean;
  readonly image: string;
  readonly count: number;
  readonly out: string;
  readonly set: readonly string[];
}

/** What is shown for a folder: the notebook's settings. */
const notebook = { rotation: 40, widthShift: 0.2, heightShift: 0.2, shear: 0.2, zoom: 0.2, horizontalFlip: true };

/** `inspect augment DATASET`: a picture, varied. */
export const registerAugment: Register = (program, context) => {
  program
    .command('augment')
    .summary('what augmentation makes of a picture')
    .description(
      'Draws a picture of a data set as training would vary it: of an experiment with its own augment and seed, of a folder as the notebook does.',
    )
    .argument('<dataset>', 'an experiment file, or a folder of pictures')
    .option(
      '--image <image>',
      "number of the picture in the data set's order (those to test on last), or its file: its path in the folder, or from here",
      '0',
    )
    .option('--count <n>', 'how many pictures to draw beside the original', wholeNumber(1, 100), 4)
    .option('--out <file>', 'the picture to write', 'preview.png')
    .addOption(setOption())
    .addOption(jsonOption())
    .addHelpText(
      'after',
      examples(
        'inspect augment examples/cats-dogs-augmented.yaml --image train/cats/cat.5.jpg --count 4 --out preview.png',
        'inspect augment ../shared/data/cats_and_dogs_small --image 12',
        'inspect augment examples/cats-dogs-augmented.yaml --set augment.rotation=90',
      ),
    )
    .action(async (which: string, options: AugmentOptions) => {
      const { augment, dataset, folder, seed } = await settings(which, options.set);
      const { scanImageFolder } = await import('../data/image-folder.ts');
      const { readPictures } = await import('../models/labelled.ts');
      const { train, test } = await scanImageFolder(folder, which);
      const all = [...train, ...(test ?? [])];
      const isNamed = ({ path }: { readonly path: string }): boolean =>
        path === normalize(options.image) || join(resolve(folder), path) === resolve(options.image);
      const sample = /^\d+$/.test(options.image) ? Number(options.image) : all.findIndex(isNamed);
      const file = all[sample];
      if (file === undefined)
        throw new ConfigError({
          field: '--image',
          value: options.image,
          allowed: `must be one of the ${all.length} pictures of ${folder}: the path of its file, there or from here, as in ${all[0]?.path}, or its number from 0 to ${all.length - 1}`,
        });
      const shape = dataset.image ?? { height: 150, width: 150, channels: 3 };
      const decoding = dataset.image ?? { fit: 'fill', kernel: 'linear', maxPixels: 100_000_000 };
      const [pixels] = await readPictures([join(folder, file.path)], shape, decoding);
      if (pixels === undefined) throw new Error('a picture was read, and is not there');
      const { variedPictures } = await import('../models/varied.ts');
      const varied = variedPictures(pixels, shape, augment, { seed, sample, count: options.count }).map(
        (picture, pass) => ({ pixels: picture, lines: [`pass ${pass + 1}`] }),
      );
      const { drawSheet } = await import('../pictures/sheet.ts');
      const name = file.path.split('/').at(-1) ?? file.path;
      const sheet = drawSheet([{ pixels, lines: [name] }, ...varied], shape, 5);
      await sheet.write(options.out, '--out');
      const { out, count, json } = options;
      const document = { image: file.path, count, out };
      context.out.write(json === true ? `${JSON.stringify(document)}\n` : `${count} of ${file.path}: ${out}\n`);
    });
};

interface Settings {
  readonly augment: AugmentSpec;
  readonly dataset: DatasetSpec;
  readonly folder: string;
  readonly seed: number;
}

async function settings(which: string, sets: readonly string[]): Promise<Settings> {
  if (existsSync(which) && statSync(which).isDirectory()) {
    if (sets.length > 0) throw new ConfigError('--set is for experiment files; this is a folder');
    return { augment: AugmentSpec.parse(notebook), dataset: { path: which }, folder: which, seed: 42 };
  }
  const { experiment, baseDir } = await loadExperiment(which, sets);
  const { augment, dataset, seed } = experiment;
  if (dataset.path === undefined || dataset.image === undefined)
    throw new ConfigError({
      field: 'dataset',
      allowed: `must be a folder of pictures to be shown varied, in ${which}`,
    });
  if (augment === undefined)
    throw new ConfigError({ field: 'augment', allowed: `is missing in ${which}: its pictures are taken as they are` });
  return { augment, dataset, folder: resolve(baseDir, dataset.path), seed };
}
