import { join, relative } from 'node:path';
import { ExitCode, ExperimentFailedError, InterruptedError } from '@crossfold/shared/errors';
import type { ExperimentClient, Outcome } from '../client/types.ts';
import { whyUnwritable } from '../write-whole.ts';
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

/** How a message ends that is of a run that broke off, and of which nothing is lost. */
export const mendThen = (goOn: string): string =>
  `nothing that was computed is lost: once that is mended, go on with ${goOn}`;

/**
 * Writes a finished run's folder and says how it went. Returns the exit code.
 *
 * @param goOn the command that tries again what could not be written
 * @throws ExperimentFailedError where the folder cannot be written: its disk is full, or does not take it
 */
export async function concludeRun(
  context: CommandContext,
  outcome: Outcome,
  folder: string,
  json: boolean,
  goOn: string,
): Promise<ExitCode> {
  const { record, results } = outcome;
  if (results !== undefined) {
    const { writeRunFolder } = await import('../results/run-folder.ts');
    const { formatFoldTable } = await import('../results/fold-table.ts');
    await writeRunFolder(outcome, folder).catch((error: NodeJS.ErrnoException) => {
      // What the system says has such a code; anything else is a defect.
      if (!/^E[A-Z0-9]+$/.test(error.code ?? '')) throw error;
      const message = `the run's folder ${folder} cannot be written (${whyUnwritable(error)}); ${mendThen(goOn)}`;
      throw new ExperimentFailedError(message, { cause: error });
    });
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
