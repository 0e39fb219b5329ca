import type { Broker } from '@crossfold/shared/broker/broker';
import type { Faults } from '@crossfold/shared/faults';
import type { JobRecord } from '@crossfold/shared/jobs/records';
import { checkpointed } from '@crossfold/shared/jobs/transitions';
import type { Stretch } from '../observe/observer.ts';

/** Called after each write: with what it failed with, if it did, its size and the time that it took. */
export type OnEnd = (error: unknown, bytes: number, took: Stretch) => void;

/** How often checkpoints are written between the ends of epochs, milliseconds. */
export interface CheckpointPace {
  readonly least: number;
  readonly most: number;
}

/** A checkpoint that took a second is followed by the next after half a minute: they cost a few hundredths of the time. */
const pauseForEach = 30;

export const checkpointPace: CheckpointPace = { least: 3000, most: 30_000 };

export interface CheckpointParts {
  readonly broker: Broker;
  readonly worker: string;
  readonly now: () => number;
  readonly onEnd: OnEnd;
  readonly faults: Faults;
  readonly pace?: CheckpointPace;
}

/**
 * Writes a job's checkpoints: the blob first, then the record that points to it, then the one before is removed; so the
 * record never points to what is not whole. One write at a time, beside the training.
 */
export class Checkpoints {
  readonly #parts: CheckpointParts;
  readonly #pace: CheckpointPace;
  #writing: Promise<void> | undefined;
  #next: number;

  constructor(parts: CheckpointParts) {
    this.#parts = parts;
    this.#pace = parts.pace ?? checkpointPace;
    this.#next = parts.now() + this.#pace.least;
  }

  /** Whether another checkpoint should be written now; at the end of an epoch whenever none is being written. */
  due(endOfEpoch: boolean): boolean {
    return this.#writing === undefined && (endOfEpoch || this.#parts.now() >= this.#next);
  }

  /**
   * Starts to write; a failure is reported, not thrown: the job can go on without this checkpoint.
   *
   * @param started when it was begun to take the state that is written
   */
  write(job: JobRecord, position: number, bytes: Uint8Array, started: number): void {
    const { now, onEnd } = this.#parts;
    const end = (error: unknown): void => {
      const to = now();
      const { least, most } = this.#pace;
      this.#next = to + Math.min(most, Math.max(least, pauseForEach * (to - started)));
      this.#writing = undefined;
      onEnd(error, bytes.length, { from: started, to });
    };
    this.#writing = this.#write(job, position, bytes).then(() => end(undefined), end);
  }

  /** Resolves once nothing is being written any more. */
  async settled(): Promise<void> {
    await this.#writing;
  }

  async #write(job: JobRecord, position: number, bytes: Uint8Array): Promise<void> {
    const { broker, worker, faults } = this.#parts;
    const digest = await broker.checkpoints.put(bytes);
    await faults.at('checkpointing', { position });
    let before: string | undefined;
    const written = await broker.jobs.transition(job.id, (current) => {
      before = current.checkpoint?.digest;
      return checkpointed(current, worker, job.generation, { digest, bytes: bytes.length, position });
    });
    const obsolete = written === undefined ? digest : before;
    // Refused, while the record points to the very same: another member has come to the same bytes.
    if (obsolete === undefined || obsolete === (written === undefined ? before : digest)) return;
    await broker.checkpoints.remove(obsolete);
  }
}
