import { randomBytes } from 'node:crypto';
import type { Broker } from '@crossfold/shared/broker/broker';
import type { Roster } from '@crossfold/shared/broker/presence';
import { isBrokerTrouble } from '@crossfold/shared/errors';
import type { Faults } from '@crossfold/shared/faults';
import type { JobRecord } from '@crossfold/shared/jobs/records';
import type { Stamp } from '@crossfold/shared/jobs/transitions';
import type { Logger } from '@crossfold/shared/logger';
import type { Waits } from '@crossfold/shared/waits';
import type { JobObserver } from '../observe/observer.ts';

/** The worker leaves of its own will. */
export class DrainError extends Error {}

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
  readonly faults: Faults;
}

/** One generation, as a member sees it that takes part in it. */
export interface Generation {
  readonly record: JobRecord;
  readonly rank: number;
  /** Aborts when the generation closes. */
  readonly signal: AbortSignal;
  /** Whether this member has no seat any more: the job is narrowed, and it should leave between two steps. */
  surplus(): boolean;
  /** The job's attempts by now: somebody who was taken for lost may have taken back its own. */
  attempts(): number;
  /** Leaves the group; false where it has got its seat back meanwhile, or the generation is closed. */
  leave(): Promise<boolean>;
}

/** A stamp for a transition that may open a generation. */
export const stamp = (now: () => number): Stamp => ({ now: now(), secret: randomBytes(32).toString('base64url') });

/** Tries to have something taken down until the broker does, or this worker is asked to leave. */
export async function insist<T>({ logger, drain }: JobContext, act: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await act();
    } catch (error) {
      if (!isBrokerTrouble(error)) throw error;
      if (drain.aborted) throw new DrainError();
      logger.warn({ err: error }, 'the broker has not taken it down yet');
    }
  }
}
