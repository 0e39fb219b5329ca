import { printable } from '@crossfold/shared/printable';
import type { FoldChoice } from '../models/find-model.ts';
import type { Prediction } from '../models/predictions.ts';
import type { TestTime } from '../models/test-times.ts';
import { count, percent, whole } from '../results/text.ts';
import type { Register } from './options.ts';
import { examples, foldOption, jsonOption, natsOption, testTimeOption, wholeNumber } from './options.ts';

interface PredictOptions {
  readonly trial?: number;
  readonly fold?: FoldChoice;
  readonly tta: TestTime;
  readonly skipUnusable?: boolean;
  readonly json?: boolean;
  readonly nats?: string;
}

/** `predict MODEL IMAGE...`: what a trained net takes pictures for. */
export const registerPredict: Register = (program, context) => {
  program
    .command('predict')
    .summary('ask a trained net what pictures show')
    .description(
      'Says which class a trained net takes each picture for, and how sure it is; of pictures in folders that are named as classes, how many it is right about.',
    )
    .argument('<model>', "a run's folder or id, a .safetensors of its models, or Keras' .h5 or .keras")
    .argument('<image...>', 'pictures (JPEG, PNG, WebP), or folders of them, at any depth')
    .option('--trial <n>', 'the trial (default: the best one)', wholeNumber(0))
    .addOption(foldOption({ ensembles: true }))
    .addOption(testTimeOption())
    .option('--skip-unusable', 'leave out files that cannot be used, and list them')
    .addOption(jsonOption())
    .addOption(natsOption())
    .addHelpText(
      'after',
      examples(
        'predict runs/cats-dogs-augmented-20260101-120000-1a2b my-cat.jpg my-dog.jpg',
        'predict cats_and_dogs_small_1.h5 pictures/ --json',
        'predict cats_and_dogs_small_1.h5 ../shared/data/cats_and_dogs_small/test',
      ),
    )
    .action(async (which: string, images: readonly string[], options: PredictOptions) => {
      const { findModels } = await import('../models/find-model.ts');
      const models = await findModels(which, options, context, options.nats);
      const { pictureFiles } = await import('../models/picture-files.ts');
      const files = await pictureFiles(images);
      const { openTogether } = await import('../models/open-predictor.ts');
      const { asked } = await import('../models/test-time.ts');
      const { predictFiles } = await import('../models/predictions.ts');
      const { listed } = await import('../data/image-source.ts');
      const { predictor, model } = await openTogether(models, (notice) => context.err.write(`${notice}\n`));
      const folders = new Map(files.map((file) => [file.path, file.folders]));
      let skipped: readonly string[] = [];
      const leaveOut = (problems: readonly string[]): void => {
        skipped = problems;
        context.err.write(`${printable(`left out ${count(problems.length, 'file')}: ${listed(problems)}`)}\n`);
      };
      const judged = await predictFiles(
        asked(predictor, model, options.tta),
        model,
        files.map(({ path }) => path),
        options.skipUnusable === true ? leaveOut : undefined,
      );
      predictor.dispose();
      const predictions = judged.map((prediction): Judged => {
        const label = folders
          .get(prediction.image)
          ?.map((name) => name.normalize('NFC'))
          .find((name) => model.classes.includes(name));
        return label === undefined ? prediction : { ...prediction, label };
      });
      context.out.write(
        options.json === true
          ? `${JSON.stringify({ model: which, classes: model.classes, predictions, labelled: rightOf(predictions), ...(skipped.length === 0 ? {} : { skipped }) })}\n`
          : predictionsText(predictions),
      );
    });
};

/** A prediction of a picture that lies in the folder of a class. */
type Judged = Prediction & { readonly label?: string };

function predictionsText(predictions: readonly Judged[]): string {
  const width = Math.max(...predictions.map(({ image }) => image.length));
  const most = Math.max(...predictions.map((prediction) => prediction.class.length));
  const lines = predictions.map(({ image, class: name, probability, label }) => {
    const wrong = label === undefined || label === name ? '' : `  lies in ${label}/`;
    return `${image.padEnd(width)}  ${name.padEnd(most)}  ${(100 * probability).toFixed(2).padStart(6)} %${wrong}\n`;
  });
  const score = rightOf(predictions);
  if (score === undefined) return lines.join('');
  const { right, of } = score;
  return `${lines.join('')}\nin the folders of its classes: ${whole(right)} of ${count(of, 'picture')} right, ${percent(right / of)}\n`;
}

/** How many predictions are right of those whose pictures lie in the folders of classes; undefined: none does. */
function rightOf(predictions: readonly Judged[]): { readonly right: number; readonly of: number } | undefined {
  const labelled = predictions.filter(({ label }) => label !== undefined);
  if (labelled.length === 0) return undefined;
  return { right: labelled.filter((own) => own.class === own.label).length, of: labelled.length };
}
