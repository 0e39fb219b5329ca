import type { Register } from './options.ts';
import { examples, jsonOption, natsOption } from './options.ts';
import { ask } from './queries.ts';

/** `cancel ID`: ends an experiment. */
export const registerCancel: Register = (program, context) => {
  program
    .command('cancel')
    .summary('end an experiment')
    .description('Ends an experiment: its jobs stop at their next step. One that is over stays as it is.')
    .argument('<id>', "the experiment's id")
    .addOption(natsOption())
    .addOption(jsonOption())
    .addHelpText('after', examples('cancel mnist-kfold-20260101-120000-1a2b'))
    .action(async (id: string, options: { nats?: string; json?: boolean }) => {
      const record = await ask(context, options.nats, (client) => client.cancel(id));
      context.out.write(options.json === true ? `${JSON.stringify(record)}\n` : `${id}: ${record.state}\n`);
    });
};
