import { decodeTensors, encodeTensors } from '@crossfold/shared/codec/safetensors';
import { type Travel, travels } from '@crossfold/shared/config/exchange';
import { DamagedDataError } from '@crossfold/shared/errors';
import { z } from 'zod';

/** What each epoch came to; `seconds` is wall time, all else is the same whoever computed it. */
const History = z
  .strictObject({
    loss: z.array(z.number()),
    accuracy: z.array(z.number()),
    valLoss: z.array(z.number()),
    valAccuracy: z.array(z.number()),
    seconds: z.array(z.number()),
  })
  .readonly();
export type History = z.infer<typeof History>;

const Running = z
  .strictObject({ loss: z.number(), correct: z.number(), samples: z.number(), seconds: z.number() })
  .readonly();
/** Of an epoch that has not begun. */
export const nothingYet: z.infer<typeof Running> = { loss: 0, correct: 0, samples: 0, seconds: 0 };

const Bookkeeping = z
  .strictObject({
    position: z.int().min(0),
    updates: z.int().min(0),
    running: Running,
    samplesSeen: z.int().min(0),
    history: History,
    keptEpoch: z.int().min(0).nullable(),
    ended: z.boolean(),
    seconds: z.number(),
    exchange: z.enum(travels),
  })
  .readonly();

/** What the weights of an epoch, and their outputs for every validation sample, were. */
export interface KeptEpoch {
  readonly epoch: number;
  readonly weights: Float32Array;
  /** Three numbers a validation sample: loss, predicted class, score. */
  readonly outputs: Float32Array;
}

/**
 * All that a job is between two actions, except the weights and the optimizer's state, which live in the engine and are
 * joined to it by `encodeState`. Members of a group hold equal ones.
 */
export interface JobState {
  readonly position: number;
  /** Optimizer updates so far. */
  readonly updates: number;
  /** Sums over the epoch under way: mean loss x samples, correct, samples, and the wall time spent in it. */
  readonly running: z.infer<typeof Running>;
  /** Training samples so far, as summed in the reduced vectors. */
  readonly samplesSeen: number;
  readonly history: History;
  /** The epoch that the result is taken from as things stand: the best one where early stopping restores it, else the last. */
  readonly kept: KeptEpoch | undefined;
  /** Early stopping has ended the job. */
  readonly ended: boolean;
  /** Wall time spent in finished epochs and the one under way. */
  readonly seconds: number;
  /** The transport that gradients have travelled by. */
  readonly exchange: Travel;
}

export interface EngineState {
  readonly weights: Float32Array;
  readonly optimizer: Float32Array;
  readonly step: number;
}

const emptyHistory: History = { loss: [], accuracy: [], valLoss: [], valAccuracy: [], seconds: [] };
export const initialState: JobState = {
  position: 0,
  updates: 0,
  running: nothingYet,
  samplesSeen: 0,
  history: emptyHistory,
  kept: undefined,
  ended: false,
  seconds: 0,
  exchange: 'none',
};

/** A job's whole state as bytes: a checkpoint, or what a joiner is handed. */
export function encodeState(job: JobState, engine: EngineState): Uint8Array {
  const { kept, ...rest } = job;
  const books: z.infer<typeof Bookkeeping> = { ...rest, updates: engine.step, keptEpoch: kept?.epoch ?? null };
  const tensors = new Map([
    ['weights', vector(engine.weights)],
    ['optimizer', vector(engine.optimizer)],
  ]);
  if (kept !== undefined) {
    tensors.set('kept.weights', vector(kept.weights));
    tensors.set('kept.outputs', vector(kept.outputs));
  }
  return encodeTensors({ metadata: { job: JSON.stringify(books) }, tensors });
}

/** @throws DamagedDataError where the bytes are not a job's state. */
export function decodeState(bytes: Uint8Array, what: string): { job: JobState; engine: EngineState } {
  const file = decodeTensors(bytes, what);
  const tensor = (name: string): Float32Array => {
    const found = file.tensors.get(name);
    if (found === undefined) throw new DamagedDataError(`${what} is damaged: it has no ${name}`);
    return found.data;
  };
  const books = Bookkeeping.safeParse(parse(file.metadata.job ?? ''));
  if (!books.success) throw new DamagedDataError(`${what} is damaged: ${books.error.message}`);
  const { keptEpoch, ...rest } = books.data;
  const kept =
    keptEpoch === null
      ? undefined
      : { epoch: keptEpoch, weights: tensor('kept.weights'), outputs: tensor('kept.outputs') };
  return {
    job: { ...rest, kept },
    engine: { weights: tensor('weights'), optimizer: tensor('optimizer'), step: books.data.updates },
  };
}

const vector = (data: Float32Array): { shape: readonly number[]; data: Float32Array } => ({
  shape: [data.length],
  data,
});

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
