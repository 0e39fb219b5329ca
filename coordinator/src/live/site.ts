import { getJson } from '@crossfold/shared/broker/json-blobs';
import { Experiment } from '@crossfold/shared/config/experiment';
import { isBrokerTrouble, TimeoutError } from '@crossfold/shared/errors';
import type { Page, Site, Stream } from '@crossfold/shared/http/site';
import type { ExperimentRecord } from '@crossfold/shared/jobs/records';
import { isFinal, Token } from '@crossfold/shared/jobs/records';
import { Results } from '@crossfold/shared/results';
import { pause, within } from '@crossfold/shared/wait';
import { resolvedYaml } from '../config/load.ts';
import { reportHtml } from '../results/report/report.ts';
import type { LiveContext } from './followed.ts';
import { FollowedExperiment } from './followed.ts';
import { ExperimentList } from './list.ts';
import { barePage, listPage } from './pages.ts';

/** Experiments under way that are followed at a time; each costs as much memory as its records. */
const maxFollowed = 16;
/** How long one is followed after it was last asked for. */
const followedForMs = 60_000;
const lookEveryMs = 10_000;
/** Reports of experiments that are over, kept as they were drawn. */
const maxReports = 8;
const answerMs = 10_000;
const tellListEveryMs = 2000;

/**
 * The pages that any coordinator serves: `/`, all experiments, and `/experiments/<id>`, the report of one, growing while
 * it is under way; each with events beside it (`/events`, `/experiments/<id>/events`). They only ever read.
 */
export class LiveSite implements Site {
  #context: LiveContext | undefined;
  #list: ExperimentList | undefined;
  readonly #followed = new Map<string, Promise<FollowedExperiment>>();
  readonly #reports = new Map<string, Promise<string>>();

  /** Gives it the broker to read from. */
  attach(context: LiveContext): void {
    this.#context = context;
    this.#list = new ExperimentList(context);
    void this.#letGo(context);
  }

  async page(path: string): Promise<Page | undefined> {
    const id = experimentOf(path);
    if (path !== '/' && id === undefined) return undefined;
    const [context, list] = [this.#context, this.#list];
    if (context === undefined || list === undefined)
      return plain(503, 'the broker has not been reached yet; try again');
    try {
      const page = id === undefined ? list.html().then(listPage) : this.#experiment(id, context);
      const text = await within(page, answerMs, 'the broker to tell how experiments stand');
      if (text === undefined) return plain(404, 'there is no such experiment; / lists those there are');
      return { status: 200, type: 'text/html; charset=utf-8', text, headers: pageHeaders };
    } catch (error) {
      if (!isBrokerTrouble(error) && !(error instanceof TimeoutError)) throw error;
      context.logger.warn({ err: error }, 'a page could not be put together');
      return plain(503, 'the broker does not answer, or too much is looked at; try again');
    }
  }

  stream(path: string, query: string): Stream | undefined {
    if (path === '/events') return (send, signal) => this.#tellList(send, signal);
    if (!path.endsWith('/events')) return undefined;
    const id = experimentOf(path.slice(0, -'/events'.length));
    if (id === undefined) return undefined;
    return async (send, signal) => {
      const followed = this.#context === undefined ? undefined : await this.#follow(id, this.#context);
      // One that is gone: its page will say so.
      if (followed === undefined) return send({ type: 'changed', data: '' });
      await followed.listen(new URLSearchParams(query).get('shown') ?? '', send, signal);
    };
  }

  async #experiment(id: string, context: LiveContext): Promise<string | undefined> {
    const { broker } = context;
    const stored = await broker.experiments.get(id);
    if (stored === undefined) return undefined;
    let record = stored.value;
    if (!isFinal(record.state)) {
      const followed = await this.#follow(id, context);
      if (followed === undefined) return undefined;
      // It may be over by now.
      if (!isFinal(followed.record.state)) return followed.page();
      record = followed.record;
    }
    return record.results === null ? barePage(record) : this.#report(record, record.results.digest, context);
  }

  /** The very page that `crossfold report` writes. */
  #report(record: ExperimentRecord, digest: string, { broker }: LiveContext): Promise<string> {
    const key = `${record.id} ${digest}`;
    const known = this.#reports.get(key);
    if (known !== undefined) return known;
    const draw = async (): Promise<string> => {
      const results = await getJson(broker.artifacts, { digest }, Results);
      return reportHtml({ results, yaml: resolvedYaml(await getJson(broker.artifacts, record.spec, Experiment)) });
    };
    const drawn = draw();
    this.#reports.set(key, drawn);
    drawn.catch(() => this.#reports.delete(key));
    const [oldest] = this.#reports.keys();
    if (this.#reports.size > maxReports && oldest !== undefined) this.#reports.delete(oldest);
    return drawn;
  }

  /** Undefined where there is no such experiment. */
  async #follow(id: string, context: LiveContext): Promise<FollowedExperiment | undefined> {
    const known = this.#followed.get(id);
    if (known !== undefined) return known;
    const stored = await context.broker.experiments.get(id);
    if (stored === undefined) return undefined;
    const meanwhile = this.#followed.get(id);
    if (meanwhile !== undefined) return meanwhile;
    if (this.#followed.size >= maxFollowed) await this.#closeUnused(context.now(), 0);
    if (this.#followed.size >= maxFollowed) throw new TimeoutError('other experiments to be looked at no longer', 0);
    const followed = new FollowedExperiment(stored.value, context);
    const begun = followed.begin().then(() => followed);
    this.#followed.set(id, begun);
    begun.catch(() => {
      followed.close();
      this.#followed.delete(id);
    });
    return begun;
  }

  async #letGo(context: LiveContext): Promise<void> {
    const { signal, now } = context;
    while (!signal.aborted) {
      await pause(lookEveryMs, signal);
      await this.#closeUnused(now(), followedForMs);
    }
    for (const begun of this.#followed.values()) begun.then((followed) => followed.close()).catch(() => undefined);
  }

  async #closeUnused(now: number, unusedForMs: number): Promise<void> {
    for (const [id, begun] of this.#followed) {
      const followed = await begun.catch(() => undefined);
      if (followed === undefined || followed.isWatched || now - followed.usedAt < unusedForMs) continue;
      followed.close();
      this.#followed.delete(id);
    }
  }

  async #tellList(send: Parameters<Stream>[0], signal: AbortSignal): Promise<void> {
    let told: string | undefined;
    while (!signal.aborted) {
      const list = await this.#list?.html();
      if (list !== undefined && list.html !== told) send({ type: 'live', data: list.html });
      told = list?.html;
      await pause(tellListEveryMs, signal);
    }
  }
}

/** The experiment that a path names; undefined where it names none. */
function experimentOf(path: string): string | undefined {
  const id = Token.safeParse(/^\/experiments\/([^/]+)$/.exec(path)?.[1]);
  return id.success ? id.data : undefined;
}

const pageHeaders = { 'content-security-policy': "frame-ancestors 'none'", 'referrer-policy': 'no-referrer' };
const plain = (status: number, text: string): Page => ({
  status,
  type: 'text/plain; charset=utf-8',
  text: `${text}\n`,
});
