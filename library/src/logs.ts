import { readRunId } from '@crossfold/coordinator/cli/run-folder';
import { folderLogs, followFolder, logsFolder } from '@crossfold/coordinator/logs/folder';
import type { LogFilter } from '@crossfold/coordinator/logs/select';
import { experimentIn, filterOf } from '@crossfold/coordinator/logs/select';
import { ConfigError } from '@crossfold/shared/errors';
import { prettyLine } from '@crossfold/shared/log-format';
import type { LogLine } from '@crossfold/shared/log-line';
import { parseLogLine } from '@crossfold/shared/log-line';

export interface LogsOf {
  /** Id of a job, as `run.jobs()` has it: its lines alone. */
  readonly job?: string;
  /** Leaves out what is less than this; `info` where not given. */
  readonly level?: LogFilter['level'];
}

/**
 * Which lines are meant.
 * @throws ConfigError where the job is another experiment's
 */
export function filterFor(id: string, { job, level = 'info' }: LogsOf): LogFilter {
  if (job !== undefined && (job === id || experimentIn(job) !== id))
    throw new ConfigError({ field: 'job', value: job, allowed: `must be the id of a job of ${id}` });
  return filterOf(job ?? id, level);
}

/** Lines as the services wrote them. */
export const linesOf = (texts: readonly string[]): LogLine[] =>
  texts.flatMap((text) => {
    const line = parseLogLine(text);
    return line === undefined ? [] : [line];
  });

/** A line for a terminal, as the `logs` command shows it, with its line end. */
export const logText = (line: LogLine): string => prettyLine(false)(JSON.stringify(line));

/**
 * What services said of a run, in order of time, out of its folder.
 *
 * @throws ConfigError where there are no logs in it
 */
export async function readLogs(folder: string, of: LogsOf = {}): Promise<LogLine[]> {
  const { logs, filter } = await inFolder(folder, of);
  return linesOf(await folderLogs(logs, filter));
}

/**
 * The same, and then what they say from now on, until the signal aborts.
 *
 * @throws ConfigError where there are no logs in it
 */
export async function* followLogs(folder: string, signal: AbortSignal, of: LogsOf = {}): AsyncGenerator<LogLine> {
  const { logs, filter } = await inFolder(folder, of);
  for await (const texts of followFolder(logs, filter, signal)) yield* linesOf(texts);
}

async function inFolder(folder: string, of: LogsOf): Promise<{ readonly logs: string; readonly filter: LogFilter }> {
  const logs = logsFolder(folder);
  if (logs === undefined) throw new ConfigError(`there is no run with logs at ${folder}`);
  return { logs, filter: filterFor(await readRunId(folder, folder), of) };
}
