import type { Broker } from '@crossfold/shared/broker/broker';
import { getJson } from '@crossfold/shared/broker/json-blobs';
import { Manifest } from '@crossfold/shared/data/manifest';
import { FoldsDocument } from '@crossfold/shared/folds/folds';
import { TrainJobResult } from '@crossfold/shared/jobs/job-result';
import { SweepPlan } from '@crossfold/shared/jobs/plan';
import type { ExperimentRecord, JobRecord } from '@crossfold/shared/jobs/records';
import { isFinal } from '@crossfold/shared/jobs/records';
import type { Results } from '@crossfold/shared/results';
import { readPlans } from '../leader/finish.ts';
import { inParallel } from '../leader/in-parallel.ts';
import { outOfFoldOf } from '../leader/out-of-fold.ts';
import type { FinishedJob } from '../results/aggregate.ts';
import { crossValidated } from '../results/aggregate.ts';
import { version } from '../version.ts';

/** Of more folds the report waits until all are over: their results are large, and it would be drawn again and again. */
export const maxPartialFolds = 500;
const readsAtOnce = 8;
export const beginsLater = 'The report begins once the first fold is finished.';

/** Results of what is finished, or why there are none yet. */
export type Partial = { readonly results: Results } | { readonly none: string };

/** Trials with a job that is under way or, as far as is known, still to come: what folds they have is not all of it. */
export function underWay(jobs: readonly JobRecord[], folds: number): ReadonlySet<number> {
  const byTrial = new Map<number, JobRecord[]>();
  for (const job of jobs) {
    if (job.kind !== 'train') continue;
    const own = byTrial.get(job.trial);
    if (own === undefined) byTrial.set(job.trial, [job]);
    else own.push(job);
  }
  const isOver = (own: readonly JobRecord[]): boolean =>
    own.every(({ state }) => isFinal(state)) &&
    (own.length >= folds || own.some(({ state }) => state === 'pruned' || state === 'cancelled'));
  return new Set([...byTrial].flatMap(([trial, own]) => (isOver(own) ? [] : [trial])));
}

/** Reads what finished jobs left, each but once, and puts it together as the leader does in the end. */
export class PartialResults {
  readonly #broker: Broker;
  readonly #read = new Map<string, TrainJobResult>();

  constructor(broker: Broker) {
    this.#broker = broker;
  }

  /** @throws UnreachableError, DamagedDataError */
  async of(record: ExperimentRecord, jobs: readonly JobRecord[], now: number): Promise<Partial> {
    const broker = this.#broker;
    if (record.manifest === null || record.folds === null || record.plan === null) return { none: beginsLater };
    const plan = await getJson(broker.artifacts, record.plan, SweepPlan);
    // What trials earned within an outer fold is not theirs to show before that fold's winner is known.
    if (plan.folds.some(({ within }) => within !== undefined))
      return { none: 'The report of a nested evaluation follows once all of it is over.' };
    const over = jobs.filter(({ kind, state }) => kind === 'train' && isFinal(state));
    if (over.length > maxPartialFolds)
      return { none: `The report of more than ${maxPartialFolds} folds follows once all are over.` };
    if (!over.some(({ result, state }) => result !== null && state === 'completed')) return { none: beginsLater };
    const finished: FinishedJob[] = [];
    await inParallel(over, readsAtOnce, async (job, i) => {
      finished[i] = { job, result: job.result === null ? undefined : await this.#resultOf(job.result.digest) };
    });
    const shown = new Set(over.map(({ trial }) => trial));
    const results = crossValidated({
      record,
      plans: await readPlans({ broker }, { trials: plan.trials.filter(({ trial }) => shown.has(trial)) }),
      manifest: await getJson(broker.data, record.manifest, Manifest),
      folds: await getJson(broker.artifacts, record.folds, FoldsDocument),
      finished,
      search: undefined,
      wallSeconds: (now - record.createdAt) / 1000,
      software: version(),
      // Of a single trial there is a verdict from its first fold on; several are first compared when they are whole.
      underWay: plan.trials.length === 1 ? new Set() : underWay(jobs, plan.folds.length),
    });
    return { results: { ...results, ...(await outOfFoldOf(broker, results, finished)) } };
  }

  async #resultOf(digest: string): Promise<TrainJobResult> {
    const known = this.#read.get(digest);
    if (known !== undefined) return known;
    const result = await getJson(this.#broker.artifacts, { digest }, TrainJobResult);
    this.#read.set(digest, result);
    return result;
  }
}
