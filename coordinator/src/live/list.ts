import { getJson } from '@crossfold/shared/broker/json-blobs';
import { SweepPlan } from '@crossfold/shared/jobs/plan';
import type { ExperimentRecord } from '@crossfold/shared/jobs/records';
import { isFinal } from '@crossfold/shared/jobs/records';
import { Results } from '@crossfold/shared/results';
import { inParallel } from '../in-parallel.ts';
import { standingOf } from '../metrics/standing.ts';
import { subjectOf } from '../results/nested.ts';
import type { Html } from '../results/report/html.ts';
import type { LiveContext } from './followed.ts';
import type { ListedExperiment } from './pages.ts';
import { listHtml } from './pages.ts';

/** Experiments that are listed, the newest. */
const maxListed = 100;
/** Larger results are not read for one number. */
const maxResultsBytes = 8 * 1024 * 1024;
const readsAtOnce = 4;
/** A list is good for this long, and for this many times what it took to put together. */
const goodForMs = 1500;
const goodForTimes = 20;

/** The list of experiments, put together at most every so often, however many look at it. */
export class ExperimentList {
  readonly #context: LiveContext;
  /** Mean accuracies of what is over, by results. */
  #accuracies = new Map<string, number | undefined>();
  /** Of what is under way, by plan: whether folds lie within folds. */
  readonly #nested = new Map<string, boolean>();
  #last: { readonly until: number; readonly made: Promise<Html> } | undefined;

  constructor(context: LiveContext) {
    this.#context = context;
  }

  /** @throws UnreachableError, DamagedDataError */
  html(): Promise<Html> {
    const { now } = this.#context;
    if (this.#last !== undefined && now() < this.#last.until) return this.#last.made;
    const begun = now();
    const made = this.#make();
    this.#last = { until: Number.POSITIVE_INFINITY, made };
    const done = (until: number): void => {
      this.#last = { until, made };
    };
    made.then(
      () => done(now() + Math.max(goodForMs, goodForTimes * (now() - begun))),
      () => done(0),
    );
    return made;
  }

  async #make(): Promise<Html> {
    const { broker, now } = this.#context;
    const all = (await broker.experiments.list('>', () => undefined)).sort((a, b) => b.createdAt - a.createdAt);
    const rows: ListedExperiment[] = [];
    const accuracies = new Map<string, number | undefined>();
    await inParallel(all.slice(0, maxListed), readsAtOnce, async (record, i) => {
      rows[i] = isFinal(record.state) ? await this.#over(record, accuracies) : await this.#underWay(record);
    });
    this.#accuracies = accuracies;
    return listHtml(rows, all.length, now());
  }

  async #over(record: ExperimentRecord, accuracies: Map<string, number | undefined>): Promise<ListedExperiment> {
    const { results } = record;
    if (results === null || results.bytes > maxResultsBytes) return { record, progress: 1, accuracy: undefined };
    const { digest } = results;
    const accuracy = this.#accuracies.has(digest)
      ? this.#accuracies.get(digest)
      : subjectOf(await getJson(this.#context.broker.artifacts, results, Results))?.summary?.accuracy.mean;
    accuracies.set(digest, accuracy);
    return { record, progress: 1, accuracy };
  }

  async #underWay(record: ExperimentRecord): Promise<ListedExperiment> {
    const { broker, now } = this.#context;
    const jobs = await broker.jobs.list(`${record.id}.>`, () => undefined);
    const { progress, trials } = standingOf(record, jobs, new Map(), now());
    // Scores of inner folds are what a search chose by: they are no estimate.
    if (await this.#isNested(record)) return { record, progress, accuracy: undefined };
    const means = trials.flatMap(({ accuracy }) => (accuracy === undefined ? [] : [accuracy.mean]));
    return { record, progress, accuracy: means.length === 0 ? undefined : Math.max(...means) };
  }

  async #isNested({ plan }: ExperimentRecord): Promise<boolean> {
    if (plan === null) return false;
    const known = this.#nested.get(plan.digest);
    if (known !== undefined) return known;
    const { folds } = await getJson(this.#context.broker.artifacts, plan, SweepPlan);
    const nested = folds.some(({ within }) => within !== undefined);
    this.#nested.set(plan.digest, nested);
    const [oldest] = this.#nested.keys();
    if (this.#nested.size > 2 * maxListed && oldest !== undefined) this.#nested.delete(oldest);
    return nested;
  }
}
