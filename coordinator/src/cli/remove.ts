import { ConfigError } from '@crossfold/shared/errors';
import { InvalidArgumentError, Option } from 'commander';
import { ask } from '../client/ask.ts';
import type { Removal } from '../removal/remove-experiments.ts';
import { byteText } from './data-text.ts';
import type { Register } from './options.ts';
import { examples, jsonOption, natsOption } from './options.ts';

interface RemovalOptions {
  readonly nats?: string;
  readonly olderThan?: number;
  readonly dryRun?: boolean;
  readonly json?: boolean;
}

const units: Readonly<Record<string, number>> = { m: 60_000, h: 3_600_000, d: 86_400_000, w: 7 * 86_400_000 };

/** `30d` in milliseconds. */
export function ageOf(text: string): number {
  const [, number = '', unit = ''] = /^(\d{1,6}(?:\.\d{1,3})?)([mhdw])$/.exec(text.trim()) ?? [];
  const ms = Number(number) * (units[unit] ?? 0);
  if (number === '' || ms === 0)
    throw new InvalidArgumentError('It must be a time as in 30d, 12h, 90m or 4w (days, hours, minutes, weeks).');
  return ms;
}

/** `remove ID...`: removes experiments that are over, and what the cluster keeps for them. */
export const registerRemove: Register = (program, context) => {
  program
    .command('remove')
    .summary('remove experiments that are over')
    .description(
      'Removes experiments that are over from a cluster: they are not listed any more, and their jobs, nets, results, logs and data go, but for what other experiments or imported data sets need. The leading coordinator frees the room within about twice CROSSFOLD_SWEEP_MINUTES (10). Run folders on your disk stay as they are.',
    )
    .argument('[id...]', 'ids of the experiments')
    .addOption(
      new Option('--older-than <age>', 'those that have been over for so long, as in 30d, 12h or 90m').argParser(ageOf),
    )
    .option('--dry-run', 'only say what would be removed')
    .addOption(natsOption())
    .addOption(jsonOption())
    .addHelpText(
      'after',
      examples(
        'remove mnist-kfold-20260101-120000-1a2b',
        'remove --older-than 30d --dry-run',
        'remove --older-than 30d --json',
      ),
    )
    .action(async (ids: string[], options: RemovalOptions) => {
      const { olderThan, dryRun = false } = options;
      if (ids.length > 0 === (olderThan !== undefined))
        throw new ConfigError(
          ids.length > 0
            ? 'give either ids or --older-than, not both'
            : 'say what to remove: ids of experiments (`crossfold list` shows them), or --older-than 30d',
        );
      const unwanted = olderThan === undefined ? { ids } : { overForMs: olderThan };
      const removals = await ask(context, options.nats, (client) => client.remove(unwanted, { dryRun }));
      context.out.write(options.json === true ? `${JSON.stringify(removals)}\n` : removalText(removals, dryRun));
    });
};

/** What was removed, or would be, and what that frees. */
export function removalText(removals: readonly Removal[], dryRun: boolean): string {
  if (removals.length === 0) return 'no experiment has been over for that long\n';
  const sum = (of: (removal: Removal) => number): number => removals.reduce((total, one) => total + of(one), 0);
  const holds = (jobs: number, artifacts: number, data: number): string =>
    [
      `${jobs} ${jobs === 1 ? 'job' : 'jobs'}`,
      `${byteText(artifacts)} of nets and results`,
      ...(data > 0 ? [`${byteText(data)} of data`] : []),
    ].join(', ');
  const done = dryRun ? 'would be removed' : 'removed';
  const lines = removals.map(({ id, jobs, artifacts, data }) => `${id}: ${done}, ${holds(jobs, artifacts, data)}`);
  if (removals.length > 1)
    lines.push(
      `${removals.length} experiments ${done}, ${holds(
        sum((one) => one.jobs),
        sum((one) => one.artifacts),
        sum((one) => one.data),
      )}`,
    );
  if (!dryRun)
    lines.push('what nothing else needs of that is free once the leading coordinator has looked, in some minutes');
  return `${lines.join('\n')}\n`;
}
