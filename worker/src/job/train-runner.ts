import type { Broker } from '@crossfold/shared/broker/broker';
import type { Faults } from '@crossfold/shared/faults';
import type { TrialPlan } from '@crossfold/shared/jobs/plan';
import type { JobRecord, Pace } from '@crossfold/shared/jobs/records';
import type { Logger } from '@crossfold/shared/logger';
import { aborted } from '@crossfold/shared/wait';
import type { Waits } from '@crossfold/shared/waits';
import type { EngineSession } from '../engine/session.ts';
import type { Exchange } from '../exchange/exchange.ts';
import type { JobObserver } from '../observe/observer.ts';
import { observers } from '../observe/observer.ts';
import { trainStep, validate } from './actions.ts';
import type { Checkpoints } from './checkpoints.ts';
import { reachCommonState } from './common-state.ts';
import type { Generation } from './context.ts';
import { DrainError } from './context.ts';
import type { Course } from './course.ts';
import { actionAt, lastPosition } from './course.ts';
import { Gradients } from './gradients.ts';
import { NotMemberError } from './membership.ts';
import type { PaceMeter } from './pace.ts';
import type { JobRunner } from './run-job.ts';
import type { JobState } from './state.ts';
import { encodeState } from './state.ts';

/** What a `train` job needs of the worker, in one place. */
export interface TrainParts {
  readonly broker: Broker;
  readonly worker: string;
  readonly logger: Logger;
  readonly waits: Waits;
  readonly now: () => number;
  readonly drain: AbortSignal;
  readonly observer: Required<JobObserver>;
  readonly faults: Faults;
  readonly plan: TrialPlan;
  readonly course: Course;
  readonly engine: EngineSession;
  readonly checkpoints: Checkpoints;
  readonly meter: PaceMeter;
  openExchange(generation: Generation): Promise<Exchange>;
  /** Tells whoever watches; called by rank 0 after every action. */
  report(record: JobRecord, state: JobState, imagesPerSecond: number): void;
  /** Tells the leader; called by rank 0 after every action. */
  onPace(pace: Pace | undefined): void;
  /** Stores model and result of a job that is done. */
  store(record: JobRecord, state: JobState): Promise<NonNullable<JobRecord['result']>>;
}

/** Trains one fold. The state survives from generation to generation in the engine and in `state`. */
export function trainRunner(parts: TrainParts): JobRunner {
  let state: JobState | undefined;
  const observer = observers([parts.observer, parts.meter]);
  const gradients = new Gradients(parts.engine);
  /** Up to here time is counted in the state: it goes with it to whoever goes on, and a pause between groups is none. */
  let countedTo = parts.now();
  const sinceCounted = (): number => {
    const from = countedTo;
    countedTo = parts.now();
    return (countedTo - from) / 1000;
  };

  return {
    async generation(generation) {
      const { record, rank, signal } = generation;
      const { logger, waits } = parts;
      const exchange = await waits.during(logger, 'the group to be within reach', parts.openExchange(generation));
      const unwatch = waits.watch(logger, () => exchange.waitingFor());
      observer.entered({ record, rank, exchange });
      try {
        state = await reachCommonState(parts, state, generation, exchange);
        countedTo = parts.now();
        const meter = throughput(parts.now);
        const size = record.members.length;
        const place = { rank, size, exchange, gradients, signal, now: parts.now, observer, faults: parts.faults };
        for (;;) {
          const action = state.ended ? ({ kind: 'done' } as const) : actionAt(parts.course, state.position);
          if (action.kind === 'done') break;
          // Between two steps: here a member leaves, and here it is told before it computes in vain.
          if (parts.drain.aborted) throw new DrainError();
          if (generation.surplus() && (await generation.leave())) throw new NotMemberError(record.id);
          signal.throwIfAborted();
          const training = parts.plan.experiment.training;
          if (action.kind === 'step') {
            const before: number = state.samplesSeen;
            const next = actionAt(parts.course, state.position + 1);
            const stepped = await trainStep(state, action, next, parts.engine, training, place);
            const { running, exchange: by } = stepped;
            if (by !== state.exchange)
              logger.info({ exchange: by, before: state.exchange }, 'gradients travel another way');
            state = { ...stepped, running: { ...running, seconds: running.seconds + sinceCounted() } };
            meter.add(state.samplesSeen - before);
          } else {
            const seconds = state.running.seconds + sinceCounted();
            state = await validate(state, action.epoch, parts.engine, training, place, seconds);
            countedTo = parts.now();
            if (rank === 0) logger.info({ epoch: action.epoch + 1, ...lastOf(state) }, 'epoch validated');
          }
          logger.trace({ position: state.position, rank, generation: record.generation }, 'stepped');
          if (rank !== 0) continue;
          parts.report(record, state, meter.perSecond());
          parts.onPace(parts.meter.pace(lastPosition(parts.course) - state.position));
          if (parts.checkpoints.due(action.kind === 'validate')) await checkpoint(record, state);
        }
        await parts.checkpoints.settled();
        if (rank === 0) {
          // More epochs may be wanted of a fold later: they go on from exactly here.
          if (
            record.kind === 'train' &&
            !state.ended &&
            state.history.loss.length < parts.plan.experiment.training.epochs
          ) {
            await checkpoint(record, state);
            await parts.checkpoints.settled();
          }
          const stored = await parts.store({ ...record, attempts: generation.attempts() }, state);
          logger.info({ epochs: state.history.loss.length, ...lastOf(state) }, 'result stored');
          return stored;
        }
        // A peer may still lack a block of the last sum: the exchange stays open until the result is on record.
        await waits.during(logger, 'the result to be stored', aborted(signal), nameOf(record, 0));
        throw signal.reason;
      } finally {
        unwatch();
        observer.left();
        await exchange.close();
      }
    },
    async save(record) {
      await parts.checkpoints.settled();
      if (state === undefined || state.position <= (record.checkpoint?.position ?? 0)) return;
      await checkpoint(record, state);
      await parts.checkpoints.settled();
    },
    async close() {
      await parts.checkpoints.settled();
      await parts.engine.close();
    },
  };

  async function checkpoint(record: JobRecord, from: JobState): Promise<void> {
    const started = parts.now();
    const bytes = encodeState(from, await parts.engine.state());
    parts.checkpoints.write(record, from.position, bytes, started);
  }
}

const nameOf = (record: JobRecord, rank: number): string[] => record.members.slice(rank, rank + 1).map((m) => m.worker);

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

/** What the epoch that was validated last came to, as fields of a line of the log. */
function lastOf({ history }: JobState): Record<string, number | undefined> {
  const { loss, accuracy, valLoss, valAccuracy } = history;
  return { loss: loss.at(-1), accuracy: accuracy.at(-1), valLoss: valLoss.at(-1), valAccuracy: valAccuracy.at(-1) };
}
