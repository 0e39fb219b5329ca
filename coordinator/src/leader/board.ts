import type { ExperimentRecord, JobRecord } from '@crossfold/shared/jobs/records';
import { isFinal } from '@crossfold/shared/jobs/records';
import { usableResults } from '@crossfold/shared/jobs/transitions';
import { JobQueue } from './queue.ts';

/** The newest revisions at which the record of an experiment, and those of its jobs, were deleted; 0 where none was. */
export interface Markers {
  readonly experiment: number;
  readonly jobs: number;
}

/**
 * All records, mirrored from the broker by watching, with what the leader looks for kept up as they change: so that a
 * change costs the same however many jobs there are.
 */
export class Board {
  readonly experiments = new Map<string, ExperimentRecord>();
  readonly jobs = new Map<string, JobRecord>();
  /** Jobs that have members. */
  readonly manned = new Map<string, JobRecord>();
  /** Jobs that wait for their first member, by experiment. */
  readonly queues = new Map<string, JobQueue>();
  /** When workers last began with a job, by experiment, of those that have jobs. */
  readonly begunAt = new Map<string, number>();
  /** Jobs that are not over, by experiment; experiments without any are left out. */
  readonly unfinished = new Map<string, Set<string>>();
  /** How many jobs that are not over each plan has. */
  readonly plans = new Map<string, number>();
  /** Experiments that were removed, until the broker has forgotten what it marks that with. */
  readonly removed = new Map<string, Markers>();
  readonly #onChange: () => void;
  readonly #jobsOf = new Map<string, Map<string, JobRecord>>();
  readonly #equals = new Map<string, Set<string>>();
  readonly #changed = new Map<string, Set<string>>();
  readonly #servable = new Set<string>();

  constructor(onChange: () => void = () => undefined) {
    this.#onChange = onChange;
  }

  seeExperiment(record: ExperimentRecord): void {
    this.experiments.set(record.id, record);
    this.#touch(record.id);
    this.#onChange();
  }

  seeJob(record: JobRecord): void {
    const before = this.jobs.get(record.id);
    this.jobs.set(record.id, record);
    put(this.#jobsOf, record.experiment, new Map()).set(record.id, record);
    if (record.members.length > 0) {
      this.manned.set(record.id, record);
      this.begunAt.set(record.experiment, Math.max(record.since, this.begunAt.get(record.experiment) ?? 0));
    } else this.manned.delete(record.id);
    this.#queue(record, before);
    this.#countUnfinished(record, before);
    this.#lookForEquals(record);
    this.#touch(record.experiment).add(record.id);
    this.#onChange();
  }

  /** An experiment has been removed: nobody is served by its jobs any more, nor are they given out. */
  forgetExperiment(id: string, revision: number): void {
    this.removed.set(id, { jobs: 0, ...this.removed.get(id), experiment: revision });
    if (!this.experiments.delete(id)) return;
    this.#touch(id);
    this.#onChange();
  }

  forgetJob(id: string, revision: number): void {
    const removed = id.split('.', 1)[0] ?? '';
    this.removed.set(removed, { experiment: 0, ...this.removed.get(removed), jobs: revision });
    const job = this.jobs.get(id);
    if (job === undefined) return;
    const { experiment, key } = job;
    this.jobs.delete(id);
    this.manned.delete(id);
    this.#servable.delete(id);
    this.queues.get(experiment)?.remove(job);
    if (!isFinal(job.state)) this.#countUnfinished({ ...job, state: 'cancelled' }, job);
    const equals = this.#equals.get(key);
    equals?.delete(id);
    if (equals?.size === 0) this.#equals.delete(key);
    const own = this.#jobsOf.get(experiment);
    own?.delete(id);
    if (own?.size === 0) {
      this.#jobsOf.delete(experiment);
      this.queues.delete(experiment);
      this.begunAt.delete(experiment);
    }
    this.#onChange();
  }

  /** Says of an experiment that has jobs that it is not there any more. */
  noteRemoved(id: string): void {
    if (!this.removed.has(id)) this.removed.set(id, { experiment: 0, jobs: 0 });
    this.#onChange();
  }

  /** Experiments that are not there, or cannot be read, and have jobs. */
  get missing(): string[] {
    return [...this.#jobsOf.keys()].filter((id) => !this.experiments.has(id));
  }

  jobsOf(experiment: string): ReadonlyMap<string, JobRecord> {
    return this.#jobsOf.get(experiment) ?? new Map();
  }

  /** Experiments of which something has changed since their changes were last taken. */
  get touched(): Iterable<string> {
    return this.#changed.keys();
  }

  /** Jobs of an experiment that have changed since this was last asked. */
  takeChanges(experiment: string): ReadonlySet<string> {
    const changed = this.#changed.get(experiment);
    this.#changed.delete(experiment);
    return changed ?? new Set();
  }

  /** Waiting jobs that may have got an equal since this was last asked. */
  takeServable(): string[] {
    const jobs = [...this.#servable];
    this.#servable.clear();
    return jobs;
  }

  /** Whether a waiting job may have got an equal that it is to be served by: before it is given out that is looked at. */
  mayBeServed(id: string): boolean {
    return this.#servable.has(id);
  }

  /** A job whose results settle what this one wants, if there is one. */
  servedBy(job: Pick<JobRecord, 'id' | 'key' | 'until'>): JobRecord | undefined {
    return this.#equalsOf(job).find((other) => usableResults(other, job.until).length > 0);
  }

  /** Whether a job that comes to the same is being trained. */
  isAtWorkElsewhere(job: JobRecord, isOffered: (id: string) => boolean): boolean {
    return this.#equalsOf(job).some(({ id }) => this.manned.has(id) || isOffered(id));
  }

  #equalsOf({ id, key }: Pick<JobRecord, 'id' | 'key'>): JobRecord[] {
    const equals = this.#equals.get(key);
    if (equals === undefined) return [];
    return [...equals].flatMap((other) => {
      const job = other === id ? undefined : this.jobs.get(other);
      // What is left of a removed experiment may be gone any moment.
      return job !== undefined && this.experiments.has(job.experiment) ? [job] : [];
    });
  }

  #queue(record: JobRecord, before: JobRecord | undefined): void {
    const queue = put(this.queues, record.experiment, new JobQueue());
    if (before?.state === 'queued') queue.remove(before);
    if (record.state === 'queued') queue.add(record);
    const { result } = record;
    if (record.kind === 'train' && result !== null && result.epochs > 0 && result.digest !== before?.result?.digest)
      queue.learn(record.trial, result.seconds / result.epochs);
  }

  #countUnfinished(record: JobRecord, before: JobRecord | undefined): void {
    const was = before !== undefined && !isFinal(before.state);
    const is = !isFinal(record.state);
    if (was === is) return;
    const plan = (this.plans.get(record.plan) ?? 0) + (is ? 1 : -1);
    if (plan > 0) this.plans.set(record.plan, plan);
    else this.plans.delete(record.plan);
    const own = put(this.unfinished, record.experiment, new Set());
    if (is) own.add(record.id);
    else own.delete(record.id);
    if (own.size === 0) this.unfinished.delete(record.experiment);
  }

  #lookForEquals(record: JobRecord): void {
    const equals = put(this.#equals, record.key, new Set<string>()).add(record.id);
    if (equals.size < 2) return;
    if (record.state === 'queued') this.#servable.add(record.id);
    if (record.result !== null)
      for (const { id, state } of this.#equalsOf(record)) if (state === 'queued') this.#servable.add(id);
  }

  #touch(experiment: string): Set<string> {
    return put(this.#changed, experiment, new Set());
  }
}

/** What a map has under a key, put there where it has nothing yet. */
function put<K, V>(map: Map<K, V>, key: K, fresh: V): V {
  const there = map.get(key);
  if (there !== undefined) return there;
  map.set(key, fresh);
  return fresh;
}
