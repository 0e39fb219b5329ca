import type { LogLine } from '@crossfold/shared/log-line';
import { parseLogLine } from '@crossfold/shared/log-line';
import type { Logger } from '@crossfold/shared/logger';
import { logLevels } from '@crossfold/shared/logger';

/** Which lines of an experiment's logs are wanted. */
export interface LogFilter {
  readonly experiment: string;
  /** A job's id: its lines alone. */
  readonly job?: string;
  readonly level: Logger['level'];
}

const jobId = /^([^./]+)\.[a-z-]+\.\d+\.\d+\.\d+$/;

/** The experiment that an id is of, a job's (`<experiment>.train.0.0.2`) or its own. */
export const experimentIn = (id: string): string => jobId.exec(id)?.[1] ?? id;

export const filterOf = (id: string, level: LogFilter['level']): LogFilter =>
  jobId.test(id) ? { experiment: experimentIn(id), job: id, level } : { experiment: id, level };

const rank = (level: string): number => logLevels.findIndex((known) => known === level);

/** Whether a line is wanted. Lines about no experiment are, where they lie in the experiment's own folder. */
export function isWanted(line: LogLine, filter: LogFilter, own: boolean): boolean {
  if (rank(line.level) < rank(filter.level)) return false;
  const experiment = line.experiment ?? line.job?.split('.', 1)[0];
  if (filter.job !== undefined) return line.job === filter.job;
  return experiment === undefined ? own : experiment === filter.experiment;
}

/** Wanted lines of several logs, in order of time; lines of one log that have the same time stay in their order. */
export function mergeLogs(logs: readonly (readonly string[])[], filter: LogFilter, own: boolean): string[] {
  const lines = logs.flatMap((log) =>
    log.flatMap((text) => {
      const line = parseLogLine(text);
      return line !== undefined && isWanted(line, filter, own) ? [{ text, time: line.time }] : [];
    }),
  );
  return lines.sort((a, b) => (a.time < b.time ? -1 : a.time > b.time ? 1 : 0)).map(({ text }) => text);
}
