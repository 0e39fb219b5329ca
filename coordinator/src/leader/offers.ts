import type { JobRecord, Presence } from '@crossfold/shared/jobs/records';
import { isFinal } from '@crossfold/shared/jobs/records';

/** Seats of a job given out and not yet all seen filled. */
export interface Offered {
  /** How many members the job has once all of them are filled. */
  readonly upTo: number;
  /** Members and generation of the job when they were given out, and since when it had been in its state. */
  readonly members: number;
  readonly generation: number;
  readonly since: number;
}

/**
 * The seats to give out now, in order. All seats that one job needs come before the next job's, those of a group first
 * whose members cannot begin without them, and what jobs are to be widened by after those. No more are given out than workers can soon take: those that idle, and one beside (not to
 * widen a job), so that a worker that ends a job finds the next one waiting.
 *
 * @param jobs in the order of their turns
 * @param waiting seats that lie in the queue or are taken and not yet filled, by the identity that they are for.
 */
export function planOffers(
  jobs: readonly JobRecord[],
  workers: readonly Presence[],
  waiting: ReadonlyMap<string, number>,
  offered: ReadonlyMap<string, Offered>,
): JobRecord[] {
  const room = new Map<string, number>();
  for (const worker of workers) {
    const spare = room.get(worker.identity) ?? 1 - (waiting.get(worker.identity) ?? 0);
    room.set(worker.identity, spare + (worker.state === 'idle' ? 1 : 0));
  }
  const offers: JobRecord[] = [];
  const offer = (job: JobRecord, seats: number, keep: number): void => {
    for (let seat = 0; seat < seats; seat++) {
      const left = room.get(job.identity) ?? 0;
      if (left <= keep) break;
      room.set(job.identity, left - 1);
      offers.push(job);
    }
  };
  const open = jobs
    .filter(({ state }) => !isFinal(state))
    .map((job) => {
      const pending = offered.get(job.id);
      return { job, from: pending !== undefined && !isSettled(job, pending) ? pending.upTo : job.members.length };
    })
    .toSorted((a, b) => Number(b.job.state === 'forming') - Number(a.job.state === 'forming'));
  for (const { job, from } of open) offer(job, Math.min(job.minSeats, job.seats) - from, 0);
  for (const { job, from } of open) offer(job, job.seats - Math.max(from, job.minSeats), 1);
  return offers;
}

/** Whether seats that were given out are filled, or lost with a member that had taken one. */
export const isSettled = (job: JobRecord, offer: Offered): boolean =>
  job.members.length >= offer.upTo ||
  job.members.length < offer.members ||
  // A group that was lost while it formed has opened no generation.
  (job.members.length === 0 && (job.generation !== offer.generation || job.since !== offer.since));
