import type { Broker } from '@crossfold/shared/broker/broker';
import type { JobRecord } from '@crossfold/shared/jobs/records';
import { checkpointed } from '@crossfold/shared/jobs/transitions';

/**
 * Writes a job's checkpoints: the blob first, then the record that points to it, then the one before is removed; so the
 * record never points to what is not whole. One write at a time, beside the training; what comes meanwhile is newer
 * and is written next.
 */
export class Checkpoints {
  readonly #broker: Broker;
  readonly #worker: string;
  readonly #onError: (error: unknown) => void;
  #writing: Promise<void> | undefined;

  constructor(broker: Broker, worker: string, onError: (error: unknown) => void) {
    this.#broker = broker;
    this.#worker = worker;
    this.#onError = onError;
  }

  get busy(): boolean {
    return this.#writing !== undefined;
  }

  /** Starts to write; a failure is reported, not thrown: the job can go on without this checkpoint. */
  write(job: JobRecord, position: number, bytes: Uint8Array): void {
    this.#writing = this.#write(job, position, bytes)
      .catch(this.#onError)
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
