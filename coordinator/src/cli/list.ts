import { ask } from '../client/ask.ts';
import type { Register } from './options.ts';
import { examples, jsonOption, natsOption } from './options.ts';
import { experimentTable } from './queries.ts';

/** `list`: all experiments of a cluster. */
export const registerList: Register = (program, context) => {
  program
    .command('list')
    .summary('list the experiments of a cluster')
    .description('Lists the experiments of a cluster, newest first.')
    .addOption(natsOption())
    .addOption(jsonOption())
    .addHelpText('after', examples('list', 'list --json'))
    .action(async (options: { nats?: string; json?: boolean }) => {
      const records = await ask(context, options.nats, (client) => client.list());
      const text = options.json === true ? JSON.stringify(records) : experimentTable(records, context.date().getTime());
      context.out.write(`${text}\n`);
    });
};
