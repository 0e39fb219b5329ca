import type { ExperimentRecord, JobRecord } from '@crossfold/shared/jobs/records';

/**
 * All records, mirrored from the broker by watching, with what the leader looks for kept up as they change: so that a
 * change costs the same however many jobs there are.
 */
export class Board {
  readonly experiments = new Map<string, ExperimentRecord>();
  readonly jobs = new Map<string, JobRecord>();
  readonly #jobsOf = new Map<string, Map<string, JobRecord>>();
  /** Ids of jobs that have members. */
  readonly manned = new Set<string>();
  readonly #changed = new Map<string, Set<string>>();

  seeExperiment(record: ExperimentRecord): void {
    this.experiments.set(record.id, record);
    this.#touch(record.id);
  }

  seeJob(record: JobRecord): void {
    this.jobs.set(record.id, record);
    const own = this.#jobsOf.get(record.experiment) ?? new Map<string, JobRecord>();
    this.#jobsOf.set(record.experiment, own.set(record.id, record));
    if (record.members.length > 0) this.manned.add(record.id);
    else this.manned.delete(record.id);
    this.#touch(record.experiment).add(record.id);
  }

  jobsOf(experiment: string): ReadonlyMap<string, JobRecord> {
    return this.#jobsOf.get(experiment) ?? new Map();
  }

  /** Jobs of an experiment that have changed since this was last asked; undefined where nothing of it has. */
  takeChanges(experiment: string): ReadonlySet<string> | undefined {
    const changed = this.#changed.get(experiment);
    this.#changed.delete(experiment);
    return changed;
  }

  #touch(experiment: string): Set<string> {
    const changed = this.#changed.get(experiment) ?? new Set();
    this.#changed.set(experiment, changed);
    return changed;
  }
}
