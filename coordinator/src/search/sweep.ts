import { searchCosts } from '@crossfold/shared/config/search';
import type { PlannedFold, SweepPlan } from '@crossfold/shared/jobs/plan';
import type { JobRecord, Selection } from '@crossfold/shared/jobs/records';
import { covers, isFinal } from '@crossfold/shared/jobs/records';
import { usableResults } from '@crossfold/shared/jobs/transitions';
import type { SearchRound } from '@crossfold/shared/results';
import { searchShare } from '../estimate/search.ts';
import type { Contest, Decision, Round, Score } from './contest.ts';
import { contestants } from './contest.ts';
import { decide } from './decide.ts';

/**
 * A contest between a sweep's trials over folds that belong together. Without nesting there is one; nested there is one
 * within each outer fold, whose winner is then scored on that fold.
 */
export interface Series {
  readonly folds: readonly PlannedFold[];
  readonly outer: PlannedFold | undefined;
}

export function seriesOf(folds: readonly PlannedFold[]): Series[] {
  const inner = new Map<number, PlannedFold[]>();
  for (const fold of folds) {
    if (fold.within === undefined) continue;
    const known = inner.get(fold.within);
    if (known === undefined) inner.set(fold.within, [fold]);
    else known.push(fold);
  }
  if (inner.size === 0) return [{ folds, outer: undefined }];
  return folds.flatMap((outer) => {
    const own = inner.get(outer.fold);
    return own === undefined ? [] : [{ folds: own, outer }];
  });
}

/** What is there of a sweep, and what the user has asked of it since. */
export interface SweepState {
  readonly jobOf: (trial: number, fold: PlannedFold) => JobRecord | undefined;
  readonly cancelled: readonly Selection[];
  readonly resumed: readonly Selection[];
}

/** A change to be made to an experiment's jobs. Each can be made twice without harm. */
export type Move =
  | {
      readonly kind: 'create';
      readonly trial: number;
      readonly fold: PlannedFold;
      readonly epochs: number;
      readonly state: 'queued' | 'pruned' | 'cancelled';
    }
  | { readonly kind: 'extend'; readonly job: string; readonly epochs: number }
  | { readonly kind: 'revive'; readonly job: string; readonly epochs: number }
  | { readonly kind: 'stop'; readonly job: string; readonly state: 'pruned' | 'cancelled' };

/** One training that is wanted. */
export interface JobWant {
  readonly trial: number;
  readonly fold: PlannedFold;
  readonly epochs: number;
}

export interface SeriesPlan {
  readonly moves: readonly Move[];
  /** Of what is wanted, what is not there yet. */
  readonly open: readonly JobWant[];
  /** Jobs that there are once the moves are made. */
  readonly jobs: number;
  /** Epochs over all folds that it comes to; with racing, by what is known, at most. */
  readonly foldEpochs: number;
  readonly rounds: readonly Round[];
  /** Nothing is open, and nothing more will be wanted. */
  readonly over: boolean;
  readonly winner: number | undefined;
}

/** What a series wants of the jobs that there are. Pure, and the same whoever asks, and however often. */
export function planSeries(plan: SweepPlan, series: Series, state: SweepState): SeriesPlan {
  const folds = series.folds.filter((fold) => !state.cancelled.some((one) => isOf(one, undefined, fold)));
  const out = (trial: number): boolean => state.cancelled.some((one) => isOf(one, trial, undefined));
  const known = (trial: number, fold: PlannedFold, epochs: number): Score | 'lost' | undefined =>
    scoreOf(state.jobOf(trial, fold), epochs, isCancelled(state, trial, fold), state.resumed);
  const contest = contestOf(plan, folds, out);
  const decision = decide(contest, (trial, fold, epochs) => {
    const at = folds[fold];
    return at === undefined ? 'lost' : known(trial, at, epochs);
  });
  const wants = wantsOf(plan, series, folds, decision, out);
  const open = wants.filter(({ trial, fold, epochs }) => known(trial, fold, epochs) === undefined);
  const moves = movesFor(plan, series, wants, decision, state);
  return {
    moves,
    open,
    jobs: moves.filter(({ kind }) => kind === 'create').length + countJobs(plan, series, state),
    foldEpochs: workOf(
      contest,
      decision,
      wants.filter(({ trial, fold }) => !isCancelled(state, trial, fold)),
      series,
    ),
    rounds: decision.rounds,
    over: decision.over && open.length === 0,
    winner: decision.winner,
  };
}

/** Epochs over all folds that a series comes to, or will at most. */
function workOf(contest: Contest, decision: Decision, wants: readonly JobWant[], { outer }: Series): number {
  const wanted = wants.reduce((sum, { epochs }) => sum + epochs, 0);
  if (decision.over) return wanted;
  const all = contestants(contest);
  const longest = Math.max(0, ...contest.epochs);
  const after = outer === undefined ? 0 : longest;
  const cost = contest.search === undefined ? 'all' : searchCosts[contest.search.method];
  if (cost === 'all') return wanted + after;
  if (cost === 'less') {
    const { most } = searchShare(contest.search, all.length, contest.folds, longest);
    return Math.round(most * all.length * contest.folds * longest) + after;
  }
  const left = all.filter((trial) => !decision.dropped.has(trial));
  const given = wants.reduce((sum, { trial, epochs }) => sum + (decision.dropped.has(trial) ? epochs : 0), 0);
  return left.reduce((sum, trial) => sum + contest.folds * (contest.epochs[trial] ?? 0), given) + after;
}

/** Decisions of a series as results have them: nested, with the outer fold within which they were made. */
export const roundsWithin = ({ outer }: Series, rounds: readonly Round[]): SearchRound[] =>
  rounds.map((round) => (outer === undefined ? round : { ...round, within: outer.fold }));

/** What the search has decided by now, and on what; nested, within those outer folds alone whose winner is scored. */
export function decidedRounds(plan: SweepPlan, state: SweepState): SearchRound[] {
  const decides = plan.search !== null && searchCosts[plan.search.method] !== 'all';
  return (decides ? seriesOf(plan.folds) : []).flatMap((series) => {
    const { rounds, over } = planSeries(plan, series, state);
    return series.outer === undefined || over ? roundsWithin(series, rounds) : [];
  });
}

function contestOf(plan: SweepPlan, folds: readonly PlannedFold[], out: (trial: number) => boolean): Contest {
  const sum = (side: 'trainSamples' | 'validationSamples'): number => folds.reduce((n, fold) => n + fold[side], 0);
  return {
    search: plan.search ?? undefined,
    epochs: plan.trials.map(({ trial, epochs }) => (out(trial) ? 0 : epochs)),
    folds: folds.length,
    splits: splitsOf(folds),
    validationShare: folds.length === 0 ? 0 : sum('validationSamples') / sum('trainSamples'),
  };
}

/** Folds of the same samples on both sides, as repeats have them that differ in their initial weights alone, by number. */
function splitsOf(folds: readonly PlannedFold[]): number[] {
  const numbers = new Map<string, number>();
  return folds.map(({ digest }) => {
    const known = numbers.get(digest) ?? numbers.size;
    numbers.set(digest, known);
    return known;
  });
}

/** The contest's wants and, nested, what its winner is still to show. */
function wantsOf(
  plan: SweepPlan,
  { outer }: Series,
  folds: readonly PlannedFold[],
  { wants, over, winner }: Decision,
  out: (trial: number) => boolean,
): JobWant[] {
  const all = wants.flatMap(({ trial, fold, epochs }) => {
    const at = folds[fold];
    return at === undefined || out(trial) ? [] : [{ trial, fold: at, epochs }];
  });
  if (outer !== undefined && over && winner !== undefined)
    all.push({ trial: winner, fold: outer, epochs: plan.trials[winner]?.epochs ?? 0 });
  return all;
}

function movesFor(
  plan: SweepPlan,
  series: Series,
  wants: readonly JobWant[],
  decision: Decision,
  state: SweepState,
): Move[] {
  const moves: Move[] = [];
  const wanted = new Set<string>();
  for (const { trial, fold, epochs } of wants) {
    wanted.add(`${trial}/${fold.repeat}/${fold.fold}`);
    const job = state.jobOf(trial, fold);
    const cancelled = isCancelled(state, trial, fold);
    if (job === undefined)
      moves.push({ kind: 'create', trial, fold, epochs, state: cancelled ? 'cancelled' : 'queued' });
    else if (cancelled) stopUnlessFinal(moves, job, 'cancelled');
    else if (isToRevive(job, state.resumed)) moves.push({ kind: 'revive', job: job.id, epochs });
    else if (waits(job) && (job.result?.epochs ?? 0) < epochs) moves.push({ kind: 'extend', job: job.id, epochs });
  }
  for (const { trial } of plan.trials) {
    const dropped = decision.dropped.has(trial);
    for (const fold of series.folds) {
      if (wanted.has(`${trial}/${fold.repeat}/${fold.fold}`) && !dropped) continue;
      const job = state.jobOf(trial, fold);
      const end = isCancelled(state, trial, fold) ? 'cancelled' : dropped ? 'pruned' : undefined;
      if (end === undefined) continue;
      if (job !== undefined) stopUnlessFinal(moves, job, end);
      else moves.push({ kind: 'create', trial, fold, epochs: 0, state: end });
    }
  }
  return moves;
}

function stopUnlessFinal(moves: Move[], job: JobRecord, state: 'pruned' | 'cancelled'): void {
  if (!isFinal(job.state)) moves.push({ kind: 'stop', job: job.id, state });
}

/** Waits for the search to want more of it. */
const waits = ({ state }: JobRecord): boolean => state === 'paused' || state === 'pruned';

/** Whether a job failed, or was cancelled, before it was resumed. */
export const isToRevive = (job: JobRecord, resumed: readonly Selection[]): boolean =>
  (job.state === 'failed' || job.state === 'cancelled') && resumed.slice(job.resumes).some((one) => covers(one, job));

/**
 * What a job's record says about its trial after so many epochs. A result is a result, even of a job that failed, or was
 * stopped, later on.
 */
export function scoreOf(
  job: JobRecord | undefined,
  epochs: number,
  cancelled: boolean,
  resumed: readonly Selection[],
): Score | 'lost' | undefined {
  const result = job === undefined ? undefined : usableResults(job, epochs).at(-1);
  if (result !== undefined) return { accuracy: result.accuracy, loss: result.loss };
  if (cancelled) return 'lost';
  if (job === undefined || isToRevive(job, resumed)) return undefined;
  return job.state === 'failed' || job.state === 'cancelled' ? 'lost' : undefined;
}

function countJobs(plan: SweepPlan, { folds, outer }: Series, { jobOf }: SweepState): number {
  const all = outer === undefined ? folds : [...folds, outer];
  return plan.trials.reduce((n, { trial }) => n + all.filter((fold) => jobOf(trial, fold) !== undefined).length, 0);
}

const isCancelled = ({ cancelled }: SweepState, trial: number, fold: PlannedFold): boolean =>
  cancelled.some((one) => covers(one, { trial, fold: fold.fold }));

/** Whether a selection is exactly this one. */
const isOf = (one: Selection, trial: number | undefined, fold: PlannedFold | undefined): boolean =>
  one.trial === trial && one.fold === fold?.fold;
