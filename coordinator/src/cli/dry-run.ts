import { Option } from 'commander';
import type { LoadedExperiment } from '../config/load.ts';
import type { Preflight } from '../data/preflight.ts';
import type { CommandContext } from './context.ts';

export const dryRunOption = (): Option =>
  new Option(
    '--dry-run',
    'print what it comes to (trials x folds, parameters, memory and time by a few batches measured here); start and write nothing',
  );

/** Prints what an experiment comes to. `workers`: how many there will be, where that is known. */
export async function showDryRun(
  context: CommandContext,
  { experiment }: LoadedExperiment,
  checked: Preflight,
  { workers, json }: { readonly workers: number | undefined; readonly json: boolean },
): Promise<void> {
  const { measuredDryRun } = await import('../estimate/measured.ts');
  const document = await measuredDryRun(experiment, checked, workers, context.now);
  const { dryRunText } = await import('../estimate/text.ts');
  context.out.write(json ? `${JSON.stringify(document)}\n` : `${dryRunText(document)}\n`);
}
