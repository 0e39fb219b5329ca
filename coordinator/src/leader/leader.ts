import type { Broker } from '@crossfold/shared/broker/broker';
import type { Roster } from '@crossfold/shared/broker/presence';
import { writeQuotas } from '@crossfold/shared/broker/quotas';
import type { ExperimentRecord, JobRecord } from '@crossfold/shared/jobs/records';
import type { Logger } from '@crossfold/shared/logger';
import type { Quotas } from '@crossfold/shared/quotas';
import { pause } from '@crossfold/shared/wait';
import { Bell } from './bell.ts';
import { Board } from './board.ts';
import { Rounds } from './rounds.ts';
import type { SweepTiming } from './sweep-timing.ts';
import { sweep } from './sweeper.ts';

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

/** Rounds follow changes, and time, no faster and no slower than this. */
const betweenRoundsMs = 20;
const roundEveryMs = 200;

/**
 * Leads while `signal` is not aborted: prepares experiments, gives out seats, gives jobs without live members back to
 * the queue, ends experiments. Holds nothing that is not on the broker, so that another can take over at any moment;
 * all its changes are transitions that are valid whoever makes them.
 */
export async function lead(context: LeaderContext, signal: AbortSignal): Promise<void> {
  const { broker, logger, roster } = context;
  const bell = new Bell();
  const board = new Board(() => bell.ring());
  roster.onChange(() => bell.ring(), signal);
  await mirror(broker, board, signal, logger);
  // One that has been replaced meanwhile must not throw away what its successor has given out.
  if (context.leads()) await broker.seats.clear();
  if (context.leads()) await writeQuotas(broker, context.quotas);
  context.observer.lead(board, signal);
  const rounds = new Rounds(context, board);
  const sweeping = sweep(context, board, signal);
  while (!signal.aborted) {
    if (context.leads()) {
      try {
        await rounds.round();
      } catch (error) {
        logger.warn({ err: error }, 'a round of leading failed; the next one tries again');
      }
    }
    await bell.rung(roundEveryMs, signal);
    await pause(betweenRoundsMs, signal);
  }
  await Promise.all([rounds.settled(), sweeping]);
}

/** Keeps a board as the records are, until the signal aborts. */
export async function mirror(
  { experiments, jobs }: Pick<Broker, 'experiments' | 'jobs'>,
  board: Board,
  signal: AbortSignal,
  logger: Logger,
): Promise<void> {
  // The border has named it.
  const damaged = (error: Error): void => logger.debug(error.message);
  await experiments.watch(
    '>',
    signal,
    ({ value }) => board.seeExperiment(value),
    damaged,
    (id, revision) => board.forgetExperiment(id, revision),
  );
  await jobs.watch(
    '>',
    signal,
    ({ value }) => board.seeJob(value),
    damaged,
    (id, revision) => board.forgetJob(id, revision),
  );
}
