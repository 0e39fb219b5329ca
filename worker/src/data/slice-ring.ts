/**
 * Memory that the engine's thread and the thread that makes slices share: a ring of slots, filled in the order in which
 * slices will be asked for. One writes and one reads; all waiting is on numbers in `control`.
 */
export interface SliceRing {
  readonly slots: number;
  /** Float32 values that a slot holds. */
  readonly slotLength: number;
  /** Places that a slot holds. */
  readonly slotSamples: number;
  readonly control: Int32Array;
  readonly values: Float32Array;
  readonly places: Int32Array;
}

/** What the numbers in `control` mean; behind them lies the number of samples in each slot. */
export const word = {
  /** Counts the aims that the reader has taken; the five words after it say what the last one was. */
  aim: 0,
  epoch: 1,
  step: 2,
  from: 3,
  to: 4,
  /** The aim that the writer works at, and the slots it has filled since. */
  writerAim: 5,
  filled: 6,
  /** Slots that the reader has emptied since its last aim. */
  emptied: 7,
  /** Changes whenever the writer has something to look at; whenever the reader has. */
  wakeWriter: 8,
  wakeReader: 9,
  /** 1: the writer is to end. */
  stop: 10,
  /** 1: the writer has failed. */
  failed: 11,
} as const;
/** Numbers in `control` for so many slots. */
export const controlLength = (slots: number): number => words + slots;
const words = 12;

export const samplesIn = (slot: number): number => words + slot;

export function wake({ control }: SliceRing, who: 'wakeWriter' | 'wakeReader'): void {
  Atomics.add(control, word[who], 1);
  Atomics.notify(control, word[who]);
}
