import type { Broker } from '@crossfold/shared/broker/broker';
import { DamagedDataError } from '@crossfold/shared/errors';
import type { JobRecord } from '@crossfold/shared/jobs/records';
import { forgetCheckpoint } from '@crossfold/shared/jobs/transitions';
import type { Logger } from '@crossfold/shared/logger';
import type { ReadWait, Waits } from '@crossfold/shared/waits';
import type { EngineSession } from '../engine/session.ts';
import type { Exchange } from '../exchange/exchange.ts';
import type { JobObserver } from '../observe/observer.ts';
import { agreeOnPosition } from './agree.ts';
import type { Generation } from './context.ts';
import type { JobState } from './state.ts';
import { decodeState, encodeState, initialState } from './state.ts';

export interface StateParts {
  readonly broker: Broker;
  readonly worker: string;
  readonly logger: Logger;
  readonly waits: Waits;
  readonly now: () => number;
  readonly engine: EngineSession;
  readonly observer: Required<JobObserver>;
}

/**
 * Brings all members of a new generation to the same state: the newest that any of them holds, handed over by the
 * lowest rank that holds it. Where none holds any, rank 0 takes the job's newest checkpoint, or else its beginning, and
 * hands that over: so nobody else can come to another conclusion about the checkpoint.
 *
 * @returns the state; the engine has been brought to it
 */
export async function reachCommonState(
  parts: StateParts,
  held: JobState | undefined,
  { record, rank, signal }: Generation,
  exchange: Exchange,
): Promise<JobState> {
  const { observer, engine, logger, waits, now } = parts;
  const from = now();
  const members = record.members.map((m) => m.worker);
  const group = { job: record.id, generation: record.generation, rank, members };
  const watch = (read: ReadWait): (() => void) => waits.watch(logger, read);
  const agreed = await agreeOnPosition(parts.broker, group, held?.position ?? -1, signal, watch);
  const subject = `state/${agreed.position}`;
  const offer = async (state: JobState): Promise<void> => {
    const bytes = encodeState(state, await engine.state());
    exchange.serve((what) => (what === subject ? bytes : undefined));
  };

  if (agreed.position < 0 && rank === 0) {
    const state = await restore(parts, record);
    if (members.length > 1) await offer(state);
    observer.agreed(state.position === 0 ? 'fresh' : 'restored', state.position, { from, to: now() });
    return state;
  }
  if (held !== undefined && held.position === agreed.position) {
    if (agreed.someLack && agreed.provider === rank) await offer(held);
    observer.agreed('kept', agreed.position, { from, to: now() });
    return held;
  }
  const started = now();
  const provider = Math.max(agreed.provider, 0);
  const bytes = await exchange.fetch(subject, provider, engine.maxStateBytes, signal);
  const state = decodeState(bytes, `the state from rank ${provider}`);
  await engine.load(state.engine);
  logger.info({ position: state.job.position, bytes: bytes.length, ms: now() - started }, 'took over the state');
  observer.agreed('fetched', state.job.position, { from, to: now() });
  return state.job;
}

/** The state in the newest checkpoint; the beginning where there is none, or none that is whole. */
async function restore(parts: StateParts, record: JobRecord): Promise<JobState> {
  const { broker, engine, logger } = parts;
  const { checkpoint } = record;
  if (checkpoint !== null) {
    try {
      const bytes = await broker.checkpoints.get(checkpoint.digest, engine.maxStateBytes);
      const state = decodeState(bytes, `checkpoint ${checkpoint.digest.slice(0, 12)}`);
      await engine.load(state.engine);
      logger.info({ position: state.job.position }, 'went on from a checkpoint');
      return state.job;
    } catch (error) {
      if (!(error instanceof DamagedDataError)) throw error;
      logger.error({ err: error }, 'the checkpoint is of no use: the job begins anew');
      await broker.jobs.transition(record.id, (job) => forgetCheckpoint(job, parts.worker, record.generation));
    }
  }
  await engine.reset();
  return initialState;
}
