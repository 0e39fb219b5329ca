import type { ImageShape } from '@crossfold/shared/data/manifest';
import { ConfigError } from '@crossfold/shared/errors';
import type { FoldChoice } from '../models/find-model.ts';
import type { Register } from './options.ts';
import { examples, foldOption, jsonOption, natsOption, wholeNumber } from './options.ts';

interface ActivationsOptions {
  readonly out: string;
  readonly trial?: number;
  readonly fold?: FoldChoice;
  readonly nats?: string;
  readonly json?: boolean;
}

/** `inspect activations MODEL IMAGE`: what each layer sees in a picture. */
export const registerActivations: Register = (program, context) => {
  program
    .command('activations')
    .summary('what each layer makes of a picture')
    .description(
      'Draws every channel of every convolution and pooling layer for one picture: what each filter finds in it, before and after pooling.',
    )
    .argument('<model>', "a run's folder or id, a .safetensors of its models, or Keras' .h5 or .keras")
    .argument('<image>', 'a picture (JPEG, PNG, WebP), or mnist:N for the Nth test digit')
    .option('--out <file>', 'the picture to write', 'maps.png')
    .option('--trial <n>', 'the trial (default: the best one)', wholeNumber(0))
    .addOption(foldOption())
    .addOption(natsOption())
    .addOption(jsonOption())
    .addHelpText(
      'after',
      examples(
        'inspect activations runs/cats-dogs-baseline-20260101-120000-1a2b cat.1700.jpg --out maps.png',
        'inspect activations runs/mnist-kfold-20260101-120000-1a2b mnist:7 --out digit.png',
      ),
    )
    .action(async (which: string, image: string, options: ActivationsOptions) => {
      const { findModel } = await import('../models/find-model.ts');
      const model = await findModel(which, options, context, options.nats);
      const { openPredictor, decodingOf, shapeOf } = await import('../models/open-predictor.ts');
      const { readPictures } = await import('../models/labelled.ts');
      const digit = /^mnist:(\d+)$/.exec(image)?.[1];
      const shape = shapeOf(model);
      const pixels =
        digit === undefined
          ? (await readPictures([image], shape, decodingOf(model)))[0]
          : await digitOf(Number(digit), image, shape);
      const { rescaled } = await import('../models/evaluation.ts');
      const predictor = await openPredictor(model, true);
      const activations = predictor.activations(rescaled(pixels ?? new Uint8Array()));
      predictor.dispose();
      const { drawActivations } = await import('../pictures/activations.ts');
      await drawActivations(activations, model.plan.layers).write(options.out, '--out');
      const layers = activations.map(({ layer, shape: size }) => ({ layer, shape: size }));
      const { out, json } = options;
      context.out.write(json === true ? `${JSON.stringify({ out, layers })}\n` : `feature maps: ${out}\n`);
    });
};

async function digitOf(sample: number, given: string, shape: ImageShape): Promise<Uint8Array> {
  const { openLabelled } = await import('../models/labelled.ts');
  const digits = await openLabelled('mnist', 'test', shape, { fit: 'fill', kernel: 'linear', maxPixels: 1 });
  if (sample >= digits.labels.length)
    throw new ConfigError(`${given}: there are ${digits.labels.length} test digits, from mnist:0 on`);
  return digits.read(sample, 1);
}
