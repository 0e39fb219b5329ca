import type { Broker } from '@crossfold/shared/broker/broker';
import { openBroker } from '@crossfold/shared/broker/broker';
import type { JobRecord } from '@crossfold/shared/jobs/records';
import { isFinal } from '@crossfold/shared/jobs/records';

/** Follows all jobs' records from now on, and finds whatever must never be. */
export interface RecordCheck {
  /** Results that were recorded, by job: more than one for a job is a fault. */
  readonly results: ReadonlyMap<string, ReadonlySet<string>>;
  /** What was wrong at any time, and what is wrong at the end: nothing, it is to be hoped. */
  faults(): Promise<string[]>;
  stop(): void;
}

export async function checkRecords(broker: Broker): Promise<RecordCheck> {
  const over = new AbortController();
  const results = new Map<string, Set<string>>();
  const before = new Map<string, JobRecord>();
  const wrong: string[] = [];
  await broker.jobs.watch(
    '>',
    over.signal,
    ({ key, value }) => {
      const last = before.get(key);
      before.set(key, value);
      if (value.result !== null) results.set(key, (results.get(key) ?? new Set()).add(value.result.digest));
      if (last !== undefined && isFinal(last.state) && value.state !== last.state)
        wrong.push(`${key} was ${last.state} and became ${value.state}`);
      if (last !== undefined && value.generation < last.generation) wrong.push(`${key} fell back to an old generation`);
    },
    (error) => wrong.push(error.message),
  );
  return {
    results,
    stop: () => over.abort(),
    async faults() {
      const found = [...wrong];
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
      for (const [key, digests] of results)
        if (digests.size > 1) found.push(`${key} has had ${digests.size} results recorded`);
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

function faultsOf(job: JobRecord): string[] {
  const found: string[] = [];
  if (!isFinal(job.state)) found.push(`${job.id} is ${job.state}, which is not final`);
  if (isFinal(job.state) && job.members.length > 0) found.push(`${job.id} is ${job.state} and has members`);
  // One that was stopped by a search, or failed, may have results of fewer epochs.
  if (job.state === 'completed' && job.result === null) found.push(`${job.id} is completed without a result`);
  if (job.state === 'failed' && job.error === null) found.push(`${job.id} failed without a reason`);
  return found;
}
