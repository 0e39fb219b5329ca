import { randomBytes } from 'node:crypto';
import { getJson } from '@crossfold/shared/broker/json-blobs';
import { searchCosts } from '@crossfold/shared/config/search';
import type { PlannedFold } from '@crossfold/shared/jobs/plan';
import { SweepPlan } from '@crossfold/shared/jobs/plan';
import type { ExperimentRecord, JobRecord } from '@crossfold/shared/jobs/records';
import { jobId } from '@crossfold/shared/jobs/records';
import { extend, revive, serve, stop } from '@crossfold/shared/jobs/transitions';
import type { SearchRound } from '@crossfold/shared/results';
import { inParallel } from '../in-parallel.ts';
import type { Move, Series, SeriesPlan, SweepState } from '../search/sweep.ts';
import { planSeries, roundsWithin, scoreOf, seriesOf } from '../search/sweep.ts';
import type { Board } from './board.ts';
import type { LeaderContext } from './context.ts';
import { trainJob } from './jobs.ts';
import { keepResults } from './served.ts';

/** Records written at a time. */
const writesAtOnce = 64;

interface Followed {
  readonly series: Series;
  /** Epochs that are wanted of jobs that are not there yet. */
  readonly open: Map<string, number>;
  plan: Omit<SeriesPlan, 'moves'>;
}

/**
 * Steers the jobs of one experiment by its search: makes those that are wanted, lets them go on, stops those that are
 * not wanted any more. Asks the search only when everything that it wanted before is there, so that its cost does not
 * grow with the number of jobs that end. Holds nothing that does not follow from the records.
 */
export class Sweep {
  readonly #plan: SweepPlan;
  readonly #followed: Followed[] = [];
  /** The series that each job belongs to. */
  readonly #seriesOf = new Map<string, number>();
  /** What of the record it was taken up under. */
  readonly #asked: string;

  private constructor(plan: SweepPlan, record: ExperimentRecord) {
    this.#plan = plan;
    this.#asked = askedOf(record);
  }

  /** Takes an experiment up where its records stand. */
  static async take(context: LeaderContext, record: ExperimentRecord, board: Board): Promise<Sweep> {
    if (record.plan === null) throw new Error(`${record.id} runs without a plan`);
    const plan = await getJson(context.broker.artifacts, record.plan, SweepPlan);
    const sweep = new Sweep(plan, record);
    for (const [i, series] of seriesOf(plan.folds).entries()) {
      sweep.#followed.push({ series, open: new Map(), plan: await sweep.#steer(context, record, board, series) });
      for (const fold of series.outer === undefined ? series.folds : [...series.folds, series.outer])
        sweep.#seriesOf.set(placeOf(fold), i);
    }
    for (const followed of sweep.#followed) sweep.#follow(followed, record);
    await sweep.#count(context, record);
    return sweep;
  }

  /** Whether it was taken up under what the record asks for now. */
  isUpToDate(record: ExperimentRecord): boolean {
    return this.#asked === askedOf(record);
  }

  /** Nothing more is wanted. */
  get over(): boolean {
    return this.#followed.every(({ plan }) => plan.over);
  }

  /** What was decided, and on what. */
  get rounds(): SearchRound[] {
    return this.#followed.flatMap(({ series, plan: { rounds } }) => roundsWithin(series, rounds));
  }

  /** Takes in which jobs have changed, and asks the search again where all that it wanted is there. */
  async step(context: LeaderContext, record: ExperimentRecord, board: Board, changed: Iterable<string>): Promise<void> {
    const touched = new Set<number>();
    for (const id of changed) {
      const job = board.jobs.get(id);
      const at = job?.kind !== 'train' ? undefined : this.#seriesOf.get(placeOf(job));
      const followed = at === undefined ? undefined : this.#followed[at];
      const epochs = followed?.open.get(id);
      if (at === undefined || epochs === undefined) continue;
      if (scoreOf(job, epochs, false, record.resumed) === undefined) continue;
      followed?.open.delete(id);
      touched.add(at);
    }
    let asked = false;
    for (const at of touched) {
      const followed = this.#followed[at];
      if (followed === undefined || followed.open.size > 0 || followed.plan.over) continue;
      followed.plan = await this.#steer(context, record, board, followed.series);
      this.#follow(followed, record);
      asked = true;
    }
    if (asked) await this.#count(context, record);
  }

  async #steer(
    context: LeaderContext,
    record: ExperimentRecord,
    board: Board,
    series: Series,
  ): Promise<Omit<SeriesPlan, 'moves'>> {
    const state: SweepState = {
      jobOf: (trial, fold) => board.jobs.get(jobId(record.id, 'train', trial, fold.repeat, fold.fold)),
      cancelled: record.cancelled,
      resumed: record.resumed,
    };
    const { moves, ...plan } = planSeries(this.#plan, series, state);
    await inParallel(moves, writesAtOnce, (move) => this.#make(context, record, board, move));
    const last = plan.rounds.at(-1);
    context.logger.info(
      { experiment: record.id, moves: moves.length, open: plan.open.length, over: plan.over, round: last },
      'the search has decided',
    );
    return plan;
  }

  #follow({ open, plan }: Followed, record: ExperimentRecord): void {
    for (const { trial, fold, epochs } of plan.open)
      open.set(jobId(record.id, 'train', trial, fold.repeat, fold.fold), epochs);
  }

  async #make({ broker, now }: LeaderContext, record: ExperimentRecord, board: Board, move: Move): Promise<void> {
    const stamp = { now: now(), secret: randomBytes(32).toString('base64url') };
    const change = (id: string, to: (job: JobRecord) => JobRecord | undefined): Promise<unknown> =>
      broker.jobs.transition(id, to);
    switch (move.kind) {
      case 'create': {
        const trial = this.#plan.trials[move.trial];
        if (trial === undefined) throw new Error(`${record.id} has no trial ${move.trial}`);
        const job = trainJob(record, this.#plan, trial, move.fold, move, now());
        const equal = record.fresh ? undefined : board.servedBy(job);
        const isThere = equal !== undefined && (await keepResults(broker, equal, job.until));
        const served = isThere ? serve(job, equal, stamp) : undefined;
        await broker.jobs.create(job.id, served ?? job);
        return;
      }
      case 'extend':
        await change(move.job, (job) => extend(job, move.epochs, stamp));
        return;
      case 'revive':
        await change(move.job, (job) => revive(job, stamp, record.resumed.length, move.epochs));
        return;
      case 'stop':
        await change(move.job, (job) => stop(job, move.state, stamp));
    }
  }

  /** The number of jobs, and how much training they come to, for whoever follows. */
  async #count({ broker }: LeaderContext, { id }: ExperimentRecord): Promise<void> {
    const jobs = this.#followed.reduce((sum, { plan }) => sum + plan.jobs, 0);
    const foldEpochs = this.#followed.reduce((sum, { plan }) => sum + plan.foldEpochs, 0);
    const { search } = this.#plan;
    const atMost = search !== null && searchCosts[search.method] === 'at most' && !this.over;
    const work = { foldEpochs, atMost };
    await broker.experiments.transition(id, (current) =>
      current.jobs === jobs && current.work?.foldEpochs === foldEpochs && current.work.atMost === work.atMost
        ? undefined
        : { ...current, jobs, work },
    );
  }
}

const askedOf = ({ cancelled, resumed }: ExperimentRecord): string => JSON.stringify([cancelled, resumed]);

const placeOf = ({ repeat, fold }: Pick<PlannedFold, 'repeat' | 'fold'>): string => `${repeat}.${fold}`;
