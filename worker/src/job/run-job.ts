import { randomBytes } from 'node:crypto';
import type { Broker } from '@crossfold/shared/broker/broker';
import type { Roster } from '@crossfold/shared/broker/presence';
import type { JobRecord } from '@crossfold/shared/jobs/records';
import type { Stamp } from '@crossfold/shared/jobs/transitions';
import {
  complete,
  failAttempt,
  failForGood,
  handBack,
  isSurplus,
  removeMembers,
  startWithFewer,
  yieldSeat,
} from '@crossfold/shared/jobs/transitions';
import type { Logger } from '@crossfold/shared/logger';
import { aborted } from '@crossfold/shared/wait';
import type { Waits } from '@crossfold/shared/waits';
import type { JobObserver } from '../observe/observer.ts';
import { HopelessError } from './actions.ts';
import { GenerationChangedError, Membership, NotMemberError } from './membership.ts';

/** What a worker brings to a job. */
export interface JobContext {
  readonly broker: Broker;
  /** This worker's id. */
  readonly worker: string;
  readonly roster: Roster;
  readonly logger: Logger;
  readonly waits: Waits;
  readonly now: () => number;
  /** Aborts when the worker is asked to leave: it hands over at the next step boundary. */
  readonly drain: AbortSignal;
  readonly observer: Required<JobObserver>;
}

/** The worker leaves of its own will. */
export class DrainError extends Error {}

/** One generation, as a member sees it that takes part in it. */
export interface Generation {
  readonly record: JobRecord;
  readonly rank: number;
  /** Aborts when the generation closes. */
  readonly signal: AbortSignal;
  /** Whether this member has no seat any more: the job is narrowed, and it should leave between two steps. */
  surplus(): boolean;
  /** Leaves the group; false where it has got its seat back meanwhile, or the generation is closed. */
  leave(): Promise<boolean>;
}

/** A job as the members of its group carry it out, one generation after another. */
export interface JobRunner {
  /**
   * Takes part in one generation. Rank 0 stores the job's result and returns its reference; the others are at hand for
   * whatever their peers may lack until the signal aborts. Keeps the state that was reached in any case.
   *
   * @throws the signal's reason when it aborts.
   */
  generation(generation: Generation): Promise<NonNullable<JobRecord['result']>>;
  close(): Promise<void>;
}

/** A forming group starts with the members it has after this long. */
export const formingMs = 5000;
const watchEveryMs = 200;

/** A stamp for a transition that may open a generation. */
export const stamp = (now: () => number): Stamp => ({ now: now(), secret: randomBytes(32).toString('base64url') });

/**
 * Carries a job out as one of its members, from the seat that was taken to the record's final state or to the moment
 * that this worker is no member any more. Never throws for a reason that lies in the job: that goes into its record.
 */
export async function runJob(context: JobContext, record: JobRecord, runner: JobRunner): Promise<void> {
  const { broker, worker, logger, waits, now } = context;
  const over = new AbortController();
  const membership = await Membership.follow(broker, record, worker, over.signal);
  const guard = guardMembers(context, membership, over.signal);
  try {
    for (;;) {
      await formed(context, membership);
      const generation = enter(context, membership);
      const { generation: number, members } = generation.record;
      logger.info({ generation: number, members: members.map((m) => m.worker) }, 'generation opened');
      try {
        const result = await runner.generation(generation);
        const completed = await waits.during(
          logger,
          'the broker to take down the result',
          broker.jobs.transition(record.id, (job) => complete(job, worker, number, result, stamp(now))),
        );
        if (completed !== undefined) return;
        // Somebody has changed the record meanwhile, and so closed the generation.
        await waits.during(logger, 'word of a new generation', aborted(generation.signal));
        throw generation.signal.reason;
      } catch (error) {
        const reason = generation.signal.aborted ? generation.signal.reason : error;
        if (!(reason instanceof GenerationChangedError)) throw reason;
        logger.info('generation closed');
      }
    }
  } catch (error) {
    await giveUp(context, membership.record, error);
  } finally {
    over.abort();
    clearInterval(guard);
    await runner.close();
  }
}

/** @throws NotMemberError where this worker is not, or no longer, a member. */
function enter({ broker, worker, now, observer }: JobContext, membership: Membership): Generation {
  const { record, signal } = membership.enter();
  const rank = membership.rank;
  return {
    record,
    rank,
    signal,
    surplus: () => isSurplus(membership.record, rank),
    async leave() {
      const left = await broker.jobs.transition(record.id, (job) =>
        yieldSeat(job, worker, record.generation, stamp(now)),
      );
      if (left !== undefined) observer.changed('narrowed', false);
      return left !== undefined;
    },
  };
}

async function giveUp(context: JobContext, record: JobRecord, error: unknown): Promise<void> {
  const { broker, worker, logger, now, observer } = context;
  if (error instanceof NotMemberError) {
    logger.info('no longer a member of the job');
    return;
  }
  if (error instanceof DrainError) {
    const handed = await broker.jobs.transition(record.id, (job) => handBack(job, worker, stamp(now)));
    if (handed !== undefined) observer.changed('left', false);
    logger.info('handed the job over');
    return;
  }
  const message = error instanceof Error ? error.message : String(error);
  logger.error({ err: error }, 'the job failed here');
  const fail = error instanceof HopelessError ? failForGood : failAttempt;
  const failed = await broker.jobs.transition(record.id, (job) =>
    fail(job, worker, job.generation, message, stamp(now)),
  );
  if (failed !== undefined) observer.changed('failed', failed.state === 'queued');
}

/** Resolves once a generation is open, or nothing more will come of the group. */
async function formed({ waits, logger, now }: JobContext, membership: Membership): Promise<void> {
  const startedAt = now();
  const done = waits.watch(logger, () => {
    const { members, seats } = membership.record;
    const what = `${seats - members.length} of ${seats} seats of the group to be taken`;
    return { members: [], what, sinceMs: now() - startedAt };
  });
  while (membership.record.state === 'forming' && membership.rank >= 0) await membership.changed(formingMs);
  done();
}

/**
 * Looks after the group while it lives: a member that is silent is removed, by whichever survivor is first, and a
 * forming group that has waited long enough starts. The leader does the same for groups without survivors.
 */
function guardMembers(context: JobContext, membership: Membership, over: AbortSignal): NodeJS.Timeout {
  const { broker, roster, worker, logger, now, observer } = context;
  let busy = false;
  // By this worker's own clock, so that clocks need not agree.
  const joined = new Map<string, number>();
  let formingSince: number | undefined;
  const look = async (): Promise<void> => {
    const job = membership.record;
    formingSince = job.state === 'forming' ? (formingSince ?? now()) : undefined;
    if (formingSince !== undefined && now() - formingSince >= formingMs) {
      const started = await broker.jobs.transition(job.id, (current) => startWithFewer(current, stamp(now)));
      if (started !== undefined) {
        observer.changed('started', false);
        logger.warn({ members: started.members.length, seats: started.seats }, 'started with fewer members');
      }
    }
    for (const { worker: peer } of job.members) if (!joined.has(peer)) joined.set(peer, now());
    const lost = job.members
      .map((m) => m.worker)
      .filter((peer) => peer !== worker && roster.isLost(peer, job.id, joined.get(peer) ?? now()));
    if (lost.length === 0 || membership.rank < 0) return;
    const next = await broker.jobs.transition(job.id, (current) => removeMembers(current, new Set(lost), stamp(now)));
    if (next === undefined) return;
    observer.changed('lost', next.state === 'queued');
    logger.warn({ lost, generation: next.generation }, 'members were lost');
  };
  return setInterval(() => {
    if (busy || over.aborted) return;
    busy = true;
    look()
      .catch((error: unknown) => logger.warn({ err: error }, 'could not look after the group'))
      .finally(() => {
        busy = false;
      });
  }, watchEveryMs);
}
