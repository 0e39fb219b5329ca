import { CrossfoldError, ExitCode } from '@crossfold/shared/errors';
import { redactCredentials } from '@crossfold/shared/logger';
import { printable } from '@crossfold/shared/printable';
import { Command, CommanderError, Help } from 'commander';
import { version } from '../version.ts';
import { registerCancel } from './cancel.ts';
import { registerCompletion } from './completion/register.ts';
import type { CommandContext } from './context.ts';
import { processContext } from './context.ts';
import { registerCoordinator } from './coordinator.ts';
import { registerData } from './data.ts';
import { registerDoctor } from './doctor.ts';
import { registerEvaluate } from './evaluate.ts';
import { registerExport } from './export.ts';
import { registerInspect } from './inspect.ts';
import { registerList } from './list.ts';
import { registerLogs } from './logs.ts';
import { examples } from './options.ts';
import { registerPredict } from './predict.ts';
import { registerRefit } from './refit.ts';
import { registerRemove } from './remove.ts';
import { registerReport } from './report.ts';
import { registerResume } from './resume.ts';
import { registerRun } from './run.ts';
import { registerStatus } from './status.ts';
import { registerSubmit } from './submit.ts';
import { registerUp } from './up.ts';
import { registerWatch } from './watch.ts';
import { registerWorker } from './worker.ts';

const verbs = [
  registerRun,
  registerSubmit,
  registerStatus,
  registerWatch,
  registerList,
  registerCancel,
  registerResume,
  registerRemove,
  registerLogs,
  registerRefit,
  registerReport,
  registerExport,
  registerEvaluate,
  registerPredict,
  registerInspect,
  registerData,
  registerUp,
  registerCoordinator,
  registerWorker,
  registerDoctor,
  registerCompletion,
];

/**
 * The command line.
 * @param argv the words after the program's name
 * @returns the exit code
 */
export async function main(argv: readonly string[], context: CommandContext = processContext()): Promise<number> {
  let code: number = ExitCode.done;
  const program = new Command('crossfold')
    .description('Cross-validates convolutional nets on a cluster of workers.')
    .version(version(), '--version')
    .exitOverride()
    .configureOutput({
      writeOut: (text) => context.out.write(text),
      writeErr: (text) => context.err.write(text),
      getOutHelpWidth: () => context.out.columns ?? 80,
      outputError: (text, write) =>
        write(`crossfold: ${withRemedy(usageLine(text), 'crossfold --help lists the commands')}\n`),
    })
    .configureHelp({ minWidthToWrap: 12, formatItem: narrowItem })
    .addHelpText(
      'after',
      examples(
        'run examples/mnist-kfold.yaml --workers 2',
        'run examples/cats-dogs-sweep.yaml --dry-run',
        'run --help',
      ),
    );
  for (const register of verbs)
    register(program, context, (end) => {
      code = end;
    });
  // Verbs inherit how errors are shown and how the program ends.
  for (const verb of program.commands) {
    verb.copyInheritedSettings(program);
    for (const command of [verb, ...verb.commands]) namesItsHelp(command, context);
  }
  try {
    await program.parseAsync(argv, { from: 'user' });
    return code;
  } catch (error) {
    return exitCodeOf(error, context);
  }
}

/** Columns that a description of an option needs beside it. */
const leastBeside = 28;

/** A term and its description; where the terminal is too narrow for columns, one below the other. */
function narrowItem(term: string, termWidth: number, description: string, help: Help): string {
  const width = help.helpWidth ?? 80;
  if (description === '' || width - termWidth - 4 >= leastBeside)
    return Help.prototype.formatItem.call(help, term, termWidth, description, help);
  const lines = help.boxWrap(description, Math.max(12, width - 4)).split('\n');
  return [`  ${term}`, ...lines.map((line) => `    ${line}`)].join('\n');
}

/** Where the remedy is not plain from the message, the command's help has it. */
function namesItsHelp(command: Command, context: CommandContext): void {
  const { parent } = command;
  const path = [...(parent?.parent ? [parent.name()] : []), command.name()].join(' ');
  command.configureOutput({
    outputError: (text) => {
      const said = withRemedy(usageLine(text), `crossfold ${path} --help shows how to use it`);
      context.err.write(`crossfold: ${said}\n`);
    },
  });
}

/** What the parser says, with where to look where that does not say what would be right. */
const withRemedy = (line: string, remedy: string): string =>
  /invalid\.|Did you mean/.test(line) ? line : `${line.replace(/\.$/, '')}; ${remedy}`;

/** Says what went wrong, and with which code to end. */
function exitCodeOf(error: unknown, context: CommandContext): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? ExitCode.done : ExitCode.usage;
  if (error instanceof CrossfoldError) {
    context.err.write(`crossfold: ${redactCredentials(printable(oneLine(error.message)))}\n`);
    return error.exitCode;
  }
  const shown = error instanceof Error ? (error.stack ?? error.message) : String(error);
  context.err.write(
    `${redactCredentials(shown)}\ncrossfold: this is a defect, please report it with the lines above\n`,
  );
  return ExitCode.failed;
}

/** What the parser says of wrong usage, which it quotes. */
const usageLine = (text: string): string => printable(oneLine(text.replace(/^error: /, '')));

const oneLine = (text: string): string => text.trim().replaceAll(/\s*\n\s*/g, ' ');
