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
  removeMembers,
  startWithFewer,
} from '@crossfold/shared/jobs/transitions';
import type { Logger } from '@crossfold/shared/logger';
import { aborted } from '@crossfold/shared/wait';
import { HopelessError } from './actions.ts';
import { GenerationChangedError, Membership, NotMemberError } from './membership.ts';

/** What a worker brings to a job. */
export interface JobContext {
  readonly broker: Broker;
  /** This worker's id. */
  readonly worker: string;
  readonly roster: Roster;
  readonly logger: Logger;
  readonly now: () => number;
  /** Aborts when the worker is asked to leave: it hands over at the next step boundary. */
  readonly drain: AbortSignal;
}

/** The worker leaves of its own will. */
export class DrainError extends Error {}

/** A job as the members of its group carry it out, one generation after another. */
export interface JobRunner {
  /**
   * Takes part in one generation until the job's result is stored (its reference is returned to the rank that stored
   * it, undefined to the others) or the generation's signal aborts. Keeps the state that was reached in any case.
   */
  generation(record: JobRecord, rank: number, signal: AbortSignal): Promise<JobRecord['result'] | undefined>;
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
  const { broker, worker, logger, now } = context;
  const over = new AbortController();
  const membership = await Membership.follow(broker, record, worker, over.signal);
  membership.wrote(record);
  const guard = guardMembers(context, membership, over.signal);
  try {
    for (;;) {
      await formed(membership);
      const generation = membership.enter();
      logger.info(
        { generation: generation.record.generation, members: generation.record.members.map((m) => m.worker) },
        'generation opened',
      );
      try {
        const result = await runner.generation(generation.record, membership.rank, generation.signal);
        if (result === undefined || result === null) {
          // Another rank stores the result: the record becomes final, or that rank is lost and a generation opens.
          await aborted(generation.signal);
          throw generation.signal.reason;
        }
        const completed = await broker.jobs.transition(record.id, (job) =>
          complete(job, worker, generation.record.generation, result, stamp(now)),
        );
        if (completed !== undefined) return;
        await aborted(generation.signal);
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

async function giveUp(context: JobContext, record: JobRecord, error: unknown): Promise<void> {
  const { broker, worker, logger, now } = context;
  if (error instanceof NotMemberError) {
    logger.info('no longer a member of the job');
    return;
  }
  if (error instanceof DrainError) {
    await broker.jobs.transition(record.id, (job) => handBack(job, worker, stamp(now)));
    logger.info('handed the job over');
    return;
  }
  const message = error instanceof Error ? error.message : String(error);
  logger.error({ err: error }, 'the job failed here');
  const fail = error instanceof HopelessError ? failForGood : failAttempt;
  await broker.jobs.transition(record.id, (job) => fail(job, worker, job.generation, message, stamp(now)));
}

/** Resolves once a generation is open, or nothing more will come of the group. */
async function formed(membership: Membership): Promise<void> {
  while (membership.record.state === 'forming' && membership.rank >= 0) await membership.changed(formingMs);
}

/**
 * Looks after the group while it lives: a member that is silent is removed, by whichever survivor is first, and a
 * forming group that has waited long enough starts. The leader does the same for groups without survivors.
 */
function guardMembers(context: JobContext, membership: Membership, over: AbortSignal): NodeJS.Timeout {
  const { broker, roster, worker, logger, now } = context;
  let busy = false;
  // By this worker's own clock, so that clocks need not agree.
  const joined = new Map<string, number>();
  let formingSince: number | undefined;
  const look = async (): Promise<void> => {
    const job = membership.record;
    formingSince = job.state === 'forming' ? (formingSince ?? now()) : undefined;
    if (formingSince !== undefined && now() - formingSince >= formingMs) {
      const started = await broker.jobs.transition(job.id, (current) => startWithFewer(current, stamp(now)));
      if (started !== undefined)
        logger.warn({ members: started.members.length, seats: started.seats }, 'started with fewer members');
    }
    for (const { worker: peer } of job.members) if (!joined.has(peer)) joined.set(peer, now());
    const lost = job.members
      .map((m) => m.worker)
      .filter((peer) => peer !== worker && roster.isLost(peer, joined.get(peer) ?? now()));
    if (lost.length === 0 || membership.rank < 0) return;
    const next = await broker.jobs.transition(job.id, (current) => removeMembers(current, new Set(lost), stamp(now)));
    if (next !== undefined) logger.warn({ lost, generation: next.generation }, 'members were lost');
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
