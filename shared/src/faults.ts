import { z } from 'zod';
import { ConfigError } from './errors.ts';
import type { Logger } from './logger.ts';

/** Where a worker can be made to fail, in the order in which it comes by. */
export const faultPoints = [
  /** Plan and folds are here, the shards are not. */
  'loading',
  /** The job is open, membership is not on record. */
  'opened',
  /** Membership is on record, the seat is not acknowledged. */
  'seated',
  /** The engine's thread is about to compute a gradient; the position is the number of the update that it is for. */
  'in the engine',
  /** The step's gradient is computed, nothing of it has left. */
  'computing',
  /** The first of a sum's own parts is about to be sent to its owner. */
  'sending',
  /** All parts of a block that this member owns are here, and it is summed. */
  'owning',
  /** A finished block has been sent. */
  'handing out',
  /** The validation samples are evaluated, nothing of it has left. */
  'validating',
  /** A checkpoint's blob is stored, the record does not point to it. */
  'checkpointing',
  /** The model is stored, the result is not. */
  'storing',
  /** The result is stored, the record does not say so. */
  'acknowledging',
] as const;
export type FaultPoint = (typeof faultPoints)[number];

/** Where in a job a point is passed, as far as it is known there. */
export interface FaultPlace {
  readonly rank?: number;
  /** Position of the step or the validation, see `actionAt`. */
  readonly position?: number;
  readonly job?: string;
}

const Fault = z
  .strictObject({
    at: z.enum(faultPoints),
    rank: z.int().min(0).exactOptional(),
    position: z.int().min(0).exactOptional(),
    /**
     * `kill` and `stop` are what SIGKILL and SIGSTOP do; `throw` throws; `hold` says so in the log and waits for SIGUSR2,
     * for whoever wants to do something to others at this moment; `hang` blocks the thread that comes by, for ever.
     */
    do: z.enum(['kill', 'stop', 'throw', 'hold', 'hang']),
    /** Only in jobs whose id ends like this, as in `train.0.0.1`. */
    job: z.string().exactOptional(),
    /** Only the first time it is passed, or every time. */
    again: z.boolean().default(false),
  })
  .readonly();
export type Fault = z.infer<typeof Fault>;

/** Makes the process fail at points in its work, for tests of what others then do. */
export interface Faults {
  at(point: FaultPoint, place?: FaultPlace): Promise<void>;
  /** The same where nothing can be waited for: a `hold` there only says so in the log. */
  passing(point: FaultPoint, place?: FaultPlace): void;
}

export const noFaults: Faults = { at: async () => undefined, passing: () => undefined };

/** The same in one job. */
export const faultsIn = (faults: Faults, job: string): Faults =>
  faults === noFaults
    ? noFaults
    : {
        at: (point, place) => faults.at(point, { ...place, job }),
        passing: (point, place) => faults.passing(point, { ...place, job }),
      };

/**
 * The faults that `CROSSFOLD_FAULTS` asks for, a JSON list as in `[{"at":"computing","rank":1,"position":7,"do":"kill"}]`;
 * none where it is not set.
 *
 * @throws ConfigError where it is something else
 */
export function faultsFrom(env: NodeJS.ProcessEnv, logger: Logger, host: NodeJS.Process = process): Faults {
  const text = env.CROSSFOLD_FAULTS ?? '';
  if (text === '') return noFaults;
  const faults = parse(text).map((fault) => ({ fault, passed: false }));
  logger.warn({ faults: faults.map((f) => f.fault) }, 'CROSSFOLD_FAULTS is set: this process will fail on purpose');
  let release: () => void = () => undefined;
  if (faults.some(({ fault }) => fault.do === 'hold')) host.on('SIGUSR2', () => release());
  const due = (point: FaultPoint, place: FaultPlace): Fault | undefined => {
    const found = faults.find(
      ({ fault, passed }) =>
        fault.at === point &&
        (fault.again || !passed) &&
        (fault.rank === undefined || fault.rank === place.rank) &&
        (fault.position === undefined || fault.position === place.position) &&
        (fault.job === undefined || place.job?.endsWith(fault.job) === true),
    );
    if (found !== undefined) found.passed = true;
    return found?.fault;
  };
  const act = (fault: Fault, place: FaultPlace): void => {
    logger.warn({ fault, place }, 'failing on purpose');
    if (fault.do === 'kill') host.kill(host.pid, 'SIGKILL');
    if (fault.do === 'stop') host.kill(host.pid, 'SIGSTOP');
    if (fault.do === 'hang') Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
    if (fault.do === 'throw') throw new Error(`failed on purpose at ${fault.at}`);
  };
  return {
    async at(point, place = {}) {
      const fault = due(point, place);
      if (fault === undefined) return;
      // Before it is said: whoever reads it in the log may signal at once.
      const released = new Promise<void>((resolve) => {
        release = resolve;
      });
      act(fault, place);
      if (fault.do === 'hold') await released;
    },
    passing(point, place = {}) {
      const fault = due(point, place);
      if (fault !== undefined) act(fault, place);
    },
  };
}

function parse(text: string): Fault[] {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    value = undefined;
  }
  const faults = z.array(Fault).safeParse(value);
  if (faults.success) return faults.data;
  const allowed = `must be a JSON list of faults, each with "at" (${faultPoints.join(', ')}) and "do" (kill, stop, throw, hold, hang)`;
  throw new ConfigError({ field: 'CROSSFOLD_FAULTS', value: text.slice(0, 200), allowed });
}
