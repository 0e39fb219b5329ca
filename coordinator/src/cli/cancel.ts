import { ask, remoteUrl } from '../client/ask.ts';
import type { Register } from './options.ts';
import { examples, jsonOption, natsOption, onlyFoldOption, onlyTrialOption, selectionOf } from './options.ts';
import { refuseRunFolder } from './run-folder.ts';

interface CancelOptions {
  readonly nats?: string;
  readonly trial?: number;
  readonly fold?: number;
  readonly json?: boolean;
}

/** `cancel ID`: ends an experiment, or some of its jobs. */
export const registerCancel: Register = (program, context) => {
  program
    .command('cancel')
    .summary('end an experiment, or a part of it')
    .description(
      'Ends an experiment, or the jobs of a trial or a fold: they stop at their next step. What is over stays as it is; `resume` takes a cancellation back.',
    )
    .argument('<id>', "the experiment's id")
    .addOption(natsOption())
    .addOption(onlyTrialOption())
    .addOption(onlyFoldOption())
    .addOption(jsonOption())
    .addHelpText(
      'after',
      examples('cancel mnist-kfold-20260101-120000-1a2b', 'cancel mnist-sweep-20260101-120000-1a2b --trial 3'),
    )
    .action(async (id: string, options: CancelOptions) => {
      refuseRunFolder(id, remoteUrl(options.nats, context));
      const record = await ask(context, options.nats, (client) => client.cancel(id, selectionOf(options)));
      context.out.write(options.json === true ? `${JSON.stringify(record)}\n` : `${id}: ${record.state}\n`);
    });
};
