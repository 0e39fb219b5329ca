import { join, relative } from 'node:path';
import { ExitCode, InterruptedError } from '@crossfold/shared/errors';
import type { ExperimentClient, Outcome } from '../client/types.ts';
import type { CommandContext } from './context.ts';
import type { Display } from './progress/display.ts';

/**
 * Shows an experiment's progress until it is over, or until the signal aborts.
 * @throws InterruptedError, or whatever the signal aborted for
 */
export async function showUntilOver(
  client: ExperimentClient,
  id: string,
  display: Display,
  signal: AbortSignal,
): Promise<void> {
  for await (const event of client.follow(id, signal)) display.show(event);
  signal.throwIfAborted();
}

/** Writes a finished run's folder and says how it went. Returns the exit code. */
export async function concludeRun(
  context: CommandContext,
  outcome: Outcome,
  folder: string,
  json: boolean,
): Promise<ExitCode> {
  const { record, results } = outcome;
  if (results !== undefined) {
    const { writeRunFolder } = await import('../results/run-folder.ts');
    const { formatFoldTable } = await import('../results/fold-table.ts');
    await writeRunFolder(outcome, folder);
    if (json) context.out.write(`${JSON.stringify(results)}\n`);
    else {
      context.out.write(`\n${formatFoldTable(results, { color: context.out.isTTY === true })}\n`);
      context.out.write(`\nreport: ${join(relative('.', folder) || '.', 'report.html')}\n`);
    }
  }
  if (record.state === 'completed') return ExitCode.done;
  context.err.write(`crossfold: the experiment ${record.state === 'failed' ? 'failed' : 'was cancelled'}`);
  context.err.write(`${record.error === null ? '' : `: ${record.error.replaceAll('\n', ' ')}`}\n`);
  return record.badConfiguration ? ExitCode.usage : ExitCode.failed;
}

/** Turns the user's first request to end into an abort with how to go on as its reason. */
export function interruptible(
  context: CommandContext,
  howToGoOn: () => string,
  again: () => void,
): { readonly controller: AbortController; readonly dispose: () => void } {
  const controller = new AbortController();
  const dispose = context.onInterrupt(() => {
    if (controller.signal.aborted) again();
    else controller.abort(new InterruptedError(howToGoOn()));
  });
  return { controller, dispose };
}
