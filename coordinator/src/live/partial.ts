import type { Broker } from '@crossfold/shared/broker/broker';
import { getJson } from '@crossfold/shared/broker/json-blobs';
import { Manifest } from '@crossfold/shared/data/manifest';
import { FoldsDocument } from '@crossfold/shared/folds/folds';
import { TrainJobResult } from '@crossfold/shared/jobs/job-result';
import type { PlannedFold, PlannedTrial, TrialPlan } from '@crossfold/shared/jobs/plan';
import { SweepPlan } from '@crossfold/shared/jobs/plan';
import type { ExperimentRecord, JobRecord } from '@crossfold/shared/jobs/records';
import { isFinal, jobId } from '@crossfold/shared/jobs/records';
import type { Results } from '@crossfold/shared/results';
import { inParallel } from '../in-parallel.ts';
import { readPlans, searchResult } from '../leader/finish.ts';
import { outOfFoldOf } from '../leader/out-of-fold.ts';
import type { FinishedJob } from '../results/aggregate.ts';
import { crossValidated } from '../results/aggregate.ts';
import type { SweepState } from '../search/sweep.ts';
import { decidedRounds } from '../search/sweep.ts';
import { version } from '../version.ts';

/**
 * Bytes of results, as they are stored, that are kept whole: of the best trial and, as far as they go, of those after it.
 * Of others there is kept what tables and points show: no histories, no matrices.
 */
const wholeBytes = 16 * 1024 * 1024;
const readsAtOnce = 8;
const beginsLater = 'The report begins once the first fold is finished.';
const beginsNested =
  'The report begins once the search within the first outer fold is over, and what it found is scored.';

/** Results of what is finished, or why there are none yet. */
export type Partial = { readonly results: Results } | { readonly none: string };

function byTrial(jobs: readonly JobRecord[]): ReadonlyMap<number, readonly JobRecord[]> {
  const trials = new Map<number, JobRecord[]>();
  for (const job of jobs) {
    const own = trials.get(job.trial);
    if (own === undefined) trials.set(job.trial, [job]);
    else own.push(job);
  }
  return trials;
}

/** Trials with a job that is under way or, as far as is known, still to come: what folds they have is not all of it. */
export function underWay(jobs: readonly JobRecord[], folds: number): ReadonlySet<number> {
  const isOver = (own: readonly JobRecord[]): boolean =>
    own.every(({ state }) => isFinal(state)) &&
    (own.length >= folds || own.some(({ state }) => state === 'pruned' || state === 'cancelled'));
  const train = jobs.filter(({ kind }) => kind === 'train');
  return new Set([...byTrial(train)].flatMap(([trial, own]) => (isOver(own) ? [] : [trial])));
}

/**
 * Jobs that a report may tell of: those that are over, and those that a search has had trained for some epochs, and may
 * have go on. Nested, what trials earned within an outer fold is not theirs to show before what was found there is
 * scored on that fold.
 */
export function tellable(jobs: readonly JobRecord[], folds: readonly PlannedFold[]): JobRecord[] {
  const over = jobs.filter(({ kind, state, result }) => kind === 'train' && (isFinal(state) || result !== null));
  const outerOf = new Map(folds.flatMap(({ fold, within }) => (within === undefined ? [] : [[fold, within] as const])));
  if (outerOf.size === 0) return over;
  const outers = new Set(outerOf.values());
  const scored = new Set(over.flatMap(({ fold, state }) => (outers.has(fold) && isFinal(state) ? [fold] : [])));
  return over.filter(({ fold }) => scored.has(outerOf.get(fold) ?? fold));
}

/**
 * Jobs that are told of, those first of which a report shows most: nested what was found for each outer fold, otherwise all
 * folds of the best trial that is whole, then those of the others by their means.
 */
export function mostShownFirst(
  over: readonly JobRecord[],
  folds: readonly PlannedFold[],
  running: ReadonlySet<number>,
): JobRecord[] {
  const inner = new Set(folds.flatMap(({ fold, within }) => (within === undefined ? [] : [fold])));
  const order = [...byTrial(over)].map(([trial, jobs]) => {
    const done = jobs.filter(({ state }) => state === 'completed');
    const isWhole = done.length === jobs.length && !running.has(trial);
    const mean = done.reduce((sum, { result }) => sum + (result?.accuracy ?? 0), 0) / done.length;
    // While none is whole, the report is mainly about the one that has most folds.
    return { jobs, rank: isWhole ? 1 + mean : done.length / (over.length + 1) };
  });
  const inOrder = order.sort((a, b) => b.rank - a.rank).flatMap(({ jobs }) => jobs);
  return [...inOrder.filter(({ fold }) => !inner.has(fold)), ...inOrder.filter(({ fold }) => inner.has(fold))];
}

/** What the search is asked about. */
function stateOf({ id, cancelled, resumed }: ExperimentRecord, jobs: readonly JobRecord[]): SweepState {
  const byId = new Map(jobs.map((job) => [job.id, job]));
  return { jobOf: (trial, { repeat, fold }) => byId.get(jobId(id, 'train', trial, repeat, fold)), cancelled, resumed };
}

/** A result without what a report shows of few trials alone. */
const inBrief = (result: TrainJobResult): TrainJobResult => ({
  ...result,
  fold: {
    ...result.fold,
    history: { loss: [], accuracy: [], valLoss: [], valAccuracy: [] },
    epochSeconds: [],
    validation: { ...result.fold.validation, confusionMatrix: [], precision: [], recall: [], f1: [] },
  },
});

/** What of an experiment does not change any more, and is not large. */
interface Fixed {
  readonly plan: SweepPlan;
  readonly manifest: Manifest;
}

/**
 * Reads what finished jobs left, each but once, and puts it together as the leader does in the end. What it keeps is
 * bounded by the results' number, not by how long their histories are or how many classes there are.
 */
export class PartialResults {
  readonly #broker: Pick<Broker, 'artifacts' | 'data'>;
  readonly #wholeBytes: number;
  /** What finished jobs left, by digest. */
  readonly #read = new Map<string, { readonly result: TrainJobResult; readonly isWhole: boolean }>();
  readonly #plans = new Map<number, TrialPlan>();
  /** Parts of experiments, each but once: trials have most of them in common. */
  readonly #parts = new Map<string, unknown>();
  #fixed: Promise<Fixed> | undefined;

  constructor(broker: Pick<Broker, 'artifacts' | 'data'>, keepWholeBytes = wholeBytes) {
    this.#broker = broker;
    this.#wholeBytes = keepWholeBytes;
  }

  /** @throws UnreachableError, DamagedDataError */
  async of(record: ExperimentRecord, jobs: readonly JobRecord[], now: number): Promise<Partial> {
    const fixed = await this.#fixedOf(record);
    if (fixed === undefined || record.folds === null) return { none: beginsLater };
    const { plan, manifest } = fixed;
    const isNested = plan.folds.some(({ within }) => within !== undefined);
    const over = tellable(jobs, plan.folds);
    if (!over.some(({ result }) => result !== null)) return { none: isNested ? beginsNested : beginsLater };
    // Of a single trial there is a verdict from its first fold on; several are first compared when they are whole. Nested,
    // what was found in each outer fold speaks for itself.
    const running = plan.trials.length === 1 || isNested ? new Set<number>() : underWay(jobs, plan.folds.length);
    const finished = await this.#finished(mostShownFirst(over, plan.folds, running));
    const shown = new Set(over.map(({ trial }) => trial));
    const results = crossValidated({
      record,
      plans: await this.#plansOf(plan.trials.filter(({ trial }) => shown.has(trial))),
      manifest,
      folds: await getJson(this.#broker.artifacts, record.folds, FoldsDocument),
      finished,
      search: searchResult(plan, jobs, decidedRounds(plan, stateOf(record, jobs))),
      wallSeconds: (now - record.createdAt) / 1000,
      software: version(),
      underWay: running,
    });
    return { results: { ...results, ...(await outOfFoldOf(this.#broker, results, finished)) } };
  }

  async #fixedOf({ manifest, plan }: ExperimentRecord): Promise<Fixed | undefined> {
    if (manifest === null || plan === null) return undefined;
    const { artifacts, data } = this.#broker;
    const read = async (): Promise<Fixed> => ({
      plan: await getJson(artifacts, plan, SweepPlan),
      manifest: await getJson(data, manifest, Manifest),
    });
    this.#fixed ??= read();
    try {
      return await this.#fixed;
    } catch (error) {
      this.#fixed = undefined;
      throw error;
    }
  }

  /** @param over those first of which most is shown */
  async #finished(over: readonly JobRecord[]): Promise<FinishedJob[]> {
    const [first] = over;
    let bytes = 0;
    const whole = over.map(({ trial, result }) => {
      bytes += result?.bytes ?? 0;
      return trial === first?.trial || bytes <= this.#wholeBytes;
    });
    const finished: FinishedJob[] = [];
    const wanted = new Set(over.map(({ result }) => result?.digest));
    for (const digest of this.#read.keys()) if (!wanted.has(digest)) this.#read.delete(digest);
    await inParallel(over, readsAtOnce, async (job, i) => {
      finished[i] = {
        job,
        result: job.result === null ? undefined : await this.#resultOf(job.result.digest, whole[i] === true),
      };
    });
    return finished;
  }

  async #resultOf(digest: string, whole: boolean): Promise<TrainJobResult> {
    const known = this.#read.get(digest);
    if (known !== undefined && known.isWhole === whole) return known.result;
    const result =
      known?.isWhole === true ? known.result : await getJson(this.#broker.artifacts, { digest }, TrainJobResult);
    const kept = whole ? result : inBrief(result);
    this.#read.set(digest, { result: kept, isWhole: whole });
    return kept;
  }

  async #plansOf(trials: readonly PlannedTrial[]): Promise<ReadonlyMap<number, TrialPlan>> {
    const missing = trials.filter(({ trial }) => !this.#plans.has(trial));
    for (const [trial, plan] of await readPlans({ broker: this.#broker }, { trials: missing })) {
      const parts = Object.entries(plan.experiment).map(([name, part]) => [name, this.#once(part)]);
      this.#plans.set(trial, { ...plan, experiment: Object.fromEntries(parts) as TrialPlan['experiment'] });
    }
    return new Map(
      trials.flatMap(({ trial }) => {
        const plan = this.#plans.get(trial);
        return plan === undefined ? [] : [[trial, plan] as const];
      }),
    );
  }

  #once(part: unknown): unknown {
    const text = JSON.stringify(part);
    const known = this.#parts.get(text);
    if (known !== undefined) return known;
    this.#parts.set(text, part);
    return part;
  }
}
