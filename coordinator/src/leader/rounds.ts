import { randomBytes } from 'node:crypto';
import { leaderProgressSubject } from '@crossfold/shared/broker/subjects';
import { FirstSeen } from '@crossfold/shared/first-seen';
import type { JobRecord } from '@crossfold/shared/jobs/records';
import { isFinal } from '@crossfold/shared/jobs/records';
import type { Stamp } from '@crossfold/shared/jobs/transitions';
import { removeMembers, serve, stop } from '@crossfold/shared/jobs/transitions';
import type { LogProgress } from '@crossfold/shared/progress';
import { inParallel } from '../in-parallel.ts';
import type { Board } from './board.ts';
import type { LeaderContext } from './context.ts';
import { Experiments } from './experiments.ts';
import { Seating } from './seating.ts';
import { keepResults } from './served.ts';
import { WaitingError } from './waiting.ts';

/** A wait that goes on is said again this often. */
const sayAgainMs = 30_000;
/** An experiment that could not be taken further is tried again after this long. */
const tryAgainMs = 200;
/** Records written at a time. */
const writesAtOnce = 64;

/** What a leader does again and again; see `lead`. */
export class Rounds {
  readonly #context: LeaderContext;
  readonly #board: Board;
  readonly #experiments = new Experiments();
  readonly #seating: Seating;
  readonly #busy = new Map<string, Promise<void>>();
  /** Experiments to be tried again though nothing about them has changed. */
  readonly #again = new Map<string, number>();
  /** What was last said of experiments that do not get on. */
  readonly #waits = new Map<string, { readonly message: string; readonly at: number }>();
  /** When each member of a group was first seen to be one. */
  readonly #joined = new FirstSeen();

  constructor(context: LeaderContext, board: Board) {
    this.#context = context;
    this.#board = board;
    this.#seating = new Seating(context, board);
  }

  async round(): Promise<void> {
    const now = this.#context.now();
    for (const [id, at] of this.#again) if (now >= at) this.#advance(id);
    for (const id of [...this.#board.touched]) this.#advance(id);
    await this.#stopCancelled();
    await this.#serveEquals();
    await this.#freeAbandoned();
    await this.#seating.round();
  }

  async settled(): Promise<void> {
    await Promise.all(this.#busy.values());
  }

  /** Takes an experiment further, beside the rounds: preparing a data set can take a while. */
  #advance(id: string): void {
    if (this.#busy.has(id)) return;
    const experiment = this.#board.experiments.get(id);
    const changed = this.#board.takeChanges(id);
    this.#again.delete(id);
    if (experiment === undefined || isFinal(experiment.state)) {
      this.#experiments.forget(id);
      this.#getsOn(id);
      return;
    }
    const work = this.#experiments
      .advance(this.#context, experiment, this.#board, changed)
      .then(() => this.#getsOn(experiment.id))
      .catch((error: unknown) => {
        this.#again.set(experiment.id, this.#context.now() + tryAgainMs);
        this.#sayWhy(experiment.id, error);
      })
      .finally(() => this.#busy.delete(experiment.id));
    this.#busy.set(experiment.id, work);
  }

  #getsOn(experiment: string): void {
    this.#waits.delete(experiment);
    this.#context.observer.waits(experiment, false);
  }

  /** Why an experiment does not get on: to the log and to whoever follows it, again after a while if it stays so. */
  #sayWhy(experiment: string, error: unknown): void {
    const { broker, logger, now } = this.#context;
    const message = error instanceof Error ? error.message : String(error);
    this.#context.observer.waits(experiment, error instanceof WaitingError);
    const said = this.#waits.get(experiment);
    if (said?.message === message && now() - said.at < sayAgainMs) return;
    this.#waits.set(experiment, { message, at: now() });
    if (error instanceof WaitingError) logger.warn({ experiment }, message);
    else logger.warn({ err: error, experiment }, 'could not take the experiment further yet');
    const event: LogProgress = { type: 'log', level: 'warn', message: message.slice(0, 4000) };
    if (!broker.nats.isClosed()) broker.nats.publish(leaderProgressSubject(experiment), JSON.stringify(event));
  }

  async #stopCancelled(): Promise<void> {
    for (const [experiment, jobs] of this.#board.unfinished) {
      // One that is not there was removed; one that cannot be read, or is not seen yet, goes on where it was.
      const { state } = this.#board.experiments.get(experiment) ?? {};
      if (state !== 'cancelled' && !this.#board.removed.has(experiment)) continue;
      await inParallel([...jobs], writesAtOnce, async (id) => {
        await this.#context.broker.jobs.transition(id, (job) => stop(job, 'cancelled', this.#stamp()));
      });
    }
  }

  /** Nothing is computed twice: a waiting job has the results of an equal one as soon as there are any. */
  async #serveEquals(): Promise<void> {
    const waiting = this.#board.takeServable();
    await inParallel(waiting, writesAtOnce, async (id) => {
      const job = this.#board.jobs.get(id);
      if (job === undefined || this.#board.experiments.get(job.experiment)?.fresh !== false) return;
      const from = this.#board.servedBy(job);
      if (from === undefined || !(await keepResults(this.#context.broker, from, job.until))) return;
      const served = await this.#context.broker.jobs.transition(id, (current) => serve(current, from, this.#stamp()));
      if (served !== undefined) this.#context.logger.info({ job: id, from: from.id }, 'had been computed before');
    });
  }

  /** Jobs all of whose members are silent have no survivor who could say so. */
  async #freeAbandoned(): Promise<void> {
    const { roster, broker, logger, now } = this.#context;
    const members = [...this.#board.manned.values()].flatMap((job) => job.members.map((m) => `${job.id} ${m.worker}`));
    this.#joined.keep(members, now());
    const lostOf = (job: JobRecord): Set<string> => {
      const since = (worker: string): number => this.#joined.at(`${job.id} ${worker}`) ?? now();
      return new Set(job.members.map((m) => m.worker).filter((w) => roster.isLost(w, job.id, since(w))));
    };
    for (const job of this.#board.manned.values()) {
      if (lostOf(job).size < job.members.length) continue;
      // Asked again at the moment of writing: that may come late, after the broker was away.
      const freed = await broker.jobs.transition(job.id, (current) => {
        const lost = lostOf(current);
        return lost.size < current.members.length ? undefined : removeMembers(current, lost, this.#stamp());
      });
      if (freed === undefined) continue;
      const lost = job.members.map((m) => m.worker);
      logger.warn({ job: job.id, lost, state: freed.state }, 'all workers of the job were lost');
      this.#context.observer.lost(freed.state === 'queued');
    }
  }

  #stamp(): Stamp {
    return { now: this.#context.now(), secret: randomBytes(32).toString('base64url') };
  }
}
