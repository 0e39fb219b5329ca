import type { JobRecord } from '@crossfold/shared/jobs/records';

/** Different jobs that failed on a worker, with no success in between, after which the fault may well be the worker's. */
const failuresInARow = 3;
/** How long such a worker takes no jobs, as long as others can. */
const asideMs = 10 * 60_000;
/** How long a worker that was found not to reach its peers stays away from that job. */
const cutOffMs = 60_000;
/** How long a worker on which a job threw leaves it to others that are busy: they may be for hours. */
export const leaveMs = 30_000;

export interface FitnessOptions {
  /** Monotonic clock, milliseconds. */
  readonly now: () => number;
  /** Told once when the worker is set aside: the jobs that failed, and why the last of them did. */
  readonly onAside: (jobs: readonly string[], reason: string) => void;
}

/** Whether a worker should take jobs, judged by how those before went. */
export class Fitness {
  readonly #options: FitnessOptions;
  #failed = new Set<string>();
  #asideUntil = Number.NEGATIVE_INFINITY;
  readonly #cutOff = new Map<string, number>();
  /** Since when jobs that threw here have been left to others. */
  readonly #left = new Map<string, number>();

  constructor(options: FitnessOptions) {
    this.#options = options;
  }

  succeeded(): void {
    this.#failed.clear();
  }

  /** A job failed here, for a reason that does not lie in the job for certain. */
  failed(job: string, reason: string): void {
    this.#failed.add(job);
    this.#left.delete(job);
    if (this.#failed.size < failuresInARow) return;
    this.#asideUntil = this.#options.now() + asideMs;
    this.#options.onAside([...this.#failed], reason);
    this.#failed.clear();
  }

  /** This worker did not reach its peers in a job's group. */
  cutOff(job: string): void {
    const now = this.#options.now();
    for (const [old, until] of this.#cutOff) if (until <= now) this.#cutOff.delete(old);
    this.#cutOff.set(job, now + cutOffMs);
  }

  /**
   * Whether a job that threw here is still left to others that are busy with something else; asked whenever a seat of it
   * comes by. From the first time on that is so for `leaveMs`.
   */
  leaves(job: string): boolean {
    const now = this.#options.now();
    // A job that has not come by for long was taken by another, or is over.
    for (const [old, since] of this.#left) if (now - since >= 4 * leaveMs) this.#left.delete(old);
    const since = this.#left.get(job) ?? now;
    this.#left.set(job, since);
    return now - since < leaveMs;
  }

  /** Whether this worker should leave jobs to others, of which there are some. */
  get aside(): boolean {
    return this.#options.now() < this.#asideUntil;
  }

  /** Whether this worker should leave a job to others; where nobody is at it there is nobody not to be reached. */
  avoids({ id, members }: Pick<JobRecord, 'id' | 'members'>): boolean {
    return members.length > 0 && this.#options.now() < (this.#cutOff.get(id) ?? 0);
  }
}
