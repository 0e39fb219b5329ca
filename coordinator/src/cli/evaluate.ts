import { printable } from '@crossfold/shared/printable';
import { Option } from 'commander';
import type { DatasetLibrary } from '../datasets/library.ts';
import { evaluationText } from '../models/evaluation-text.ts';
import type { FoldChoice } from '../models/find-model.ts';
import { namesImported } from '../models/labelled.ts';
import type { PartName } from '../models/labelled-pictures.ts';
import { partNames } from '../models/labelled-pictures.ts';
import type { TestTime } from '../models/test-times.ts';
import { withLibraries } from './libraries.ts';
import type { Register } from './options.ts';
import { examples, foldOption, jsonOption, natsOption, testTimeOption, wholeNumber } from './options.ts';
import { showingCounts } from './progress/counts.ts';

interface EvaluateOptions {
  readonly part?: PartName;
  readonly trial?: number;
  readonly fold?: FoldChoice;
  readonly mistakes?: string;
  readonly skipUnusable?: boolean;
  readonly byOrder?: boolean;
  readonly tta: TestTime;
  readonly json?: boolean;
  readonly nats?: string;
}

/** `evaluate MODEL DATASET`: scores of a trained net on a data set. */
export const registerEvaluate: Register = (program, context) => {
  program
    .command('evaluate')
    .summary('score a trained net on a data set')
    .description(
      'Scores a trained net on pictures whose classes are known: accuracy, loss, confusion matrix, precision, recall, F1, ROC AUC, how well its probabilities are calibrated, and its worst mistakes.',
    )
    .argument('<model>', "a run's folder or id, a .safetensors of its models, or Keras' .h5 or .keras")
    .argument(
      '<dataset>',
      'mnist, a folder of pictures (one folder a class), a folder of IDX files, or the name of a data set that was imported',
    )
    .addOption(
      new Option('--part <part>', 'what to score on (default: the test part where there is one, else all)').choices([
        ...partNames,
      ]),
    )
    .option('--trial <n>', 'the trial (default: the best one)', wholeNumber(0))
    .addOption(foldOption({ ensembles: true }))
    .addOption(testTimeOption())
    .option('--by-order', "the data set's classes have other names, and are the net's in the same order")
    .option('--skip-unusable', 'leave out pictures that cannot be used, and list them')
    .option('--mistakes <file>', 'write the worst mistakes as a picture (.png)')
    .addOption(jsonOption())
    .addOption(natsOption())
    .addHelpText(
      'after',
      examples(
        'evaluate runs/cats-dogs-baseline-20260101-120000-1a2b ../shared/data/cats_and_dogs_small',
        'evaluate runs/cats-dogs-tuned-20260101-120000-1a2b ../shared/data/cats_and_dogs_small --tta flip',
        'evaluate cats_and_dogs_small_1.h5 my/pictures --mistakes mistakes.png',
        'evaluate runs/mnist-kfold-20260101-120000-1a2b mnist --json',
        'evaluate runs/pets-20260101-120000-1a2b pets --part validation',
      ),
    )
    .action(async (which: string, dataset: string, options: EvaluateOptions) => {
      const { findModels } = await import('../models/find-model.ts');
      const models = await findModels(which, options, context, options.nats);
      const { asked } = await import('../models/test-time.ts');
      const { evaluateOn } = await import('../models/evaluate-on.ts');
      const { openTogether, shapeOf } = await import('../models/open-predictor.ts');
      const { predictor, model } = await openTogether(models, (notice) => context.err.write(`${notice}\n`));
      const judge = asked(predictor, model, options.tta);
      const score = (libraries: readonly DatasetLibrary[]) =>
        showingCounts(context.err, context.now, async (onProgress) => {
          let said = context.now();
          const { data, ...result } = await evaluateOn(
            judge,
            model,
            dataset,
            options.part,
            (done, total) => {
              const isMilestone = context.now() - said >= 5000;
              if (isMilestone) said = context.now();
              onProgress({ verb: 'evaluated', done, total, things: 'pictures', isMilestone });
            },
            { libraries, skip: options.skipUnusable === true, byOrder: options.byOrder === true },
          );
          if (options.mistakes !== undefined) {
            const { drawMistakes } = await import('../pictures/mistakes.ts');
            await drawMistakes(options.mistakes, result.mistakes, model.classes, shapeOf(model), data);
          }
          return { data, ...result };
        });
      // A cluster is not asked about what lies here.
      const { data, ...result } = await (namesImported(dataset)
        ? withLibraries(context, options.nats, score)
        : score([]));
      if (data.skipped.length > 0) {
        const { listed } = await import('../data/image-source.ts');
        context.err.write(`${printable(`left out ${data.skipped.length} pictures: ${listed(data.skipped)}`)}\n`);
      }
      predictor.dispose();
      const document = {
        model: which,
        dataset: data.name,
        tta: options.tta,
        samples: data.labels.length,
        ...(data.skipped.length === 0 ? {} : { skipped: data.skipped }),
        classes: model.classes,
        ...(result.inOrder === undefined ? {} : { inOrder: result.inOrder }),
        scores: result.scores,
        calibration: result.calibration,
        mistakes: result.mistakes,
      };
      context.out.write(options.json === true ? `${JSON.stringify(document)}\n` : evaluationText(document));
    });
};
