import { newExperimentId } from '@crossfold/shared/config/experiment';
import { ask } from '../client/ask.ts';
import { loadExperiment } from '../config/load.ts';
import { located, preflight } from '../data/preflight.ts';
import { dryRunOption, showDryRun } from './dry-run.ts';
import { importedReader } from './libraries.ts';
import type { Register } from './options.ts';
import { examples, freshOption, jsonOption, natsOption, setOption } from './options.ts';

interface SubmitOptions {
  readonly nats?: string;
  readonly set: readonly string[];
  readonly fresh?: boolean;
  readonly dryRun?: boolean;
  readonly json?: boolean;
}

/** `submit FILE`: hands an experiment to a cluster and prints its id. */
export const registerSubmit: Register = (program, context) => {
  program
    .command('submit')
    .summary('hand an experiment to a cluster')
    .description('Hands an experiment to a cluster and prints its id, for `watch`, `status`, `cancel` and `resume`.')
    .argument('<file>', 'the experiment, a YAML file')
    .addOption(natsOption())
    .addOption(setOption())
    .addOption(freshOption())
    .addOption(dryRunOption())
    .addOption(jsonOption())
    .addHelpText(
      'after',
      examples(
        'submit examples/mnist-kfold.yaml --nats nats://cluster.example:4222',
        'submit examples/cats-dogs-sweep.yaml --dry-run',
      ),
    )
    .action(async (file: string, options: SubmitOptions) => {
      const loaded = await loadExperiment(file, options.set);
      const checked = await preflight(loaded, importedReader(context, options.nats));
      const { experiment, baseDir } = loaded;
      if (options.dryRun === true)
        return showDryRun(context, loaded, checked, { workers: undefined, json: options.json === true });
      const id = newExperimentId(experiment.name, context.date(), context.suffix());
      const say = (message: string): unknown => context.err.write(`${message}\n`);
      await ask(context, options.nats, (client) =>
        located(loaded.at, () =>
          client.submit(experiment, baseDir, id, { fresh: options.fresh === true, onProgress: say, checked }),
        ),
      );
      context.out.write(options.json === true ? `${JSON.stringify({ id })}\n` : `${id}\n`);
    });
};
