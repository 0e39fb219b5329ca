import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { ConfigError } from '@crossfold/shared/errors';
import type { FoldChoice } from '../models/find-model.ts';
import type { Prediction } from '../models/predictions.ts';
import type { TestTime } from '../models/test-times.ts';
import type { Register } from './options.ts';
import { examples, foldOption, jsonOption, natsOption, testTimeOption, wholeNumber } from './options.ts';

interface PredictOptions {
  readonly trial?: number;
  readonly fold?: FoldChoice;
  readonly tta: TestTime;
  readonly json?: boolean;
  readonly nats?: string;
}

/** `predict MODEL IMAGE...`: what a trained net takes pictures for. */
export const registerPredict: Register = (program, context) => {
  program
    .command('predict')
    .summary('ask a trained net what pictures show')
    .description('Says which class a trained net takes each picture for, and how sure it is.')
    .argument('<model>', "a run's folder or id, a .safetensors of its models, or Keras' .h5 or .keras")
    .argument('<image...>', 'pictures (JPEG, PNG, WebP), or folders of them')
    .option('--trial <n>', 'the trial (default: the best one)', wholeNumber(0))
    .addOption(foldOption({ ensembles: true }))
    .addOption(testTimeOption())
    .addOption(jsonOption())
    .addOption(natsOption())
    .addHelpText(
      'after',
      examples(
        'predict runs/cats-dogs-augmented-20260101-120000-1a2b my-cat.jpg my-dog.jpg',
        'predict cats_and_dogs_small_1.h5 pictures/ --json',
      ),
    )
    .action(async (which: string, images: readonly string[], options: PredictOptions) => {
      const { findModels } = await import('../models/find-model.ts');
      const models = await findModels(which, options, context, options.nats);
      const files = await filesOf(images);
      const { openTogether } = await import('../models/open-predictor.ts');
      const { asked } = await import('../models/test-time.ts');
      const { predictFiles } = await import('../models/predictions.ts');
      const { predictor, model } = await openTogether(models);
      const predictions = await predictFiles(asked(predictor, model, options.tta), model, files);
      predictor.dispose();
      context.out.write(
        options.json === true
          ? `${JSON.stringify({ model: which, classes: model.classes, predictions })}\n`
          : predictionsText(predictions),
      );
    });
};

function predictionsText(predictions: readonly Prediction[]): string {
  const width = Math.max(...predictions.map(({ image }) => image.length));
  const most = Math.max(...predictions.map((prediction) => prediction.class.length));
  return predictions
    .map(
      (p) => `${p.image.padEnd(width)}  ${p.class.padEnd(most)}  ${(100 * p.probability).toFixed(2).padStart(6)} %\n`,
    )
    .join('');
}

/** The pictures that are meant: of folders, those that lie in them. */
async function filesOf(images: readonly string[]): Promise<string[]> {
  const { hasImageEnding } = await import('@crossfold/worker/data/decode-image');
  const files: string[] = [];
  for (const image of images) {
    const isFolder = await stat(image).then(
      (s) => s.isDirectory(),
      () => false,
    );
    if (!isFolder) {
      files.push(image);
      continue;
    }
    const inside = (await readdir(image)).filter(hasImageEnding).sort();
    if (inside.length === 0) throw new ConfigError(`${image} holds no pictures (JPEG, PNG or WebP)`);
    files.push(...inside.map((name) => join(image, name)));
  }
  return files;
}
