import type { JobRecord } from '@crossfold/shared/jobs/records';
import type { JobProgress } from '@crossfold/shared/progress';
import type { Exchange } from '../exchange/exchange.ts';

/** Why a job's generation was opened or closed by this worker: it is counted by whoever changed the record. */
export type ChangeReason = 'started' | 'joined' | 'returned' | 'lost' | 'left' | 'narrowed' | 'reopened' | 'failed';

/** This worker's place in a generation that it has entered. */
export interface GroupPlace {
  readonly record: JobRecord;
  readonly rank: number;
  readonly exchange: Exchange;
}

/** When the phases of a train step ended, in milliseconds on the worker's clock. */
export interface StepTimes {
  readonly started: number;
  /** Of the time until `computed`, how much went into getting the batch ready. */
  readonly dataMs: number;
  readonly computed: number;
  readonly summed: number;
  readonly updated: number;
}

export interface SteppedFacts {
  /** From 0. */
  readonly epoch: number;
  readonly step: number;
  /** Slices that this worker computed the gradient of, and samples in them. */
  readonly slices: number;
  readonly samples: number;
  readonly transport: Exchange['transport'];
  readonly times: StepTimes;
}

/** A stretch of time on the worker's clock, epoch milliseconds. */
export interface Stretch {
  readonly from: number;
  readonly to: number;
}

/**
 * Told what a worker does, by the code that does it: metrics, the timeline and the log's fields hang on it. Calls are
 * cheap, nothing waits for them, and none of them throws. Times are milliseconds on the worker's clock.
 */
export interface JobObserver {
  /** This worker has changed a job's record; `again`: its job is given back for another attempt. */
  changed?(reason: ChangeReason, again: boolean): void;
  /** A generation is entered. */
  entered?(place: GroupPlace): void;
  /** All its members hold the same state: `how` this one came to it. */
  agreed?(how: 'kept' | 'fetched' | 'restored' | 'fresh', position: number, took: Stretch): void;
  stepped?(facts: SteppedFacts): void;
  validated?(epoch: number, took: Stretch): void;
  /** This worker's checkpoint has been written, or could not be. */
  checkpointed?(written: boolean, bytes: number, took: Stretch): void;
  /** Rank 0's account of the job, about twice a second. */
  progressed?(record: JobRecord, progress: JobProgress): void;
  /** The job's loss is no number any more. */
  diverged?(): void;
  /** The generation that was entered last is left. */
  left?(): void;
}

/** One observer for several. */
export function observers(all: readonly JobObserver[]): Required<JobObserver> {
  return {
    changed(...facts) {
      for (const one of all) one.changed?.(...facts);
    },
    entered(...facts) {
      for (const one of all) one.entered?.(...facts);
    },
    agreed(...facts) {
      for (const one of all) one.agreed?.(...facts);
    },
    stepped(...facts) {
      for (const one of all) one.stepped?.(...facts);
    },
    validated(...facts) {
      for (const one of all) one.validated?.(...facts);
    },
    checkpointed(...facts) {
      for (const one of all) one.checkpointed?.(...facts);
    },
    progressed(...facts) {
      for (const one of all) one.progressed?.(...facts);
    },
    diverged() {
      for (const one of all) one.diverged?.();
    },
    left() {
      for (const one of all) one.left?.();
    },
  };
}
