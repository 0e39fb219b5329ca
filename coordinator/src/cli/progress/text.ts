import { isFinal } from '@crossfold/shared/jobs/records';
import type { ProgressEvent } from '@crossfold/shared/progress';
import { percent } from '../../results/text.ts';
import type { JobView, ProgressState } from './state.ts';
import { jobEtaMs, labelOf, overall } from './state.ts';

/** `1:05`, `12:00:00`; what others' clocks say began in the future has taken no time yet. */
export function duration(ms: number): string {
  const seconds = Math.max(0, Math.round(ms / 1000));
  const pad = (n: number): string => String(n).padStart(2, '0');
  const minutes = Math.floor(seconds / 60);
  return minutes < 60
    ? `${minutes}:${pad(seconds % 60)}`
    : `${Math.floor(minutes / 60)}:${pad(minutes % 60)}:${pad(seconds % 60)}`;
}

export const rate = (perSecond: number): string => `${Math.round(perSecond).toLocaleString('en-US')} images/s`;
const left = (ms: number | undefined, atMost = false): string[] =>
  ms === undefined ? [] : [`${atMost ? 'at most about ' : ''}${duration(ms)} left`];
const join = (...parts: readonly (string | readonly string[])[]): string => parts.flat().join(', ');

/** The lines that an event is worth, for those who cannot watch bars: changes of state, and the end of every epoch. */
export function linesOf(
  before: ProgressState,
  after: ProgressState,
  event: ProgressEvent,
  now: number,
): readonly string[] {
  if (event.type === 'log') return [event.level === 'info' ? event.message : `${event.level}: ${event.message}`];
  if (event.type === 'experiment') return before.state === after.state ? [] : experimentLines(after);
  const [was, is] = [before.jobs.get(event.job), after.jobs.get(event.job)];
  if (is === undefined) return [];
  const name = labelOf(is, after);
  return [...epochLine(event, was, is, now), ...stateLine(was, is)].map((line) => `${name}: ${line}`);
}

/** How it ended is for whoever followed it to say, once. */
function experimentLines({ state, total }: ProgressState): readonly string[] {
  switch (state) {
    case 'submitted':
      return ['submitted; the data set is cut and the folds are made'];
    case 'running':
      return [total === undefined ? 'running' : `running ${total} ${total === 1 ? 'job' : 'jobs'}`];
    default:
      return [];
  }
}

function epochLine(event: ProgressEvent, was: JobView | undefined, is: JobView, now: number): string[] {
  if (event.type !== 'job' || event.valAccuracy === undefined) return [];
  if (was !== undefined && was.valAccuracy !== undefined && was.epoch === event.epoch) return [];
  return [
    join(
      `epoch ${event.epoch}/${event.epochs}`,
      event.loss === undefined ? [] : [`loss ${event.loss.toFixed(4)}`],
      event.accuracy === undefined ? [] : [`accuracy ${percent(event.accuracy)}`],
      event.valLoss === undefined ? [] : [`validation loss ${event.valLoss.toFixed(4)}`],
      `validation accuracy ${percent(event.valAccuracy)}`,
      event.imagesPerSecond > 0 ? [rate(event.imagesPerSecond)] : [],
      event.epoch < event.epochs ? left(jobEtaMs(is, now)) : [],
    ),
  ];
}

function stateLine(was: JobView | undefined, is: JobView): string[] {
  const members = is.workers.join(', ');
  if (was !== undefined && was.state === is.state && (is.state !== 'running' || was.workers.join(', ') === members))
    return [];
  if (isFinal(is.state)) return [finalLine(is)];
  if (is.state === 'running') {
    if (members === '') return [];
    return [`${was?.state === 'running' ? 'goes on' : is.kind === 'test' ? 'scored' : 'trains'} on ${members}`];
  }
  if (is.state === 'paused') return ['waits for what the search decides'];
  if (was?.state === 'paused') return ['is to go on'];
  // Everything waits at first: that is no news.
  return was === undefined || was.state === 'forming' || is.state === 'forming' ? [] : ['waits for a worker again'];
}

/** How a job ended. */
export function finalLine(job: JobView): string {
  const scores = [
    ...(job.lastValAccuracy === undefined ? [] : [`validation accuracy ${percent(job.lastValAccuracy)}`]),
    ...(job.lastValLoss === undefined ? [] : [`loss ${job.lastValLoss.toFixed(4)}`]),
  ];
  const ending = job.state === 'completed' && scores.length > 0 ? `: ${scores.join(', ')}` : '';
  // A job that completed after all may still carry why an attempt before did not.
  return `${job.state}${job.state === 'completed' || job.error === undefined ? ending : `: ${job.error}`}`;
}

/** One line about all jobs: how many are done, and how long the rest takes. */
export function overallLine(state: ProgressState, now: number): string {
  const { done, total, running, etaMs, atMost } = overall(state, now);
  if (total === undefined) return state.state === undefined ? 'not submitted yet' : 'the data set is prepared';
  const waiting = running === 0 && done < total ? ['waiting for workers'] : [`${running} running`];
  return join(`${done}/${total} jobs done`, done < total ? waiting : [], left(etaMs, atMost));
}
