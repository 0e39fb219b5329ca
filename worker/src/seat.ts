import type { TakenSeat } from '@crossfold/shared/broker/seats';
import { isBrokerTrouble } from '@crossfold/shared/errors';
import { faultsIn } from '@crossfold/shared/faults';
import type { JobRecord } from '@crossfold/shared/jobs/records';
import { isFinal, placeName } from '@crossfold/shared/jobs/records';
import { failAttempt, reopen, takeSeat } from '@crossfold/shared/jobs/transitions';
import type { Fitness } from './fitness.ts';
import { stamp } from './job/context.ts';
import type { JobParts } from './job/open-job.ts';
import { openJob } from './job/open-job.ts';
import type { Ending, JobRunner } from './job/run-job.ts';
import { runJob } from './job/run-job.ts';

/** How often a seat that is being prepared for is told to the queue to be still wanted. */
const stillWantedMs = 1000;

export interface SeatParts extends JobParts {
  readonly fitness: Fitness;
  /** Digest of this worker's engine identity. */
  readonly identity: string;
}

/**
 * From a seat to the end of the membership that it leads to. A seat is acknowledged once membership, or that there is
 * none to be had, is on record: if this worker dies before, another is given the seat. One that comes again, though its
 * job is over or its group is full, is dropped without a change to the record.
 */
export async function sit(parts: SeatParts, seat: TakenSeat): Promise<void> {
  const wanted = setInterval(() => seat.stillWanted(), stillWantedMs);
  const settle = (how: 'acknowledge' | 'refuse'): void => {
    clearInterval(wanted);
    seat[how]();
  };
  try {
    const ending = await fill({ ...parts, faults: faultsIn(parts.faults, seat.job) }, seat.job, settle);
    if (ending?.how === 'failed') parts.fitness.failed(seat.job, ending.reason);
    if (ending?.how === 'over') parts.fitness.succeeded();
    if (ending?.how === 'cut off') parts.fitness.cutOff(seat.job);
  } finally {
    clearInterval(wanted);
  }
}

async function fill(
  parts: SeatParts,
  id: string,
  settle: (how: 'acknowledge' | 'refuse') => void,
): Promise<Ending | undefined> {
  const { broker, worker, now, observer } = parts;
  const stored = await broker.jobs.get(id);
  if (stored === undefined || !isOpen(stored.value, worker)) {
    settle('acknowledge');
    return undefined;
  }
  if (parts.drain.aborted || isForOthers(parts, stored.value)) {
    settle('refuse');
    return undefined;
  }
  const { experiment, trial } = stored.value;
  const logger = parts.logger.child({ experiment, job: id, trial, fold: placeName(stored.value) });
  // Data and model first: those who are members already go on undisturbed until this worker can compute with them.
  let runner: JobRunner;
  try {
    const opening = openJob({ ...parts, logger }, stored.value);
    runner = await parts.waits.during(logger, "the job's data and model to be ready", opening);
  } catch (error) {
    if (isBrokerTrouble(error)) {
      settle('refuse');
      throw error;
    }
    return notOpened({ ...parts, logger }, id, error, settle);
  }
  await parts.faults.at('opened');
  const member = { worker, address: parts.listener?.address ?? null };
  let before: JobRecord['state'] = stored.value.state;
  let joined: JobRecord | undefined;
  try {
    joined = await broker.jobs.transition(id, (job) => {
      before = job.state;
      // On record already: the broker's answer was lost, or it never heard that this worker had given up.
      return job.members.some((m) => m.worker === worker)
        ? reopen(job, worker, job.generation, stamp(now))
        : takeSeat(job, member, stamp(now));
    });
  } catch (error) {
    await runner.close();
    throw error;
  }
  if (joined !== undefined) logger.info({ members: joined.members.length, seats: joined.seats }, 'took a seat');
  await parts.faults.at('seated');
  settle('acknowledge');
  if (joined === undefined) {
    await runner.close();
    logger.debug('the seat was not free any more');
    return undefined;
  }
  if (joined.state === 'running') observer.changed(before === 'running' ? 'joined' : 'started', false);
  return runJob({ ...parts, logger }, joined, runner);
}

/**
 * Whether there is a place for this worker. Seats may be taken back before anybody comes for them, and come again after
 * they were filled, see `SeatQueue`: what the record does not want is dropped before anything is loaded for it.
 */
const isOpen = (job: JobRecord, worker: string): boolean =>
  !isFinal(job.state) &&
  job.state !== 'paused' &&
  (job.members.length < job.seats || job.members.some((m) => m.worker === worker));

/** Whether a job should go to another worker, of which there are some: it failed here before, or its group is cut off. */
function isForOthers({ fitness, roster, worker, identity }: SeatParts, job: JobRecord): boolean {
  const threwHere = job.failedOn.includes(worker);
  if (!fitness.avoids(job) && !threwHere) return false;
  const others = roster
    .alive()
    .filter((other) => other.worker !== worker && other.identity === identity && !job.failedOn.includes(other.worker));
  if (others.some(({ state }) => state === 'idle')) return true;
  // Whoever is busy may be so for hours: a job that threw once is not kept waiting for that long.
  return others.some(({ state }) => state === 'busy') && (!threwHere || fitness.leaves(job.id));
}

/**
 * The job could not even be opened here. Where others are at it they must not suffer from it; where nobody is, this is
 * an attempt that failed.
 */
async function notOpened(
  parts: SeatParts,
  id: string,
  error: unknown,
  settle: (how: 'acknowledge' | 'refuse') => void,
): Promise<Ending> {
  const { broker, worker, now, logger, observer } = parts;
  const reason = error instanceof Error ? error.message : String(error);
  logger.error({ err: error }, 'the job could not be opened');
  const failed = await broker.jobs.transition(id, (job) => {
    const joined = job.members.length > 0 ? undefined : takeSeat(job, { worker, address: null }, stamp(now));
    return joined && failAttempt(joined, worker, joined.generation, reason, stamp(now));
  });
  settle('acknowledge');
  if (failed !== undefined) observer.changed('failed', failed.state === 'queued');
  return { how: 'failed', reason };
}
