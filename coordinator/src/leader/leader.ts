import { randomBytes } from 'node:crypto';
import type { Broker } from '@crossfold/shared/broker/broker';
import type { Roster } from '@crossfold/shared/broker/presence';
import { leaderProgressSubject } from '@crossfold/shared/broker/subjects';
import { FirstSeen } from '@crossfold/shared/first-seen';
import type { ExperimentRecord, JobRecord } from '@crossfold/shared/jobs/records';
import { isFinal } from '@crossfold/shared/jobs/records';
import type { Stamp } from '@crossfold/shared/jobs/transitions';
import { removeMembers, resize, stop } from '@crossfold/shared/jobs/transitions';
import type { Logger } from '@crossfold/shared/logger';
import type { LogProgress } from '@crossfold/shared/progress';
import { pause } from '@crossfold/shared/wait';
import { Board } from './board.ts';
import { Experiments } from './experiments.ts';
import type { Offered, QueuedJob } from './offers.ts';
import { isSettled, planOffers, queueOrder } from './offers.ts';
import { WaitingError } from './waiting.ts';
import { Paces, planSeats } from './widening.ts';

/** What the leading coordinator knows, mirrored from the broker by watching. */
export interface View {
  readonly experiments: ReadonlyMap<string, ExperimentRecord>;
  readonly jobs: ReadonlyMap<string, JobRecord>;
}

export interface LeaderContext {
  readonly broker: Broker;
  readonly roster: Roster;
  readonly logger: Logger;
  readonly now: () => number;
  /** True while this process surely leads; asked before every round. */
  readonly leads: () => boolean;
  readonly observer: LeaderObserver;
}

/** Told what is for metrics alone. */
export interface LeaderObserver {
  /** Leading has begun; the view changes with the records until the signal aborts. */
  lead(view: View, signal: AbortSignal): void;
  /** All members of a job were lost; `again`: it is queued for another attempt. */
  lost(again: boolean): void;
  /** Whether an experiment waits for a worker that could carry its jobs out. */
  waits(experiment: string, waiting: boolean): void;
}

const roundEveryMs = 200;
/** A wait that goes on is said again this often. */
const sayAgainMs = 30_000;
/**
 * A seat that is no longer in the queue, and that nobody has filled after this long, is offered again: whoever took it
 * could not use it, or an earlier leader has thrown it away.
 */
const offerAgainMs = 2000;

/**
 * Leads while `signal` is not aborted: prepares experiments, gives out seats, gives jobs without live members back to
 * the queue, ends experiments. Holds nothing that is not on the broker, so that another can take over at any moment;
 * all its changes are transitions that are valid whoever makes them.
 */
export async function lead(context: LeaderContext, signal: AbortSignal): Promise<void> {
  const { broker, logger } = context;
  const board = new Board();
  const damaged = (error: Error): void => logger.error(error.message);
  await broker.experiments.watch('>', signal, ({ value }) => board.seeExperiment(value), damaged);
  await broker.jobs.watch('>', signal, ({ value }) => board.seeJob(value), damaged);
  // One that has been replaced meanwhile must not throw away what its successor has given out.
  if (context.leads()) await broker.seats.clear();
  context.observer.lead(board, signal);
  const rounds = new Rounds(context, board);
  while (!signal.aborted) {
    if (context.leads()) {
      try {
        await rounds.round();
      } catch (error) {
        logger.warn({ err: error }, 'a round of leading failed; the next one tries again');
      }
    }
    await pause(roundEveryMs, signal);
  }
  await rounds.settled();
}

class Rounds {
  readonly #context: LeaderContext;
  readonly #view: Board;
  readonly #experiments = new Experiments();
  readonly #offered = new Map<string, Offered & { readonly at: number }>();
  readonly #busy = new Map<string, Promise<void>>();
  /** Experiments to be tried again though nothing about them has changed. */
  readonly #again = new Set<string>();
  /** What was last said of experiments that do not get on. */
  readonly #waits = new Map<string, { readonly message: string; readonly at: number }>();
  readonly #paces = new Paces();
  /** When each member of a group was first seen to be one. */
  readonly #joined = new FirstSeen();

  constructor(context: LeaderContext, view: Board) {
    this.#context = context;
    this.#view = view;
  }

  async round(): Promise<void> {
    for (const experiment of this.#view.experiments.values()) this.#advance(experiment);
    await this.#stopCancelled();
    await this.#freeAbandoned();
    const resized = await this.#resizeGroups();
    await this.#offerSeats(resized);
  }

  async settled(): Promise<void> {
    await Promise.all(this.#busy.values());
  }

  /** Takes an experiment further, beside the rounds: preparing a data set can take a while. */
  #advance(experiment: ExperimentRecord): void {
    if (this.#busy.has(experiment.id)) return;
    if (isFinal(experiment.state)) {
      this.#experiments.forget(experiment.id);
      return;
    }
    const changed = this.#view.takeChanges(experiment.id) ?? (this.#again.has(experiment.id) ? [] : undefined);
    if (changed === undefined) return;
    this.#again.delete(experiment.id);
    const work = this.#experiments
      .advance(this.#context, experiment, this.#view, changed)
      .then(() => this.#getsOn(experiment.id))
      .catch((error: unknown) => {
        this.#again.add(experiment.id);
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
    for (const job of this.#view.jobs.values()) {
      if (isFinal(job.state) || this.#view.experiments.get(job.experiment)?.state !== 'cancelled') continue;
      await this.#context.broker.jobs.transition(job.id, (current) => stop(current, 'cancelled', this.#stamp()));
    }
  }

  /** Jobs all of whose members are silent have no survivor who could say so. */
  async #freeAbandoned(): Promise<void> {
    const { roster, broker, logger, now } = this.#context;
    const members = [...this.#view.jobs.values()].flatMap((job) => job.members.map((m) => `${job.id} ${m.worker}`));
    this.#joined.keep(members, now());
    const lostOf = (job: JobRecord): Set<string> => {
      const since = (worker: string): number => this.#joined.at(`${job.id} ${worker}`) ?? now();
      return new Set(job.members.map((m) => m.worker).filter((w) => roster.isLost(w, job.id, since(w))));
    };
    for (const job of this.#view.jobs.values()) {
      if (job.members.length === 0 || lostOf(job).size < job.members.length) continue;
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

  /** Gives jobs more members while workers are left over, fewer when others lack them; returns what was changed. */
  async #resizeGroups(): Promise<Map<string, number>> {
    const { broker, roster, logger } = this.#context;
    const workers = roster.alive();
    this.#paces.note(this.#view.jobs, workers);
    const jobs = this.#queued(isWanted)
      .sort(queueOrder)
      .map(({ job }) => job);
    const changed = new Map<string, number>();
    for (const { job: id, seats } of planSeats(jobs, workers, (job) => this.#paces.of(job))) {
      const before = this.#view.jobs.get(id)?.seats ?? 0;
      const resized = await broker.jobs.transition(id, (current) => resize(current, seats));
      if (resized === undefined) continue;
      // Seats that were given out and are taken back will not be filled: the job may be widened again at once.
      if (resized.seats < before) this.#offered.delete(id);
      changed.set(id, resized.seats);
      logger.info({ job: id, seats: resized.seats, members: resized.members.length }, 'another number of seats');
    }
    return changed;
  }

  #queued(which: (job: JobRecord) => boolean): QueuedJob[] {
    return [...this.#view.jobs.values()]
      .filter(which)
      .map((job) => ({ job, experimentSince: this.#view.experiments.get(job.experiment)?.createdAt ?? 0 }));
  }

  /** @param resized seats of jobs that have just been changed, which the view may not show yet */
  async #offerSeats(resized: ReadonlyMap<string, number>): Promise<void> {
    const { broker, roster, now, logger } = this.#context;
    const queued = this.#queued(isWanted)
      .map(({ job, ...rest }) => ({ ...rest, job: { ...job, seats: resized.get(job.id) ?? job.seats } }))
      .filter(({ job }) => job.members.length < job.seats);
    if (queued.length === 0) {
      this.#offered.clear();
      return;
    }
    const waiting = await broker.seats.waiting();
    for (const [id, offer] of this.#offered) {
      const job = this.#view.jobs.get(id);
      const lost = job !== undefined && !waiting.has(job.identity) && now() - offer.at > offerAgainMs;
      if (job === undefined || isSettled(job, offer) || lost) this.#offered.delete(id);
    }
    const offers = planOffers(queued, roster.alive(), waiting, this.#offered);
    for (const job of offers) {
      await broker.seats.offer(job.identity, job.id);
      const members = job.members.length;
      const upTo = Math.max(this.#offered.get(job.id)?.upTo ?? 0, members) + 1;
      this.#offered.set(job.id, { upTo, members, generation: job.generation, at: now() });
      logger.debug({ job: job.id }, 'offered a seat');
    }
  }

  #stamp(): Stamp {
    return { now: this.#context.now(), secret: randomBytes(32).toString('base64url') };
  }
}

/** Whether there is work to do for a job now. */
const isWanted = ({ state }: JobRecord): boolean => !isFinal(state) && state !== 'paused';
