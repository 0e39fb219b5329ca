import type { Broker } from '@crossfold/shared/broker/broker';
import { openBroker } from '@crossfold/shared/broker/broker';
import type { JobRecord, PublicJob } from '@crossfold/shared/jobs/records';
import { isFinal } from '@crossfold/shared/jobs/records';

/** All jobs' records as they were seen to change, and whatever must never be among that. */
export class SeenRecords {
  /** Results that were recorded, by job: more than one for a job is a fault. */
  readonly results = new Map<string, Set<string>>();
  readonly #last = new Map<string, JobRecord>();
  readonly #wrong: string[] = [];

  /** How many jobs there were. */
  get jobs(): number {
    return this.#last.size;
  }

  /** Follows the records on a broker from now on. */
  async follow(broker: Broker, signal: AbortSignal): Promise<void> {
    await broker.jobs.watch(
      '>',
      signal,
      ({ value }) => this.#see(value),
      (error) => this.#wrong.push(error.message),
    );
  }

  /** What was wrong at any time. */
  wrong(): string[] {
    const twice = [...this.results].filter(([, digests]) => digests.size > 1);
    return [...this.#wrong, ...twice.map(([key, { size }]) => `${key} has had ${size} results recorded`)];
  }

  /** The same, and what is wrong with the records as they were seen last, when nobody works on them any more. */
  faults(): string[] {
    return [...this.wrong(), ...[...this.#last.values()].flatMap(faultsOf)];
  }

  #see(job: JobRecord): void {
    const { id } = job;
    const last = this.#last.get(id);
    this.#last.set(id, job);
    if (job.result !== null) this.results.set(id, (this.results.get(id) ?? new Set()).add(job.result.digest));
    if (last === undefined) return;
    if (isFinal(last.state) && job.state !== last.state)
      this.#wrong.push(`${id} was ${last.state} and became ${job.state}`);
    if (job.generation < last.generation) this.#wrong.push(`${id} fell back to an old generation`);
  }
}

/** Follows all jobs' records from now on, and finds whatever must never be. */
export interface RecordCheck {
  /** Results that were recorded, by job. */
  readonly results: ReadonlyMap<string, ReadonlySet<string>>;
  /** What was wrong at any time, and what is wrong at the end: nothing, it is to be hoped. */
  faults(): Promise<string[]>;
  stop(): void;
}

export async function checkRecords(broker: Broker): Promise<RecordCheck> {
  const over = new AbortController();
  const seen = new SeenRecords();
  await seen.follow(broker, over.signal);
  return {
    results: seen.results,
    stop: () => over.abort(),
    async faults() {
      const found = seen.wrong();
      for (const key of await broker.jobs.keys('>')) {
        const job = (await broker.jobs.get(key))?.value;
        if (job !== undefined) found.push(...faultsOf(job));
        const lacks =
          job === undefined
            ? 'is gone'
            : job.result === null || (await broker.artifacts.has(job.result.digest))
              ? undefined
              : 'has a result that is not in the store';
        // Jobs of an experiment that was removed go, and with them what they have left.
        const experiment = key.split('.', 1)[0] ?? '';
        if (lacks !== undefined && (await broker.experiments.get(experiment)) !== undefined)
          found.push(`${key} ${lacks}`);
      }
      return found;
    },
  };
}

/**
 * What is wrong with the records of all jobs on a broker that nobody works on any more: each of them must be in exactly
 * one final state. For the end of every test that has had jobs carried out.
 */
export async function unsettledJobs(url: string): Promise<string[]> {
  const broker = await openBroker(url, 'checker', { patienceMs: 30_000 });
  try {
    return (await broker.jobs.list('>')).flatMap(faultsOf);
  } finally {
    await broker.close();
  }
}

/** What is wrong with a job's record once nobody works on it any more. */
export function faultsOf(job: PublicJob): string[] {
  const found: string[] = [];
  if (!isFinal(job.state)) found.push(`${job.id} is ${job.state}, which is not final`);
  if (isFinal(job.state) && job.members.length > 0) found.push(`${job.id} is ${job.state} and has members`);
  // One that was stopped by a search, or failed, may have results of fewer epochs.
  if (job.state === 'completed' && job.result === null) found.push(`${job.id} is completed without a result`);
  if (job.state === 'failed' && job.error === null) found.push(`${job.id} failed without a reason`);
  return found;
}
