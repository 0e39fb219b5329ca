import type { JobRecord, Presence } from '@crossfold/shared/jobs/records';
import { isFinal } from '@crossfold/shared/jobs/records';

/** Seats of a job given out and not yet all seen filled. */
export interface Offered {
  /** How many members the job has once all of them are filled. */
  readonly upTo: number;
  /** Members and generation of the job when they were given out. */
  readonly members: number;
  readonly generation: number;
}

/** Test jobs first (they end an experiment), then in the order of experiments, trials, repeats and folds. */
export function queueOrder(a: QueuedJob, b: QueuedJob): number {
  return (
    a.experimentSince - b.experimentSince ||
    Number(b.job.kind === 'test') - Number(a.job.kind === 'test') ||
    a.job.trial - b.job.trial ||
    a.job.repeat - b.job.repeat ||
    a.job.fold - b.job.fold
  );
}

export interface QueuedJob {
  readonly job: JobRecord;
  /** When the experiment was submitted: the first come is served first. */
  readonly experimentSince: number;
}

/**
 * The seats to give out now, in order. All seats of one job come before the next job's, and no more are given out than
 * workers can soon take: those that idle, and one beside, so that a worker that ends a job finds the next one waiting.
 *
 * @param waiting seats that lie in the queue or are taken and not yet filled.
 */
export function planOffers(
  jobs: readonly QueuedJob[],
  workers: readonly Presence[],
  waiting: number,
  offered: ReadonlyMap<string, Offered>,
): JobRecord[] {
  const room = new Map<string, number>();
  for (const worker of workers) {
    const spare = room.get(worker.identity) ?? 1 - waiting;
    room.set(worker.identity, spare + (worker.state === 'idle' ? 1 : 0));
  }
  const offers: JobRecord[] = [];
  for (const { job } of [...jobs].sort(queueOrder)) {
    if (isFinal(job.state)) continue;
    const pending = offered.get(job.id);
    const expected = pending !== undefined && !isSettled(job, pending) ? pending.upTo : job.members.length;
    const open = job.seats - expected;
    for (let seat = 0; seat < open; seat++) {
      const left = room.get(job.identity) ?? 0;
      if (left <= 0) break;
      room.set(job.identity, left - 1);
      offers.push(job);
    }
  }
  return offers;
}

/** Whether seats that were given out are filled, or lost with a member that had taken one. */
export const isSettled = (job: JobRecord, offer: Offered): boolean =>
  job.members.length >= offer.upTo ||
  job.members.length < offer.members ||
  (job.members.length === 0 && job.generation !== offer.generation);
