import { ExitCode } from '@crossfold/shared/errors';
import { ask, remoteUrl } from '../client/ask.ts';
import { interruptible, showUntilOver } from './follow-run.ts';
import type { Register } from './options.ts';
import { examples, jsonOption, natsOption } from './options.ts';
import { createDisplay } from './progress/create-display.ts';
import { refuseRunFolder } from './run-folder.ts';
import { timelineOption, withTimeline } from './timeline.ts';

/** `watch ID`: shows an experiment's progress until it is over. */
export const registerWatch: Register = (program, context, end) => {
  program
    .command('watch')
    .summary("show an experiment's progress")
    .description("Shows an experiment's progress until it is over. The exit code is that of the experiment.")
    .argument('<id>', "the experiment's id")
    .addOption(natsOption())
    .addOption(jsonOption())
    .addOption(timelineOption())
    .addHelpText('after', examples('watch mnist-kfold-20260101-120000-1a2b'))
    .action(async (id: string, options: { nats?: string; json?: boolean; timeline?: string }) => {
      refuseRunFolder(id, remoteUrl(options.nats, context));
      await ask(context, options.nats, async (client) => {
        const { controller, dispose } = interruptible(
          context,
          () => `interrupted; the experiment goes on: crossfold watch ${id}`,
          () => process.exit(130),
        );
        const display = createDisplay(context.err, context.now);
        try {
          await withTimeline(client, id, options.timeline, display, () =>
            showUntilOver(client, id, display, controller.signal),
          );
        } finally {
          display.stop();
          dispose();
        }
        const record = (await client.list()).find((r) => r.id === id);
        const reason = record?.error == null ? '' : `: ${record.error.replaceAll('\n', ' ')}`;
        const text =
          options.json === true ? JSON.stringify(record ?? null) : `${id}: ${record?.state ?? 'gone'}${reason}`;
        context.out.write(`${text}\n`);
        end(record?.state === 'completed' ? ExitCode.done : ExitCode.failed);
      });
    });
};
