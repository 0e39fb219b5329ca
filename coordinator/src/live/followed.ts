import { createHash } from 'node:crypto';
import type { Broker } from '@crossfold/shared/broker/broker';
import { getExperiment } from '@crossfold/shared/broker/json-blobs';
import { experimentProgress } from '@crossfold/shared/broker/subjects';
import type { StreamEvent } from '@crossfold/shared/http/site';
import type { ExperimentRecord, JobRecord } from '@crossfold/shared/jobs/records';
import { isFinal } from '@crossfold/shared/jobs/records';
import type { Logger } from '@crossfold/shared/logger';
import { decodeProgress } from '@crossfold/shared/progress';
import { pause } from '@crossfold/shared/wait';
import { resolvedYaml } from '../config/load.ts';
import type { JobNews } from '../metrics/standing.ts';
import { newsAfter, standingOf } from '../metrics/standing.ts';
import type { Html } from '../results/report/html.ts';
import { html } from '../results/report/html.ts';
import { reportHtml } from '../results/report/report.ts';
import { barePage, liveHtml, liveSection, manageSection } from './pages.ts';
import { PartialResults } from './partial.ts';

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
/** A page is drawn anew, and what stands above it told, no more often than this many times what it took: large ones cost a coordinator little. */
const [drawnForTimes, toldForTimes] = [10, 20];
/** Whoever asks for a page waits so long for a drawing; then there is the last one, or one without a report. */
const patienceMs = 3000;
/** After a drawing that failed. */
const drawAgainMs = 3000;

/** A page as it was drawn; what stands above the report is put in as it is asked for. */
interface Drawn {
  /** The content that it shows. */
  readonly key: string;
  /** What the report below is of. */
  readonly below: string;
  readonly before: string;
  readonly after: string;
}

/**
 * An experiment that is under way and that somebody looks at: its records, mirrored by watching, and what its groups say.
 * Costs the same however many look: one drawing at a time, and a tenth of the time at most is spent on them. So a report
 * grows in larger steps the larger it is, and what it costs grows with the experiment's time alone.
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
  #drawn: Drawn | undefined;
  #drawing: Promise<Drawn> | undefined;
  /** When what is finished may be drawn again. */
  #drawAgainAt = 0;
  /** How long telling how it stands took last. */
  #toldInMs = 0;

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
    await broker.experiments.watch(
      this.id,
      signal,
      ({ value }) => seenExperiment(value),
      damaged,
      () => this.#removed(),
    );
  }

  get record(): ExperimentRecord {
    return this.#record;
  }

  get isWatched(): boolean {
    return this.#listeners.size > 0;
  }

  /**
   * The page as it is now, with what is finished as it was drawn last where that is not long ago.
   * @throws UnreachableError, DamagedDataError
   */
  async page(): Promise<string> {
    const { now } = this.#context;
    this.usedAt = now();
    if (this.#drawn === undefined || (this.#drawn.key !== this.#key() && this.#mayDraw())) {
      const ready = await inTime(this.#draw(), patienceMs);
      if (ready === undefined && this.#drawn === undefined)
        return barePage(this.#record, this.#head(''), this.#context.canWrite);
    }
    const { key, before, after } = this.#drawn ?? (await this.#draw());
    return `${before}${this.#head(key).html}${after}`;
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

  /** Its page, asked for again, says that there is no such experiment. */
  #removed(): void {
    for (const { send } of this.#listeners) send({ type: 'changed', data: '' });
    this.close();
  }

  /** Nothing that it shows changes any more. */
  get isOver(): boolean {
    return this.#over.signal.aborted;
  }

  #mayDraw(): boolean {
    return this.#drawing !== undefined || this.#context.now() >= this.#drawAgainAt;
  }

  /** Draws what is finished, unless that is being done. */
  #draw(): Promise<Drawn> {
    if (this.#drawing !== undefined) return this.#drawing;
    const { now } = this.#context;
    const begun = now();
    const drawing = this.#drawNow();
    this.#drawing = drawing;
    drawing
      .then(
        (drawn) => {
          this.#drawn = drawn;
          this.#drawAgainAt = now() + Math.max(tellEveryMs, drawnForTimes * (now() - begun));
        },
        () => {
          this.#yaml = undefined;
          this.#drawAgainAt = now() + drawAgainMs;
        },
      )
      .finally(() => {
        this.#drawing = undefined;
        this.#tell();
      });
    return drawing;
  }

  async #drawNow(): Promise<Drawn> {
    const record = this.#record;
    const { broker, now, canWrite } = this.#context;
    const key = this.#key();
    const made = await this.#partial.of(record, [...this.#jobs.values()], now());
    const below =
      'none' in made
        ? made.none
        : 'The report below is of what is finished alone: it grows by itself, and may change its mind, as more folds finish.';
    // Stands for what is put in whenever it is asked for.
    const head = liveSection(html``, key);
    if ('none' in made) return { key, below, ...around(barePage(record, head, canWrite), head) };
    this.#yaml ??= getExperiment(broker.artifacts, record.spec).then(resolvedYaml);
    const page = reportHtml(
      { results: made.results, yaml: await this.#yaml },
      {
        live: { head, state: record.state },
        ...(canWrite ? { manage: manageSection(record) } : {}),
      },
    );
    return { key, below, ...around(page, head) };
  }

  /** What stands above everything else on a page that shows some content. */
  #head(shown: string): Html {
    return liveSection(this.#live(), `/experiments/${this.id}/events?shown=${shown}`);
  }

  #live(): Html {
    const jobs = [...this.#jobs.values()];
    const standing = standingOf(this.#record, jobs, this.#news, this.#context.now());
    const below = this.#drawn?.below ?? 'The report of what is finished is being put together.';
    return liveHtml(this.#record, standing, jobs, this.#news, below);
  }

  #touch(): void {
    if (this.#listeners.size === 0 || this.#over.signal.aborted) return;
    this.#timer ??= setTimeout(
      () => {
        this.#timer = undefined;
        this.#tell();
      },
      Math.max(tellEveryMs, toldForTimes * this.#toldInMs),
    );
  }

  #tell(): void {
    if (this.#listeners.size === 0 || this.#over.signal.aborted) return;
    const { now, logger } = this.#context;
    const begun = now();
    const live = this.#live().html;
    const key = this.#key();
    // What is over is told at once: its page is another's to draw.
    const ready = isFinal(this.#record.state) ? key : this.#drawn?.key;
    let waits = false;
    for (const listener of this.#listeners) {
      listener.send({ type: 'live', data: live });
      if (ready !== undefined && listener.shown !== ready && (ready === key || listener.shown !== key)) {
        listener.shown = ready;
        listener.send({ type: 'changed', data: ready });
      }
      waits ||= listener.shown !== key;
    }
    this.#toldInMs = now() - begun;
    if (!waits) return;
    if (this.#drawing === undefined && this.#mayDraw())
      this.#draw().catch((error: unknown) => logger.warn({ err: error }, 'a page could not be put together'));
    // Where nothing more happens, too, the last change is told.
    else this.#touch();
  }

  /** Names what the page shows beside what is under way; the same from every coordinator. */
  #key(): string {
    const { state, plan, results, error } = this.#record;
    const hash = createHash('sha256').update(JSON.stringify([state, plan, results, error]));
    for (const id of [...this.#jobs.keys()].sort()) {
      const job = this.#jobs.get(id);
      if (job === undefined) continue;
      // What a search has had trained for some epochs tells something, too, before it is over.
      if (isFinal(job.state) || job.result !== null)
        hash.update(`\n${id} ${isFinal(job.state) ? job.state : ''} ${job.result?.digest ?? ''}`);
    }
    return hash.digest('hex').slice(0, 16);
  }
}

/** What lies before and after a part of a page. */
function around(page: string, part: Html): Pick<Drawn, 'before' | 'after'> {
  const at = page.indexOf(part.html);
  return { before: page.slice(0, at), after: page.slice(at + part.html.length) };
}

/** The promise's outcome, or undefined where it has none in time. */
async function inTime<T>(promise: Promise<T>, milliseconds: number): Promise<T | undefined> {
  const late = new AbortController();
  try {
    return await Promise.race([promise, pause(milliseconds, late.signal).then(() => undefined)]);
  } finally {
    late.abort();
  }
}
