import { isBrokerTrouble, TimeoutError } from '@crossfold/shared/errors';
import type { JobRecord } from '@crossfold/shared/jobs/records';
import { isFinal } from '@crossfold/shared/jobs/records';
import {
  complete,
  failAttempt,
  failForGood,
  handBack,
  isSurplus,
  reopen,
  yieldSeat,
} from '@crossfold/shared/jobs/transitions';
import { aborted, pause } from '@crossfold/shared/wait';
import { HopelessError } from './actions.ts';
import { returns } from './come-back.ts';
import { DrainError, type Generation, insist, type JobContext, stamp } from './context.ts';
import { guardMembers, lookEveryMs, unreached } from './guard.ts';
import { GenerationChangedError, Membership, NotMemberError } from './membership.ts';

/** A job as the members of its group carry it out, one generation after another. */
export interface JobRunner {
  /**
   * Takes part in one generation. Rank 0 stores the job's result and returns its reference; the others are at hand for
   * whatever their peers may lack until the signal aborts. Keeps the state that was reached in any case.
   *
   * @throws the signal's reason when it aborts.
   */
  generation(generation: Generation): Promise<NonNullable<JobRecord['result']>>;
  /** Puts the state that was reached in a checkpoint, for whoever goes on; this worker is the only member. */
  save(record: JobRecord): Promise<void>;
  close(): Promise<void>;
}

/**
 * How a membership ended: the job came to its end; this worker left it, or was removed; it was removed as one that does
 * not reach its peers; an attempt threw on it, with a reason that may lie in the worker.
 */
export type Ending =
  | { readonly how: 'over' | 'left' | 'cut off' }
  | { readonly how: 'failed'; readonly reason: string };

/** How long a group that begins anew because the broker failed it takes breath. */
const anewAfterMs = 1000;
/** How often a worker that leaves as the last one finds that another has just come. */
const maxHandOvers = 5;

/**
 * Carries a job out as one of its members, from the seat that was taken to the record's final state or to the moment
 * that this worker is no member any more. Never throws for a reason that lies in the job: that goes into its record.
 */
export async function runJob(context: JobContext, record: JobRecord, runner: JobRunner): Promise<Ending> {
  const { broker, worker } = context;
  const over = new AbortController();
  const membership = await Membership.follow(broker, record, worker, over.signal);
  const endGuard = guardMembers(context, membership);
  let missed: string[] = [];
  try {
    for (;;) {
      await formed(context, membership);
      const generation = enter(context, membership);
      missed = [];
      const look = (): void => {
        missed = unreached(context, membership.record);
      };
      // Before any of those that wait hears of it, and waits no more.
      generation.signal.addEventListener('abort', look, { once: true });
      const { generation: number, members } = generation.record;
      const { rank } = generation;
      context.logger.info({ generation: number, rank, members: members.map((m) => m.worker) }, 'generation opened');
      try {
        await take(context, generation, runner);
        return { how: 'over' };
      } catch (error) {
        const reason = generation.signal.aborted ? generation.signal.reason : error;
        if (reason instanceof GenerationChangedError) context.logger.info('generation closed');
        else if (isBrokerTrouble(reason) || reason instanceof TimeoutError)
          await beginAnew(context, generation, reason as Error);
        else if (
          !(reason instanceof NotMemberError) ||
          missed.length > 0 ||
          !(await returns(context, membership, generation))
        )
          throw reason;
      }
    }
  } catch (error) {
    return await giveUp(context, membership, runner, error, missed);
  } finally {
    endGuard();
    over.abort();
    await runner.close();
  }
}

/** Takes part in a generation to the job's end. @throws the signal's reason when it closes before. */
async function take(context: JobContext, generation: Generation, runner: JobRunner): Promise<void> {
  const { broker, worker, logger, waits, now } = context;
  const { record, signal } = generation;
  const result = await runner.generation(generation);
  await context.faults.at('acknowledging', { rank: generation.rank });
  let before: JobRecord['checkpoint'] = null;
  const completed = await waits.during(
    logger,
    'the broker to take down the result',
    broker.jobs.transition(record.id, (job) => {
      before = job.checkpoint;
      return complete(job, worker, record.generation, result, stamp(now));
    }),
  );
  if (completed !== undefined) {
    await forgetBlob(context, before, completed);
    return;
  }
  // Somebody has changed the record meanwhile, and so closed the generation.
  await waits.during(logger, 'word of a new generation', aborted(signal));
  throw signal.reason;
}

/** Removes a checkpoint that nobody needs any more; where that fails the leader does it some time. */
async function forgetBlob(
  { broker, logger }: JobContext,
  before: JobRecord['checkpoint'],
  { checkpoint }: JobRecord,
): Promise<void> {
  if (before === null || checkpoint !== null) return;
  await broker.checkpoints
    .remove(before.digest)
    .catch((error: unknown) => logger.warn({ err: error }, 'the last checkpoint could not be removed yet'));
}

/** @throws NotMemberError where this worker is not, or no longer, a member; DrainError where it is to leave. */
function enter({ broker, worker, now, observer, drain }: JobContext, membership: Membership): Generation {
  const { record, signal } = membership.enter();
  if (drain.aborted) throw new DrainError();
  const rank = membership.rank;
  return {
    record,
    rank,
    signal,
    surplus: () => isSurplus(membership.record, rank),
    attempts: () => membership.record.attempts,
    async leave() {
      const left = await broker.jobs.transition(record.id, (job) =>
        yieldSeat(job, worker, record.generation, stamp(now)),
      );
      if (left !== undefined) observer.changed('narrowed', false);
      return left !== undefined;
    },
  };
}

/**
 * The broker failed this member in the middle of a generation, and its peers may be anywhere in it: all begin a new one,
 * with what they hold, once the broker is there again.
 *
 * @throws DrainError where this worker is asked to leave before that
 */
async function beginAnew(context: JobContext, { record, signal }: Generation, reason: Error): Promise<void> {
  const { broker, worker, logger, waits, now, drain, observer } = context;
  logger.warn({ err: reason }, 'the broker could not be used: the group begins anew once it can');
  const opened = await insist(context, () =>
    broker.jobs.transition(record.id, (job) => reopen(job, worker, record.generation, stamp(now))),
  );
  if (opened !== undefined) observer.changed('reopened', false);
  await waits.during(logger, 'word of a new generation', aborted(signal));
  if (signal.reason instanceof NotMemberError) throw signal.reason;
  await pause(anewAfterMs, drain);
}

/** @param missed peers that this worker did not reach in the generation that has closed */
async function giveUp(
  context: JobContext,
  membership: Membership,
  runner: JobRunner,
  error: unknown,
  missed: readonly string[],
): Promise<Ending> {
  const { broker, worker, logger, now, observer } = context;
  const { id } = membership.record;
  if (error instanceof NotMemberError) {
    if (isFinal(membership.record.state)) return { how: 'over' };
    logger.info(missed.length === 0 ? {} : { unreached: missed }, 'no longer a member of the job');
    return { how: missed.length === 0 ? 'left' : 'cut off' };
  }
  if (error instanceof DrainError) {
    await handOver(context, membership, runner);
    return { how: 'left' };
  }
  const reason = error instanceof Error ? error.message : String(error);
  logger.error({ err: error }, 'the job failed here');
  const fail = error instanceof HopelessError ? failForGood : failAttempt;
  const failed = await insist(context, () =>
    broker.jobs.transition(id, (job) => fail(job, worker, job.generation, reason, stamp(now))),
  );
  if (failed !== undefined) observer.changed('failed', failed.state === 'queued');
  return error instanceof HopelessError ? { how: 'over' } : { how: 'failed', reason };
}

/** Leaves of this worker's own will: others go on with what they hold; the last one leaves a checkpoint. */
async function handOver(context: JobContext, membership: Membership, runner: JobRunner): Promise<void> {
  const { broker, worker, logger, now, observer } = context;
  const { id } = membership.record;
  const leave = (which: (members: number) => boolean): Promise<JobRecord | undefined> =>
    broker.jobs.transition(id, (job) =>
      which(job.members.length) && job.members.some((m) => m.worker === worker)
        ? handBack(job, worker, stamp(now))
        : undefined,
    );
  for (let tries = 1; tries <= maxHandOvers; tries++) {
    let left = await leave((members) => members > 1);
    if (left === undefined) {
      const record = (await broker.jobs.get(id))?.value;
      if (record === undefined || !record.members.some((m) => m.worker === worker)) break;
      if (record.members.length === 1) {
        await runner.save(record);
        // Somebody may have come meanwhile, with nothing to go on from but that checkpoint.
        left = await leave((members) => members === 1 || tries === maxHandOvers);
      }
    }
    if (left === undefined) continue;
    observer.changed('left', false);
    break;
  }
  logger.info('handed the job over');
}

/** Resolves once a generation is open, or nothing more will come of the group, or this worker is asked to leave. */
async function formed({ waits, logger, now, drain }: JobContext, membership: Membership): Promise<void> {
  const startedAt = now();
  const done = waits.watch(logger, () => {
    const { members, seats } = membership.record;
    const what = `${seats - members.length} of ${seats} seats of the group to be taken`;
    return { members: [], what, sinceMs: now() - startedAt };
  });
  while (membership.record.state === 'forming' && membership.rank >= 0 && !drain.aborted)
    await membership.changed(lookEveryMs);
  done();
}
