import type { JobRecord } from '@crossfold/shared/jobs/records';
import { resize } from '@crossfold/shared/jobs/transitions';
import type { Board } from './board.ts';
import type { LeaderContext } from './context.ts';
import type { Offered } from './offers.ts';
import { isSettled, planOffers } from './offers.ts';
import type { Line } from './turns.ts';
import { inTurn } from './turns.ts';
import { Paces, planSeats } from './widening.ts';

/**
 * A seat that is no longer in the queue, and that nobody has filled after this long, is offered again: whoever took it
 * could not use it, or an earlier leader has thrown it away.
 */
const offerAgainMs = 2000;

/** Gives out seats: to whom it is whose turn, as many as there are workers for. */
export class Seating {
  readonly #context: LeaderContext;
  readonly #board: Board;
  readonly #offered = new Map<string, Offered & { readonly at: number }>();
  readonly #paces = new Paces();

  constructor(context: LeaderContext, board: Board) {
    this.#context = context;
    this.#board = board;
  }

  async round(): Promise<void> {
    const jobs = this.#inTurn();
    const resized = await this.#resizeGroups(jobs);
    await this.#offerSeats(jobs, resized);
  }

  /**
   * The jobs that workers are of use to now: those that have members or a seat given out, then those whose turn is next,
   * as many as there are workers for.
   */
  #inTurn(): JobRecord[] {
    const isOffered = (id: string): boolean => this.#offered.has(id);
    const workers = new Map<string, number>();
    for (const { identity } of this.#context.roster.alive()) workers.set(identity, (workers.get(identity) ?? 0) + 1);
    const most = Math.max(0, ...workers.values()) + 1;
    const offered = [...this.#offered.keys()].flatMap((id) => this.#board.jobs.get(id) ?? []);
    const begun = [...this.#board.manned.values(), ...offered.filter(({ state }) => state === 'queued')];
    const own = new Map<string, JobRecord[]>();
    for (const job of begun) own.set(job.experiment, [...(own.get(job.experiment) ?? []), job]);
    const lines = [...this.#board.queues].flatMap(([experiment, queue]): Line[] => {
      const record = this.#board.experiments.get(experiment);
      if (queue.size === 0 || record?.state !== 'running') return [];
      const { priority, createdAt, maxConcurrentJobs, fresh } = record;
      const jobs = queue.first(
        most,
        (job) =>
          !isOffered(job.id) &&
          (fresh || !(this.#board.mayBeServed(job.id) || this.#board.isAtWorkElsewhere(job, isOffered))),
      );
      const running = own.get(experiment) ?? [];
      const seats = running.reduce((sum, job) => sum + job.seats, 0);
      return [
        {
          experiment,
          priority,
          since: createdAt,
          begunAt: this.#board.begunAt.get(experiment) ?? 0,
          seats,
          running: running.length,
          limit: maxConcurrentJobs,
          fresh,
          jobs,
        },
      ];
    });
    return [...begun, ...inTurn(lines, (identity) => (workers.get(identity) ?? 0) + 1)];
  }

  /** Gives jobs more members while workers are left over, fewer when others lack them; returns what was changed. */
  async #resizeGroups(jobs: readonly JobRecord[]): Promise<Map<string, number>> {
    const { broker, roster, logger, now } = this.#context;
    const workers = roster.alive();
    const at = now();
    this.#paces.note(this.#board, workers, at);
    const changed = new Map<string, number>();
    for (const { job: id, seats } of planSeats(jobs, workers, (job) => this.#paces.of(job, at))) {
      const before = this.#board.jobs.get(id)?.seats ?? 0;
      const resized = await broker.jobs.transition(id, (current) => resize(current, seats));
      if (resized === undefined) continue;
      // Seats that were given out and are taken back will not be filled: the job may be widened again at once.
      if (resized.seats < before) this.#offered.delete(id);
      changed.set(id, resized.seats);
      logger.info({ job: id, seats: resized.seats, members: resized.members.length }, 'another number of seats');
    }
    return changed;
  }

  /** @param resized seats of jobs that have just been changed, which the board may not show yet */
  async #offerSeats(jobs: readonly JobRecord[], resized: ReadonlyMap<string, number>): Promise<void> {
    const { broker, roster, now, logger } = this.#context;
    const open = jobs
      .map((job) => ({ ...job, seats: resized.get(job.id) ?? job.seats }))
      .filter((job) => job.members.length < job.seats);
    if (open.length === 0) {
      this.#offered.clear();
      return;
    }
    const waiting = await broker.seats.waiting();
    for (const [id, offer] of this.#offered) {
      const job = this.#board.jobs.get(id);
      const lost = job !== undefined && !waiting.has(job.identity) && now() - offer.at > offerAgainMs;
      if (job === undefined || isSettled(job, offer) || lost) this.#offered.delete(id);
    }
    const offers = planOffers(open, roster.alive(), waiting, this.#offered);
    for (const job of offers) {
      await broker.seats.offer(job.identity, job.id);
      const { generation, since } = job;
      const members = job.members.length;
      const upTo = Math.max(this.#offered.get(job.id)?.upTo ?? 0, members) + 1;
      this.#offered.set(job.id, { upTo, members, generation, since, at: now() });
      logger.debug({ job: job.id }, 'offered a seat');
    }
  }
}
