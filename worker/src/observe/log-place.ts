import type { GroupPlace, JobObserver, SteppedFacts } from './observer.ts';

/** Where a worker is in its job, as fields of every line that it logs. */
export class LogPlace implements JobObserver {
  #fields: Record<string, number> = {};

  fields(): Readonly<Record<string, number>> {
    return this.#fields;
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
