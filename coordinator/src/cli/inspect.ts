import { registerSummary } from './inspect-summary.ts';
import type { Register } from './options.ts';
import { examples } from './options.ts';

/** `inspect WHAT`: looks into nets and data without training anything. */
export const registerInspect: Register = (program, context, end) => {
  const inspect = program
    .command('inspect')
    .summary('look into a net')
    .description('Looks into a net or its data, without training anything.')
    .addHelpText('after', examples('inspect summary examples/mnist-kfold.yaml'));
  registerSummary(inspect, context, end);
};
