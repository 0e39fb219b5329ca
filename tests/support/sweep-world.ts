import { trainJob } from '@crossfold/coordinator/leader/jobs';
import type { SeriesPlan } from '@crossfold/coordinator/search/sweep';
import { planSeries, seriesOf } from '@crossfold/coordinator/search/sweep';
import type { SearchSpec } from '@crossfold/shared/config/search';
import type { PlannedFold, SweepPlan } from '@crossfold/shared/jobs/plan';
import type { ExperimentRecord, JobRecord, Selection } from '@crossfold/shared/jobs/records';
import { covers, isFinal, jobId } from '@crossfold/shared/jobs/records';
import { complete, extend, failForGood, revive, stop, takeSeat } from '@crossfold/shared/jobs/transitions';
import { experimentRecord } from './fake-client.ts';
import { aResult } from './records.ts';

const digest = '0'.repeat(64);
const stamp = { now: 1, secret: '' };

/** A sweep's plan: so many trials, each of so many epochs, on some folds. */
export const aPlan = (
  search: SearchSpec | null,
  trials: number,
  epochs: number,
  folds: number | readonly Partial<PlannedFold>[],
): SweepPlan => ({
  schema: 1,
  identity: 'engine',
  manifest: { digest, bytes: 1 },
  search,
  folds: (typeof folds === 'number' ? Array.from({ length: folds }, (_, fold) => ({ fold })) : folds).map(
    (fold, i) => ({
      fold: i,
      repeat: 0,
      trainSamples: 80,
      validationSamples: 20,
      digest: String(i).padStart(64, '0'),
      ...fold,
    }),
  ),
  trials: Array.from({ length: trials }, (_, trial) => ({
    trial,
    parameters: { seed: trial },
    plan: { digest, bytes: 1 },
    recipe: String(trial).padStart(64, '0'),
    epochs,
    minSeats: 1,
    maxSeats: 1,
  })),
});

/** What a trial comes to on a fold after so many epochs; `fails` where it never gets there. */
export type Outcome = (trial: number, fold: PlannedFold, epochs: number) => number | 'fails';

/** The records of a sweep, changed only as the leader and workers change them, one by one, in any order. */
export class SweepWorld {
  readonly jobs = new Map<string, JobRecord>();
  readonly plan: SweepPlan;
  record: ExperimentRecord = experimentRecord('exp', { state: 'running' });
  /** Epochs trained so far. */
  trained = 0;
  readonly #outcome: Outcome;

  constructor(plan: SweepPlan, outcome: Outcome) {
    this.plan = plan;
    this.#outcome = outcome;
  }

  cancel(selection: Selection): void {
    this.record = { ...this.record, cancelled: [...this.record.cancelled, selection] };
  }

  resume(selection: Selection = {}): void {
    const cancelled = this.record.cancelled.filter((one) => !covers(selection, one));
    this.record = { ...this.record, cancelled, resumed: [...this.record.resumed, selection] };
  }

  /** The leader looks at everything anew and makes the moves that follow. */
  lead(): SeriesPlan[] {
    return seriesOf(this.plan.folds).map((series) => {
      const { cancelled, resumed } = this.record;
      const jobOf = (trial: number, fold: PlannedFold): JobRecord | undefined =>
        this.jobs.get(jobId('exp', 'train', trial, fold.repeat, fold.fold));
      const planned = planSeries(this.plan, series, { jobOf, cancelled, resumed });
      for (const move of planned.moves) {
        if (move.kind === 'create') {
          const trial = this.plan.trials[move.trial];
          if (trial === undefined) throw new Error('no such trial');
          const job = trainJob(this.record, this.plan, trial, move.fold, move, 1);
          if (!this.jobs.has(job.id)) this.jobs.set(job.id, job);
          continue;
        }
        const job = this.jobs.get(move.job);
        if (job === undefined) throw new Error(`there is no job ${move.job}`);
        const next =
          move.kind === 'extend'
            ? extend(job, move.epochs, stamp)
            : move.kind === 'revive'
              ? revive(job, stamp, resumed.length, move.epochs)
              : stop(job, move.state, stamp);
        if (next !== undefined) this.jobs.set(job.id, next);
      }
      return planned;
    });
  }

  /** Jobs that a worker could take up. */
  get queued(): JobRecord[] {
    return [...this.jobs.values()].filter(({ state }) => state === 'queued');
  }

  /** A worker takes a job up and trains it for as long as is wanted. */
  work(job: JobRecord): void {
    const running = takeSeat(job, { worker: 'w', address: null }, stamp);
    if (running === undefined) throw new Error(`${job.id} has no free seat`);
    const fold = this.plan.folds.find((f) => f.fold === job.fold && f.repeat === job.repeat);
    if (fold === undefined) throw new Error('no such fold');
    const whole = this.plan.trials[job.trial]?.epochs ?? 0;
    const accuracy = this.#outcome(job.trial, fold, job.until);
    this.trained += job.until - (job.result?.epochs ?? 0);
    const ended =
      accuracy === 'fails'
        ? failForGood(running, 'w', running.generation, 'the loss became NaN', stamp)
        : complete(
            running,
            'w',
            running.generation,
            aResult({ epochs: job.until, final: job.until >= whole, accuracy, loss: 1 - accuracy }),
            stamp,
          );
    if (ended === undefined) throw new Error(`${job.id} could not end`);
    this.jobs.set(job.id, ended);
  }

  /**
   * Leads and works until nothing is left to do.
   * @param pick which of the queued jobs ends next
   * @param leadEvery the leader looks after so many jobs, and when there are none
   */
  run(pick: (queued: readonly JobRecord[]) => number = () => 0, leadEvery = 1): SeriesPlan[] {
    for (let steps = 0; steps < 100_000; steps++) {
      if (steps % leadEvery === 0 || this.queued.length === 0) {
        const plans = this.lead();
        if (this.queued.length === 0) {
          if (plans.every(({ over }) => over) && [...this.jobs.values()].every(({ state }) => isFinal(state)))
            return plans;
          if (this.lead().every(({ moves }) => moves.length === 0) && this.queued.length === 0)
            throw new Error('the sweep does not get on');
          continue;
        }
      }
      const { queued } = this;
      const job = queued[pick(queued) % queued.length];
      if (job !== undefined) this.work(job);
    }
    throw new Error('the sweep does not end');
  }
}
