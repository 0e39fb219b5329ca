import { randomBytes } from 'node:crypto';
import type { Loss } from '@crossfold/shared/broker/presence';
import { progressSubject } from '@crossfold/shared/broker/subjects';
import { FirstSeen } from '@crossfold/shared/first-seen';
import type { JobRecord } from '@crossfold/shared/jobs/records';
import { removeMembers } from '@crossfold/shared/jobs/transitions';
import type { LogProgress } from '@crossfold/shared/progress';
import type { Board } from './board.ts';
import type { LeaderContext } from './leader.ts';

/** Gives jobs back to the queue all of whose members are lost: there is no survivor who could. */
export class Abandoned {
  readonly #context: LeaderContext;
  readonly #board: Board;
  /** When each member of a group was first seen to be one. */
  readonly #joined = new FirstSeen();
  /** Generations whose silent members are waited for, as has been said. */
  readonly #said = new Map<string, number>();

  constructor(context: LeaderContext, board: Board) {
    this.#context = context;
    this.#board = board;
  }

  async free(): Promise<void> {
    const { broker, now, logger, observer } = this.#context;
    const manned = [...this.#board.manned.values()];
    this.#joined.keep(
      manned.flatMap((job) => job.members.map((m) => nameOf(job, m.worker))),
      now(),
    );
    for (const job of manned) {
      const lost = this.#lossesOf(job);
      if (lost === undefined) {
        this.#said.delete(job.id);
        continue;
      }
      if (isSilent(lost) && !this.#canBeTakenOver(job)) {
        this.#sayThatItWaits(job);
        continue;
      }
      // Asked again at the moment of writing: that may come late, after the broker was away.
      const freed = await broker.jobs.transition(job.id, (current) => {
        const gone = this.#lossesOf(current);
        const stamp = { now: now(), secret: randomBytes(32).toString('base64url') };
        return gone && removeMembers(current, new Set(gone.keys()), stamp, isSilent(gone));
      });
      this.#said.delete(job.id);
      if (freed === undefined) continue;
      const workers = job.members.map((m) => m.worker);
      logger.warn({ job: job.id, lost: workers, state: freed.state }, 'all workers of the job were lost');
      observer.lost(freed.state === 'queued');
    }
    for (const id of this.#said.keys()) if (!this.#board.manned.has(id)) this.#said.delete(id);
  }

  /** How each member of a job was lost; undefined where one was not. */
  #lossesOf(job: JobRecord): Map<string, Loss> | undefined {
    const { roster, now } = this.#context;
    const losses = new Map<string, Loss>();
    for (const { worker } of job.members) {
      const loss = roster.lossOf(worker, job.id, this.#joined.at(nameOf(job, worker)) ?? now());
      if (loss === undefined) return undefined;
      losses.set(worker, loss);
    }
    return losses;
  }

  /**
   * Whether somebody could go on with a job: a worker that idles, or a member that another job can spare. While there is
   * nobody, workers that are connected but silent are the most likely to, with all that they hold: a machine that has
   * too much to do keeps them from saying so.
   */
  #canBeTakenOver(job: JobRecord): boolean {
    const idle = this.#context.roster.alive().some(({ worker, identity, state }) => {
      const isMember = job.members.some((m) => m.worker === worker);
      return identity === job.identity && state === 'idle' && !isMember;
    });
    const spare = [...this.#board.manned.values()].some(
      (other) => other.id !== job.id && other.identity === job.identity && other.members.length > other.minSeats,
    );
    return idle || spare;
  }

  #sayThatItWaits(job: JobRecord): void {
    if (this.#said.get(job.id) === job.generation) return;
    this.#said.set(job.id, job.generation);
    const { logger, broker } = this.#context;
    const members = job.members.map((m) => m.worker);
    const message = `${members.join(', ')} of ${job.id} cannot be heard; no other worker is free, so it is waited for`;
    logger.warn({ job: job.id, members }, 'silent workers are waited for: no other is free to take their job over');
    const event: LogProgress = { type: 'log', level: 'warn', message: message.slice(0, 4000) };
    if (!broker.nats.isClosed()) broker.nats.publish(progressSubject(job.id), JSON.stringify(event));
  }
}

const isSilent = (losses: ReadonlyMap<string, Loss>): boolean => [...losses.values()].every((how) => how === 'silent');

const nameOf = (job: JobRecord, worker: string): string => `${job.id} ${worker}`;
