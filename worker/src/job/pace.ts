import type { TransportName } from '@crossfold/shared/config/exchange';
import type { Pace } from '@crossfold/shared/jobs/records';
import type { GroupPlace, JobObserver, SteppedFacts } from '../observe/observer.ts';

/**
 * What an exchange with one peer costs, in milliseconds: a fixed part, and one for each megabyte of the vector. Measured
 * by `npm run bench -- exchange` between two processes on two cores, and what `-- scaling` adds; see docs/performance.md.
 */
const exchangeCost = {
  direct: { fixed: 0.3, perMegabyte: 0.8 },
  nats: { fixed: 1, perMegabyte: 3 },
} as const satisfies Record<TransportName, unknown>;

/** Steps that the pace is the median of; the first of a session, in which programs are made ready, does not count. */
const window = 9;
/** Whole steps that what a group of a size takes is the median of: enough that a moment's disturbance does not decide. */
const measuredOver = 25;

const median = (values: readonly number[]): number => values.toSorted((a, b) => a - b)[values.length >> 1] ?? 0;

/** Measures how fast a job goes on this member: what the leader decides by whether more members would pay. */
export class PaceMeter implements JobObserver {
  readonly #slices: number;
  readonly #exchangeMs: number;
  #perSlice: number[] = [];
  #alone: number[] = [];
  #first = true;
  /** Members of the generation, and whole steps that they have done: from the second on, when all are under way. */
  #members = 0;
  #steps: number[] = [];
  #skip = 0;

  constructor(slices: number, vectorLength: number, transport: TransportName) {
    const { fixed, perMegabyte } = exchangeCost[transport];
    this.#slices = slices;
    this.#exchangeMs = fixed + (perMegabyte * 4 * vectorLength) / 1e6;
  }

  entered({ record }: GroupPlace): void {
    if (record.members.length === this.#members) return;
    this.#members = record.members.length;
    this.#steps = [];
    this.#skip = 2;
  }

  stepped({ slices, times }: SteppedFacts): void {
    if (this.#skip > 0) this.#skip--;
    else this.#steps = [...this.#steps, times.updated - times.started].slice(-measuredOver);
    if (!this.#first && slices > 0) {
      this.#perSlice = [...this.#perSlice, (times.computed - times.started) / slices].slice(-window);
      this.#alone = [...this.#alone, times.updated - times.summed].slice(-window);
    }
    this.#first = false;
  }

  /** Undefined while nothing has been measured. */
  pace(stepsLeft: number): Pace | undefined {
    if (this.#perSlice.length === 0) return undefined;
    return {
      slices: this.#slices,
      sliceMs: median(this.#perSlice),
      aloneMs: median(this.#alone),
      exchangeMs: this.#exchangeMs,
      stepsLeft,
      ...(this.#steps.length < measuredOver
        ? {}
        : { measured: { members: this.#members, stepMs: median(this.#steps) } }),
    };
  }
}
