import { ConfigError } from '@crossfold/shared/errors';
import { isFinal } from '@crossfold/shared/jobs/records';
import { ask, remoteUrl } from '../client/ask.ts';
import type { ExperimentStanding } from '../metrics/standing.ts';
import { listenMs, standingOf } from '../metrics/standing.ts';
import type { Register } from './options.ts';
import { examples, jsonOption, natsOption } from './options.ts';
import { experimentTable, jobTable } from './queries.ts';
import { refuseRunFolder } from './run-folder.ts';

/** How an experiment stands, for programs. */
const standingDocument = (standing: ExperimentStanding | undefined) =>
  standing === undefined
    ? undefined
    : {
        progress: standing.progress,
        elapsedSeconds: standing.elapsedSeconds,
        remainingSeconds: standing.remainingSeconds,
        atMost: standing.atMost,
        folds: standing.folds.map(({ job, epoch, progress, remainingSeconds }) => ({
          job,
          epoch,
          progress,
          remainingSeconds,
        })),
      };

/** `status [ID]`: how an experiment's jobs stand, or which experiments are under way. */
export const registerStatus: Register = (program, context) => {
  program
    .command('status')
    .summary('how an experiment and its jobs stand')
    .description(
      'Shows an experiment and its jobs, how far they are, and how long they still take if they go on as they went; without an id, the experiments that are under way.',
    )
    .argument('[id]', "the experiment's id")
    .addOption(natsOption())
    .addOption(jsonOption())
    .addHelpText('after', examples('status', 'status mnist-kfold-20260101-120000-1a2b'))
    .action(async (id: string | undefined, options: { nats?: string; json?: boolean }) => {
      const now = context.date().getTime();
      const write = (document: unknown, text: string): void => {
        context.out.write(`${options.json === true ? JSON.stringify(document) : text}\n`);
      };
      if (id !== undefined) refuseRunFolder(id, remoteUrl(options.nats, context));
      await ask(context, options.nats, async (client) => {
        const all = await client.list();
        if (id === undefined) {
          const open = all.filter((record) => !isFinal(record.state));
          const news = open.length === 0 ? new Map() : await client.listen(listenMs);
          const standings = await Promise.all(
            open.map(async (record) => standingOf(record, await client.jobs(record.id), news, now)),
          );
          const document = open.map((record, i) => ({ ...record, standing: standingDocument(standings[i]) }));
          write(document, experimentTable(open, now, standings));
          return;
        }
        const experiment = all.find((record) => record.id === id);
        if (experiment === undefined)
          throw new ConfigError(`there is no experiment ${id}; \`crossfold list\` shows those there are`);
        const news = isFinal(experiment.state) ? new Map() : await client.listen(listenMs, id);
        const jobs = await client.jobs(id);
        const standing = standingOf(experiment, jobs, news, now);
        write(
          { experiment, standing: standingDocument(standing), jobs },
          `${experimentTable([experiment], now, [standing])}\n\n${jobTable(jobs, now, standing)}`,
        );
      });
    });
};
