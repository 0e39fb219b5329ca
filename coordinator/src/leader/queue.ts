import type { JobRecord } from '@crossfold/shared/jobs/records';
import TinyQueue from 'tinyqueue';

interface Entry {
  readonly job: JobRecord;
  /** How long it is expected to take; undefined where no fold of its trial has been trained yet. */
  readonly seconds: number | undefined;
}

/**
 * Test jobs first: they end an experiment. Then jobs of trials that nothing is known of, in their order, so that all are
 * soon known; then the longest first, so that none is left to run alone at the end.
 */
function order(a: Entry, b: Entry): number {
  return (
    Number(b.job.kind === 'test') - Number(a.job.kind === 'test') ||
    Number(a.seconds !== undefined) - Number(b.seconds !== undefined) ||
    (b.seconds ?? 0) - (a.seconds ?? 0) ||
    a.job.trial - b.job.trial ||
    a.job.repeat - b.job.repeat ||
    a.job.fold - b.job.fold
  );
}

/** The jobs of one experiment that wait for their first member, in the order in which they should have it. */
export class JobQueue {
  readonly #heap = new TinyQueue<Entry>([], order);
  /** Those that wait; an entry of the heap that is not in here is not valid any more. */
  readonly #waiting = new Map<string, Entry>();
  readonly #ofTrial = new Map<number, Set<string>>();
  /** Seconds that an epoch takes, by trial. */
  readonly #pace = new Map<number, number>();

  get size(): number {
    return this.#waiting.size;
  }

  add(job: JobRecord): void {
    const pace = this.#pace.get(job.trial);
    const epochs = job.until - (job.result?.epochs ?? 0);
    const entry = { job, seconds: pace === undefined || job.kind === 'test' ? undefined : pace * epochs };
    this.#waiting.set(job.id, entry);
    this.#heap.push(entry);
    const others = this.#ofTrial.get(job.trial) ?? new Set();
    this.#ofTrial.set(job.trial, others.add(job.id));
  }

  remove(job: JobRecord): void {
    this.#waiting.delete(job.id);
    this.#ofTrial.get(job.trial)?.delete(job.id);
  }

  /** Takes in how long an epoch of a trial takes, from the first of its folds that says so. */
  learn(trial: number, secondsPerEpoch: number): void {
    if (this.#pace.has(trial)) return;
    this.#pace.set(trial, secondsPerEpoch);
    for (const id of [...(this.#ofTrial.get(trial) ?? [])]) {
      const entry = this.#waiting.get(id);
      if (entry !== undefined) this.add(entry.job);
    }
  }

  /** The first jobs for which `which` holds, up to `most`. */
  first(most: number, which: (job: JobRecord) => boolean = () => true): JobRecord[] {
    const seen: Entry[] = [];
    const chosen: JobRecord[] = [];
    while (chosen.length < most) {
      const entry = this.#heap.pop();
      if (entry === undefined) break;
      if (this.#waiting.get(entry.job.id) !== entry) continue;
      seen.push(entry);
      if (which(entry.job)) chosen.push(entry.job);
    }
    for (const entry of seen) this.#heap.push(entry);
    return chosen;
  }
}
