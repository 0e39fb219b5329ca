import type { ExperimentState, ExperimentWork } from '@crossfold/shared/jobs/records';
import { isFinal } from '@crossfold/shared/jobs/records';
import type { JobProgress, ProgressEvent } from '@crossfold/shared/progress';
import { Versions } from './versions.ts';

/** What is known of a job: its newest event, with what that leaves out taken from earlier ones. */
export interface JobView extends JobProgress {
  /** Accuracy on the validation set after the epoch that was validated last. */
  readonly lastValAccuracy: number | undefined;
  readonly lastValLoss: number | undefined;
  /** Where the job stood when it was first seen at work, to tell its speed by. */
  readonly seenFrom: { readonly at: number; readonly fraction: number } | undefined;
}

/** How an experiment stands. All times are milliseconds on one clock. */
export interface ProgressState {
  readonly state: ExperimentState | undefined;
  /** Number of jobs, once known. */
  readonly total: number | undefined;
  /** What its training comes to, once known. */
  readonly work: ExperimentWork | undefined;
  /** By the jobs' ids. */
  readonly jobs: Versions<string, JobView>;
  /** Whether any of them is of a second trial, or of a second repeat. */
  readonly manyTrials: boolean;
  readonly manyRepeats: boolean;
  readonly message: string | undefined;
  /** Where the whole stood when work was first seen. */
  readonly seenFrom: { readonly at: number; readonly fraction: number } | undefined;
}

export const initialProgress: ProgressState = {
  state: undefined,
  total: undefined,
  work: undefined,
  get jobs() {
    return new Versions<string, JobView>();
  },
  manyTrials: false,
  manyRepeats: false,
  message: undefined,
  seenFrom: undefined,
};

/** The state after an event that arrived at `now`. Events may be missing, doubled, or late. */
export function advance(state: ProgressState, event: ProgressEvent, now: number): ProgressState {
  if (event.type === 'log') return state;
  if (event.type === 'experiment')
    return {
      ...state,
      state: event.state,
      total: event.jobs ?? state.total,
      work: event.work ?? state.work,
      message: event.message ?? state.message,
    };
  const before = state.jobs.get(event.job);
  // What a worker said just before the end may arrive after it. A record that is open again is one that is tried again.
  const isOver = before !== undefined && isFinal(before.state) && !isFinal(event.state);
  if (isOver && (before.state === 'completed' || event.epochs > 0)) return state;
  const next = {
    ...state,
    jobs: state.jobs.set(event.job, merge(before, event, now)),
    manyTrials: state.manyTrials || event.trial > 0,
    manyRepeats: state.manyRepeats || event.repeat > 0,
  };
  if (state.seenFrom !== undefined || event.state !== 'running') return next;
  return { ...next, seenFrom: { at: now, fraction: overall(next, now).fraction } };
}

function merge(before: JobView | undefined, event: JobProgress, now: number): JobView {
  // A job's record knows its state and members, but not where it stands within its epochs.
  const position = event.epochs > 0 || before === undefined ? event : { ...before, ...pick(event) };
  const waits = event.state === 'queued' || event.state === 'forming' || event.state === 'paused';
  const view = {
    ...position,
    ...(waits ? { imagesPerSecond: 0 } : {}),
    ...(event.done === undefined && before?.done !== undefined ? { done: before.done } : {}),
    lastValAccuracy: event.valAccuracy ?? before?.lastValAccuracy,
    lastValLoss: event.valLoss ?? before?.lastValLoss,
  };
  const seenFrom = waits
    ? undefined
    : (before?.seenFrom ?? (view.epochs > 0 ? { at: now, fraction: fraction(view) } : undefined));
  return { ...view, seenFrom };
}

const pick = ({ state, workers, done, error }: JobProgress): Partial<JobProgress> => ({
  state,
  workers,
  ...(done === undefined ? {} : { done }),
  ...(error === undefined ? {} : { error }),
});

/** Epochs that a job has been trained by now. */
export function epochsOf(job: Pick<JobProgress, 'epoch' | 'step' | 'steps'>): number {
  return job.steps === 0 || job.epoch === 0 ? 0 : job.epoch - 1 + Math.min(1, job.step / job.steps);
}

/** How much of a job is done, from 0 to 1. */
export function fraction(job: Pick<JobProgress, 'state' | 'epoch' | 'epochs' | 'step' | 'steps'>): number {
  if (isFinal(job.state)) return 1;
  if (job.epochs === 0 || job.steps === 0 || job.epoch === 0) return 0;
  return Math.min(1, (job.epoch - 1 + job.step / job.steps) / job.epochs);
}

export interface Overall {
  readonly done: number;
  readonly running: number;
  readonly total: number | undefined;
  /** How much of all jobs is done, from 0 to 1. */
  readonly fraction: number;
  readonly etaMs: number | undefined;
  /** A search may stop earlier. */
  readonly atMost: boolean;
}

/** How all `train` jobs together stand. */
export function overall(state: ProgressState, now: number): Overall {
  const jobs = [...state.jobs.values()].filter((job) => job.kind === 'train');
  const total = state.total;
  const count = Math.max(total ?? 0, jobs.length);
  const { work } = state;
  const part =
    work === undefined || work.foldEpochs === 0
      ? count === 0
        ? 0
        : jobs.reduce((sum, job) => sum + fraction(job), 0) / count
      : Math.min(1, jobs.reduce((sum, job) => sum + workDone(job), 0) / work.foldEpochs);
  return {
    done: jobs.filter((job) => isFinal(job.state)).length,
    running: jobs.filter((job) => job.state === 'running').length,
    total,
    fraction: part,
    etaMs: eta(state.seenFrom, part, now),
    atMost: work?.atMost === true,
  };
}

/** Epochs of an experiment's work that a job has done. */
const workDone = (job: JobView): number => Math.max(job.done ?? 0, job.state === 'running' ? epochsOf(job) : 0);

/** Time that a job still takes, if it goes on as it went; undefined while that cannot be told. */
export const jobEtaMs = (job: JobView, now: number): number | undefined => eta(job.seenFrom, fraction(job), now);

function eta(from: { at: number; fraction: number } | undefined, done: number, now: number): number | undefined {
  if (from === undefined || done <= from.fraction || now <= from.at) return undefined;
  return ((1 - done) * (now - from.at)) / (done - from.fraction);
}

/** What a job is called: as much of trial, repeat and fold as tells it from the others. */
export function labelOf(job: JobProgress, state: ProgressState): string {
  if (job.kind === 'test') return 'test set';
  if (job.kind === 'refit') return `trial ${job.trial} on all samples`;
  const trial = state.manyTrials ? `trial ${job.trial} ` : '';
  const repeat = state.manyRepeats ? `repeat ${job.repeat} ` : '';
  return `${trial}${repeat}fold ${job.fold}`;
}
