import type { Broker } from '@crossfold/shared/broker/broker';
import type { TrialPlan } from '@crossfold/shared/jobs/plan';
import type { JobRecord } from '@crossfold/shared/jobs/records';
import type { Logger } from '@crossfold/shared/logger';
import type { EngineSession } from '../engine/session.ts';
import type { Exchange } from '../exchange/exchange.ts';
import { trainStep, validate } from './actions.ts';
import { agreeOnPosition } from './agree.ts';
import type { Checkpoints } from './checkpoints.ts';
import type { Course } from './course.ts';
import { actionAt } from './course.ts';
import type { JobRunner } from './run-job.ts';
import { DrainError } from './run-job.ts';
import type { JobState } from './state.ts';
import { decodeState, encodeState, initialState } from './state.ts';

/** What a `train` job needs of the worker, in one place. */
export interface TrainParts {
  readonly broker: Broker;
  readonly logger: Logger;
  readonly now: () => number;
  readonly drain: AbortSignal;
  readonly plan: TrialPlan;
  readonly course: Course;
  readonly engine: EngineSession;
  readonly checkpoints: Checkpoints;
  /** How often, at most, a checkpoint is written between epochs. */
  readonly checkpointEveryMs: number;
  openExchange(record: JobRecord, rank: number): Promise<Exchange>;
  /** Tells whoever watches; called by rank 0 after every action. */
  report(record: JobRecord, state: JobState, imagesPerSecond: number): void;
  /** Stores model and result of a job that is done. */
  store(record: JobRecord, state: JobState): Promise<NonNullable<JobRecord['result']>>;
}

/** Trains one fold. The state survives from generation to generation in the engine and in `state`. */
export function trainRunner(parts: TrainParts): JobRunner {
  let state: JobState | undefined;
  let checkpointAt = parts.now();
  let epochStartedAt = parts.now();

  return {
    async generation(record, rank, signal) {
      const exchange = await parts.openExchange(record, rank);
      try {
        state = await reachCommonState(parts, state, record, rank, exchange, signal);
        epochStartedAt = parts.now();
        const meter = throughput(parts.now);
        for (;;) {
          const action = state.ended ? ({ kind: 'done' } as const) : actionAt(parts.course, state.position);
          if (action.kind === 'done') break;
          if (parts.drain.aborted) {
            if (record.members.length === 1) await checkpoint(record, state);
            await parts.checkpoints.settled();
            throw new DrainError();
          }
          const place = { rank, size: record.members.length, exchange, signal };
          const training = parts.plan.experiment.training;
          if (action.kind === 'step') {
            const before: number = state.samplesSeen;
            state = await trainStep(state, action, parts.engine, training, place);
            meter.add(state.samplesSeen - before);
          } else {
            const seconds = (parts.now() - epochStartedAt) / 1000;
            state = await validate(state, action.epoch, parts.engine, training, place, seconds);
            epochStartedAt = parts.now();
          }
          if (rank !== 0) continue;
          parts.report(record, state, meter.perSecond());
          const due = action.kind === 'validate' || parts.now() - checkpointAt >= parts.checkpointEveryMs;
          if (due && !parts.checkpoints.busy && state.position > 0) await checkpoint(record, state);
        }
        await parts.checkpoints.settled();
        return rank === 0 ? await parts.store(record, state) : undefined;
      } finally {
        await exchange.close();
      }
    },
    async close() {
      await parts.checkpoints.settled();
      await parts.engine.close();
    },
  };

  async function checkpoint(record: JobRecord, from: JobState): Promise<void> {
    checkpointAt = parts.now();
    parts.checkpoints.write(record, from.position, encodeState(from, await parts.engine.state()));
  }
}

/**
 * Brings all members of a new generation to the same state: the newest that any of them holds, handed over by the
 * lowest rank that holds it; where none holds any, the job's newest checkpoint, or else its beginning.
 */
async function reachCommonState(
  parts: TrainParts,
  held: JobState | undefined,
  record: JobRecord,
  rank: number,
  exchange: Exchange,
  signal: AbortSignal,
): Promise<JobState> {
  const group = { job: record.id, generation: record.generation, rank, size: record.members.length };
  const agreed = await agreeOnPosition(parts.broker.nats, group, held?.position ?? -1, signal);
  const subject = `state/${agreed.position}`;
  if (agreed.position < 0) return restore(parts, record);
  if (held?.position === agreed.position) {
    if (agreed.someLack && agreed.provider === rank) {
      const bytes = encodeState(held, await parts.engine.state());
      exchange.serve((what) => (what === subject ? bytes : undefined));
    }
    return held;
  }
  const started = parts.now();
  const bytes = await exchange.fetch(subject, agreed.provider, parts.engine.maxStateBytes, signal);
  const { job, engine } = decodeState(bytes, `the state from rank ${agreed.provider}`);
  await parts.engine.load(engine);
  parts.logger.info(
    { position: agreed.position, bytes: bytes.length, ms: parts.now() - started },
    'took over the state',
  );
  return job;
}

async function restore(parts: TrainParts, record: JobRecord): Promise<JobState> {
  if (record.checkpoint === null) {
    await parts.engine.reset();
    return initialState;
  }
  const bytes = await parts.broker.artifacts.get(record.checkpoint.digest, parts.engine.maxStateBytes);
  const { job, engine } = decodeState(bytes, `checkpoint ${record.checkpoint.digest.slice(0, 12)}`);
  await parts.engine.load(engine);
  parts.logger.info({ position: job.position }, 'went on from a checkpoint');
  return job;
}

/** Images a second over the last few seconds. */
function throughput(now: () => number): { add(samples: number): void; perSecond(): number } {
  let marks: { at: number; samples: number }[] = [{ at: now(), samples: 0 }];
  return {
    add(samples) {
      const at = now();
      marks.push({ at, samples });
      if (marks.length > 64 && at - (marks[32]?.at ?? at) > 3000) marks = marks.slice(32);
    },
    perSecond() {
      const first = marks[0];
      const last = marks.at(-1);
      if (first === undefined || last === undefined || last.at <= first.at) return 0;
      const samples = marks.reduce((sum, m) => sum + m.samples, 0) - first.samples;
      return (samples * 1000) / (last.at - first.at);
    },
  };
}
