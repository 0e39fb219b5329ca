import type { GroupPlace, JobObserver, SteppedFacts } from './observer.ts';

/** Where a worker is in its job, as fields of every line that it logs. */
export class LogPlace implements JobObserver {
  #fields: Record<string, number> = {};

  /** A copy: the logger adds each line's own fields to what it is given. */
  fields(): Record<string, number> {
    return { ...this.#fields };
  }

  entered({ record, rank }: GroupPlace): void {
    this.#fields = { generation: record.generation, rank };
  }

  stepped({ epoch, step }: SteppedFacts): void {
    // From 1, as progress has them.
    this.#fields.epoch = epoch + 1;
    this.#fields.step = step + 1;
  }

  left(): void {
    this.#fields = {};
  }
}
