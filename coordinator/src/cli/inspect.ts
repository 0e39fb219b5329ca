import { registerActivations } from './inspect-activations.ts';
import { registerAugment } from './inspect-augment.ts';
import { registerSummary } from './inspect-summary.ts';
import type { Register } from './options.ts';
import { examples } from './options.ts';

/** `inspect WHAT`: looks into nets and data without training anything. */
export const registerInspect: Register = (program, context, end) => {
  const inspect = program
    .command('inspect')
    .summary('look into a net')
    .description('Looks into a net or its data, without training anything.')
    .addHelpText(
      'after',
      examples(
        'inspect summary examples/mnist-kfold.yaml',
        'inspect activations cats_and_dogs_small_1.h5 cat.1700.jpg --out maps.png',
        'inspect augment examples/cats-dogs-augmented.yaml --image 5 --out preview.png',
      ),
    );
  registerSummary(inspect, context, end);
  registerActivations(inspect, context, end);
  registerAugment(inspect, context, end);
};
