import type { Broker } from '@crossfold/shared/broker/broker';
import type { JobRecord } from '@crossfold/shared/jobs/records';
import { checkpointed } from '@crossfold/shared/jobs/transitions';
import type { Stretch } from '../observe/observer.ts';

/** Called after each write: with what it failed with, if it did, its size and the time that it took. */
export type OnEnd = (error: unknown, bytes: number, took: Stretch) => void;

/**
 * Writes a job's checkpoints: the blob first, then the record that points to it, then the one before is removed; so the
 * record never points to what is not whole. One write at a time, beside the training; what comes meanwhile is newer
 * and is written next.
 */
export class Checkpoints {
  readonly #broker: Broker;
  readonly #worker: string;
  readonly #now: () => number;
  readonly #onEnd: OnEnd;
  #writing: Promise<void> | undefined;

  constructor(broker: Broker, worker: string, now: () => number, onEnd: OnEnd) {
    this.#broker = broker;
    this.#worker = worker;
    this.#now = now;
    this.#onEnd = onEnd;
  }

  get busy(): boolean {
    return this.#writing !== undefined;
  }

  /** Starts to write; a failure is reported, not thrown: the job can go on without this checkpoint. */
  write(job: JobRecord, position: number, bytes: Uint8Array): void {
    const from = this.#now();
    const end = (error: unknown): void => this.#onEnd(error, bytes.length, { from, to: this.#now() });
    this.#writing = this.#write(job, position, bytes)
      .then(() => end(undefined), end)
      .finally(() => {
        this.#writing = undefined;
      });
  }

  /** Resolves once nothing is being written any more. */
  async settled(): Promise<void> {
    await this.#writing;
  }

  async #write(job: JobRecord, position: number, bytes: Uint8Array): Promise<void> {
    const digest = await this.#broker.checkpoints.put(bytes);
    let previous: string | undefined;
    const written = await this.#broker.jobs.transition(job.id, (current) => {
      previous = current.checkpoint?.digest;
      return checkpointed(current, this.#worker, job.generation, { digest, bytes: bytes.length, position });
    });
    const obsolete = written === undefined ? digest : previous;
    if (obsolete !== undefined && obsolete !== written?.checkpoint?.digest)
      await this.#broker.checkpoints.remove(obsolete);
  }
}
