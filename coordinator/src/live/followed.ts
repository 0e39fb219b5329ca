import { createHash } from 'node:crypto';
import type { Broker } from '@crossfold/shared/broker/broker';
import { getJson } from '@crossfold/shared/broker/json-blobs';
import { experimentProgress } from '@crossfold/shared/broker/subjects';
import { Experiment } from '@crossfold/shared/config/experiment';
import type { StreamEvent } from '@crossfold/shared/http/site';
import type { ExperimentRecord, JobRecord } from '@crossfold/shared/jobs/records';
import { isFinal } from '@crossfold/shared/jobs/records';
import type { Logger } from '@crossfold/shared/logger';
import { decodeProgress } from '@crossfold/shared/progress';
import { resolvedYaml } from '../config/load.ts';
import type { JobNews } from '../metrics/standing.ts';
import { newsAfter, standingOf } from '../metrics/standing.ts';
import type { Html } from '../results/report/html.ts';
import { reportHtml } from '../results/report/report.ts';
import { barePage, liveHtml, liveSection, manageSection } from './pages.ts';
import type { Partial } from './partial.ts';
import { beginsLater, PartialResults } from './partial.ts';

export interface LiveContext {
  readonly broker: Broker;
  readonly logger: Logger;
  readonly now: () => number;
  /** Whether there is a token for writing. */
  readonly canWrite: boolean;
  /** Aborts when the coordinator ends. */
  readonly signal: AbortSignal;
}

interface Listener {
  /** The content that its page shows, or has been told of. */
  shown: string;
  readonly send: (event: StreamEvent) => void;
}

/** Changes are told no more often than this. */
const tellEveryMs = 1000;
/** A page is drawn anew no more often than this many times what drawing it took: large ones cost a coordinator little. */
const drawnForTimes = 10;

/**
 * An experiment that is under way and that somebody looks at: its records, mirrored by watching, and what its groups say.
 * Costs the same however many look, and one drawing a second at most.
 */
export class FollowedExperiment {
  readonly id: string;
  /** When it was last asked for. */
  usedAt: number;
  readonly #context: LiveContext;
  readonly #over = new AbortController();
  readonly #jobs = new Map<string, JobRecord>();
  readonly #news = new Map<string, JobNews>();
  readonly #listeners = new Set<Listener>();
  readonly #partial: PartialResults;
  #record: ExperimentRecord;
  #timer: NodeJS.Timeout | undefined;
  #yaml: Promise<string> | undefined;
  #below = beginsLater;
  /** The newest content that was put together, and the newest page that was drawn. */
  #content: { readonly key: string; readonly made: Promise<Partial> } | undefined;
  #page: { readonly key: string; readonly at: number; readonly drawn: Promise<string> } | undefined;
  /** When what is finished may be drawn again. */
  #drawAgainAt = 0;

  constructor(record: ExperimentRecord, context: LiveContext) {
    this.id = record.id;
    this.#record = record;
    this.#context = context;
    this.#partial = new PartialResults(context.broker);
    this.usedAt = context.now();
  }

  /** @throws UnreachableError where the records cannot be followed */
  async begin(): Promise<void> {
    const { broker, logger } = this.#context;
    const { signal } = this.#over;
    const damaged = (error: Error): void => logger.warn(error.message);
    const subscription = broker.nats.subscribe(experimentProgress(this.id), {
      callback: (error, message) => {
        // What is not as it should be has been counted where all of it is heard.
        const decoded = error === null ? decodeProgress(message.data, message.subject) : { why: error.message };
        const event = 'why' in decoded ? undefined : decoded.value;
        if (event?.type !== 'job' || !this.#jobs.has(event.job)) return;
        this.#news.set(event.job, newsAfter(this.#news.get(event.job), event));
        this.#touch();
      },
    });
    signal.addEventListener('abort', () => !broker.nats.isClosed() && subscription.unsubscribe(), { once: true });
    const seenJob = (job: JobRecord): void => {
      this.#jobs.set(job.id, job);
      if (isFinal(job.state)) this.#news.delete(job.id);
      this.#touch();
    };
    const seenExperiment = (record: ExperimentRecord): void => {
      this.#record = record;
      this.#touch();
    };
    await broker.jobs.watch(`${this.id}.>`, signal, ({ value }) => seenJob(value), damaged);
    await broker.experiments.watch(this.id, signal, ({ value }) => seenExperiment(value), damaged);
  }

  get record(): ExperimentRecord {
    return this.#record;
  }

  get isWatched(): boolean {
    return this.#listeners.size > 0;
  }

  /** The page as it is now; what is finished is put together once, however often it is asked for. */
  page(): Promise<string> {
    const { now } = this.#context;
    this.usedAt = now();
    const key = this.#key();
    if (this.#page?.key === key && now() - this.#page.at < tellEveryMs) return this.#page.drawn;
    const drawn = this.#draw(key);
    const page = { key, at: now(), drawn };
    this.#page = page;
    drawn.catch(() => {
      if (this.#page === page) this.#page = undefined;
    });
    return drawn;
  }

  /**
   * Tells until the signal aborts how it stands (`live`), and once there is more to report, that its page has changed
   * (`changed`).
   * @param shown the content that the page shows
   */
  listen(shown: string, send: (event: StreamEvent) => void, signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const end = (): void => {
        this.#listeners.delete(listener);
        this.usedAt = this.#context.now();
        resolve();
      };
      const listener: Listener = { shown, send };
      this.#listeners.add(listener);
      for (const ending of [signal, this.#over.signal]) {
        if (ending.aborted) end();
        else ending.addEventListener('abort', end, { once: true });
      }
      this.#tell();
    });
  }

  close(): void {
    clearTimeout(this.#timer);
    this.#over.abort();
  }

  async #draw(key: string): Promise<string> {
    const record = this.#record;
    const { broker, now, canWrite } = this.#context;
    if (this.#content?.key !== key)
      this.#content = { key, made: this.#partial.of(record, [...this.#jobs.values()], now()) };
    const content = this.#content;
    const begun = now();
    try {
      const made = await content.made;
      this.#below =
        'none' in made
          ? made.none
          : 'The report below is of what is finished alone: it grows by itself, and may change its mind, as more folds finish.';
      const head = liveSection(this.#live(), `/experiments/${this.id}/events?shown=${key}`);
      if ('none' in made) return barePage(record, head, canWrite);
      this.#yaml ??= getJson(broker.artifacts, record.spec, Experiment).then(resolvedYaml);
      const drawn = reportHtml(
        { results: made.results, yaml: await this.#yaml },
        {
          live: { head, state: record.state },
          ...(canWrite ? { manage: manageSection(record) } : {}),
        },
      );
      this.#drawAgainAt = now() + drawnForTimes * (now() - begun);
      return drawn;
    } catch (error) {
      this.#content = undefined;
      this.#yaml = undefined;
      throw error;
    }
  }

  #live(): Html {
    const jobs = [...this.#jobs.values()];
    const standing = standingOf(this.#record, jobs, this.#news, this.#context.now());
    return liveHtml(this.#record, standing, jobs, this.#news, this.#below);
  }

  #touch(): void {
    if (this.#listeners.size === 0 || this.#over.signal.aborted) return;
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      this.#tell();
    }, tellEveryMs);
  }

  #tell(): void {
    const live = this.#live().html;
    const key = this.#key();
    // What is over is told at once: its page is another's to draw.
    const mayDraw = isFinal(this.#record.state) || this.#context.now() >= this.#drawAgainAt;
    let waits = false;
    for (const listener of this.#listeners) {
      listener.send({ type: 'live', data: live });
      if (listener.shown === key) continue;
      if (mayDraw) {
        listener.shown = key;
        listener.send({ type: 'changed', data: key });
      } else waits = true;
    }
    // Where nothing more happens, too, the last change is told.
    if (waits) this.#touch();
  }

  /** Names what the page shows beside what is under way; the same from every coordinator. */
  #key(): string {
    const { state, plan, results, error } = this.#record;
    const hash = createHash('sha256').update(JSON.stringify([state, plan, results, error]));
    for (const id of [...this.#jobs.keys()].sort()) {
      const job = this.#jobs.get(id);
      if (job !== undefined && isFinal(job.state)) hash.update(`\n${id} ${job.state} ${job.result?.digest ?? ''}`);
    }
    return hash.digest('hex').slice(0, 16);
  }
}
