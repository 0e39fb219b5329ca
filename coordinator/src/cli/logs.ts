import { ConfigError } from '@crossfold/shared/errors';
import { prettyLine } from '@crossfold/shared/log-format';
import { Option } from 'commander';
import { ask, remoteUrl } from '../client/ask.ts';
import { folderLogs, followFolder, logsFolder } from '../logs/folder.ts';
import type { LogFilter } from '../logs/select.ts';
import { experimentIn, filterOf } from '../logs/select.ts';
import type { CommandContext } from './context.ts';
import { interruptible } from './follow-run.ts';
import type { Register } from './options.ts';
import { examples, natsOption } from './options.ts';
import { findRunFolder, readRunId } from './run-folder.ts';

interface LogsOptions {
  readonly nats?: string;
  readonly follow?: boolean;
  readonly json?: boolean;
  readonly level: LogFilter['level'];
}

/** `logs ID`: what all services say about an experiment or a job, in order of time. */
export const registerLogs: Register = (program, context) => {
  program
    .command('logs')
    .summary('show what services say about an experiment')
    .description(
      "Shows what all services say about an experiment or one of its jobs, in order of time: from the run's folder where there is one, from the cluster otherwise, or where --nats names it. The cluster keeps the lines of a week.",
    )
    .argument('<id|folder>', "the experiment's id, a job's id (as status --json has it), or the run's folder")
    .addOption(natsOption())
    .option('-f, --follow', 'go on with what is said from now on, until Ctrl-C or the end of the experiment')
    .addOption(
      new Option('--level <level>', 'leave out what is less than this')
        .choices(['debug', 'info', 'warn', 'error'])
        .default('info'),
    )
    .option('--json', 'lines as they are written, one JSON object each')
    .addHelpText(
      'after',
      examples(
        'logs runs/mnist-kfold-20260101-120000-1a2b --level warn',
        'logs mnist-kfold-20260101-120000-1a2b.train.0.0.2 --nats nats://cluster.example:4222 --follow',
      ),
    )
    .action(async (what: string, options: LogsOptions) => {
      const show = printer(context, options.json === true);
      const follow = options.follow === true;
      const run = options.nats === undefined ? findRunFolder(experimentIn(what)) : undefined;
      // What a folder has of a cluster elsewhere is what was said up to the end: nothing is added to it.
      const asked = follow && remoteUrl(options.nats, context) !== undefined;
      const folder = run === undefined || asked ? undefined : logsFolder(run);
      if (run !== undefined && folder !== undefined) {
        const id = experimentIn(what) === what ? await readRunId(run, what) : what;
        await fromFolder(context, folder, filterOf(id, options.level), follow, show);
        return;
      }
      if (remoteUrl(options.nats, context) === undefined)
        throw new ConfigError(
          `there is no run with logs at ${what} or runs/${what}; for one on a cluster, name it with --nats or CROSSFOLD_NATS_URL`,
        );
      await fromCluster(context, filterOf(what, options.level), options.nats, follow, show);
    });
};

type Show = (lines: readonly string[]) => void;

function printer(context: CommandContext, json: boolean): Show {
  const pretty = json ? (line: string) => `${line}\n` : prettyLine(context.out.isTTY === true);
  return (lines) => {
    if (lines.length > 0) context.out.write(lines.map((line) => pretty(line)).join(''));
  };
}

async function fromFolder(
  context: CommandContext,
  folder: string,
  filter: LogFilter,
  follow: boolean,
  show: Show,
): Promise<void> {
  if (!follow) {
    show(await folderLogs(folder, filter));
    return;
  }
  await untilInterrupted(context, async (signal) => {
    for await (const lines of followFolder(folder, filter, signal)) show(lines);
  });
}

async function fromCluster(
  context: CommandContext,
  filter: LogFilter,
  nats: string | undefined,
  follow: boolean,
  show: Show,
): Promise<void> {
  await ask(context, nats, async (client) => {
    if (!follow) {
      show(await client.logs(filter));
      return;
    }
    await untilInterrupted(context, async (signal) => {
      for await (const lines of client.followLogs(filter, signal)) show(lines);
    });
  });
}

/** An interrupt is how following ends: nothing is wrong then. */
async function untilInterrupted(context: CommandContext, work: (signal: AbortSignal) => Promise<void>): Promise<void> {
  const { controller, dispose } = interruptible(
    context,
    () => 'ended',
    () => process.exit(130),
  );
  try {
    await work(controller.signal);
  } finally {
    dispose();
  }
}
