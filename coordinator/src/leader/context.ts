import type { Broker } from '@crossfold/shared/broker/broker';
import type { Roster } from '@crossfold/shared/broker/presence';
import type { ExperimentRecord, JobRecord } from '@crossfold/shared/jobs/records';
import type { Logger } from '@crossfold/shared/logger';
import type { Quotas } from '@crossfold/shared/quotas';
import type { SweepTiming } from './sweep-timing.ts';

/** What the leading coordinator knows, mirrored from the broker by watching. */
export interface View {
  readonly experiments: ReadonlyMap<string, ExperimentRecord>;
  readonly jobs: ReadonlyMap<string, JobRecord>;
}

export interface LeaderContext {
  readonly broker: Broker;
  readonly roster: Roster;
  readonly logger: Logger;
  readonly now: () => number;
  /** True while this process surely leads; asked before every round. */
  readonly leads: () => boolean;
  readonly observer: LeaderObserver;
  /** What experiments may take. */
  readonly quotas: Quotas;
  /** When what nobody needs any more is removed. */
  readonly sweeps: SweepTiming;
}

/** Told what is for metrics alone. */
export interface LeaderObserver {
  /** Leading has begun; the view changes with the records until the signal aborts. */
  lead(view: View, signal: AbortSignal): void;
  /** All members of a job were lost; `again`: it is queued for another attempt. */
  lost(again: boolean): void;
  /** Whether an experiment waits for a worker that could carry its jobs out. */
  waits(experiment: string, waiting: boolean): void;
}
