import { ConfigError } from '@crossfold/shared/errors';
import { isFinal } from '@crossfold/shared/jobs/records';
import type { Register } from './options.ts';
import { examples, jsonOption, natsOption } from './options.ts';
import { ask, experimentTable, jobTable } from './queries.ts';

/** `status [ID]`: how an experiment's jobs stand, or which experiments are under way. */
export const registerStatus: Register = (program, context) => {
  program
    .command('status')
    .summary('how an experiment and its jobs stand')
    .description('Shows an experiment and its jobs; without an id, the experiments that are under way.')
    .argument('[id]', "the experiment's id")
    .addOption(natsOption())
    .addOption(jsonOption())
    .addHelpText('after', examples('status', 'status mnist-kfold-20260101-120000-1a2b'))
    .action(async (id: string | undefined, options: { nats?: string; json?: boolean }) => {
      const now = context.date().getTime();
      const write = (document: unknown, text: string): void => {
        context.out.write(`${options.json === true ? JSON.stringify(document) : text}\n`);
      };
      await ask(context, options.nats, async (client) => {
        const all = await client.list();
        if (id === undefined) {
          const open = all.filter((record) => !isFinal(record.state));
          write(open, experimentTable(open, now));
          return;
        }
        const experiment = all.find((record) => record.id === id);
        if (experiment === undefined)
          throw new ConfigError(`there is no experiment ${id}; \`crossfold list\` shows those there are`);
        const jobs = await client.jobs(id);
        write({ experiment, jobs }, `${experimentTable([experiment], now)}\n\n${jobTable(jobs, now)}`);
      });
    });
};
