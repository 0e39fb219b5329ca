import { ConfigError } from '@crossfold/shared/errors';
import { remoteUrl } from '../client/ask.ts';
import type { Register } from './options.ts';
import { examples, jsonOption, natsOption, wholeNumber } from './options.ts';
import { followRemotely } from './remote-run.ts';
import { defaultRunFolder, findRun, inRunFolder } from './run-folder.ts';

interface RefitOptions {
  readonly trial?: number;
  readonly ensemble?: boolean;
  readonly nats?: string;
  readonly out?: string;
  readonly json?: boolean;
}

/** `refit ID`: makes the net to be used of what an experiment has found. */
export const registerRefit: Register = (program, context, end) => {
  program
    .command('refit')
    .summary('train what was found on all samples')
    .description(
      'Makes the net to be used of what a completed experiment has found: trains the configuration of its best trial anew on all training samples, or takes the nets of its folds together, scores that on the test set, and writes the results anew. `final: refit` in the experiment file does the same at the end of a run.',
    )
    .argument('<id>', "the experiment's id")
    .option(
      '--trial <t>',
      'of this trial (default: the best one), such as the one-standard-error choice',
      wholeNumber(0),
    )
    .option('--ensemble', 'the nets of all folds together, rather than one that is trained anew')
    .addOption(natsOption())
    .option('--out <folder>', 'folder for the results (default: runs/<id>)')
    .addOption(jsonOption())
    .addHelpText(
      'after',
      examples(
        'refit mnist-sweep-20260101-120000-1a2b',
        'refit mnist-sweep-20260101-120000-1a2b --trial 3 --nats nats://cluster.example:4222',
        'run examples/mnist-kfold.yaml --set final=refit',
      ),
    )
    .action(async (id: string, options: RefitOptions) => {
      const nats = remoteUrl(options.nats, context);
      if (nats === undefined) {
        const folder = findRun(id);
        throw new ConfigError(
          folder === undefined
            ? 'no broker named: give --nats URL or set CROSSFOLD_NATS_URL'
            : `${folder} is a run whose own cluster has ended with it; run it again with its refit: crossfold run ${folder}/experiment.yaml --set final=refit`,
        );
      }
      const folder = options.out ?? defaultRunFolder(id);
      const final = options.ensemble === true ? 'ensemble' : 'refit';
      const { trial } = options;
      const run = { nats, id, folder, json: options.json === true, refit: { final, trial } } as const;
      end(await inRunFolder(folder, () => followRemotely(context, run)));
    });
};
