import { getExperiment, getJson } from '@crossfold/shared/broker/json-blobs';
import { ConfigError, isBrokerTrouble, TimeoutError } from '@crossfold/shared/errors';
import type { Action, Page, Site, Stream } from '@crossfold/shared/http/site';
import type { ExperimentRecord } from '@crossfold/shared/jobs/records';
import { isFinal, Selection, Token } from '@crossfold/shared/jobs/records';
import { Results } from '@crossfold/shared/results';
import { pause, within } from '@crossfold/shared/wait';
import { brokerClient } from '../client/client.ts';
import { resolvedYaml } from '../config/load.ts';
import { reportHtml } from '../results/report/report.ts';
import type { LiveContext } from './followed.ts';
import { FollowedExperiment } from './followed.ts';
import { ExperimentList } from './list.ts';
import { barePage, listPage, manageSection } from './pages.ts';

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
 * it is under way; each with events beside it (`/events`, `/experiments/<id>/events`). They only read, unless whoever asks has the token:
 * then `/experiments/<id>/cancel` and `/resume` do what the verbs of the command line do.
 */
export class LiveSite implements Site {
  #context: LiveContext | undefined;
  #list: ExperimentList | undefined;
  readonly #followed = new Map<string, Promise<FollowedExperiment>>();
  readonly #reports = new Map<string, Promise<string>>();
  readonly #canWrite: boolean;

  /** @param canWrite whether there is a token, by which pages offer more than to be read */
  constructor({ canWrite = false }: { readonly canWrite?: boolean } = {}) {
    this.#canWrite = canWrite;
  }

  /** Gives it the broker to read from. */
  attach(context: Omit<LiveContext, 'canWrite'>): void {
    const own = { ...context, canWrite: this.#canWrite };
    this.#context = own;
    this.#list = new ExperimentList(own);
    void this.#letGo(own);
  }

  async page(path: string): Promise<Page | undefined> {
    const id = experimentOf(path);
    if (path !== '/' && id === undefined) return undefined;
    const [context, list] = [this.#context, this.#list];
    if (context === undefined || list === undefined) return plain(503, notReached);
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

  action(path: string): Action | undefined {
    if (path === '/token') return () => Promise.resolve(plain(200, 'that is the token'));
    const [, id, verb] = /^(\/experiments\/[^/]+)\/(cancel|resume)$/.exec(path) ?? [];
    const experiment = id === undefined ? undefined : experimentOf(id);
    if (experiment === undefined) return undefined;
    return async (body) => {
      const selection = Selection.safeParse(body);
      if (!selection.success)
        return plain(400, 'a body may name a trial and a fold, as in {"trial": 3, "fold": 0}, and nothing else');
      const context = this.#context;
      if (context === undefined) return plain(503, notReached);
      try {
        const client = brokerClient(context.broker);
        const asked = verb === 'cancel' ? client.cancel : client.resume;
        const { state } = await within(asked(experiment, selection.data), answerMs, 'the broker to take a request');
        context.logger.info({ experiment, verb, ...selection.data }, 'asked for by a page');
        return plain(200, `${experiment}: ${state}`);
      } catch (error) {
        if (error instanceof ConfigError) return plain(409, error.message);
        if (!isBrokerTrouble(error) && !(error instanceof TimeoutError)) throw error;
        context.logger.warn({ err: error }, 'what a page asked for could not be done');
        return plain(503, 'the broker does not answer; try again');
      }
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
    return record.results === null
      ? barePage(record, undefined, this.#canWrite)
      : this.#report(record, record.results.digest, context);
  }

  /** The very page that `crossfold report` writes. */
  #report(record: ExperimentRecord, digest: string, { broker }: LiveContext): Promise<string> {
    const key = `${record.id} ${record.state} ${digest}`;
    const known = this.#reports.get(key);
    if (known !== undefined) return known;
    const draw = async (): Promise<string> => {
      const results = await getJson(broker.artifacts, { digest }, Results);
      const yaml = resolvedYaml(await getExperiment(broker.artifacts, record.spec));
      return reportHtml({ results, yaml }, this.#canWrite ? { manage: manageSection(record) } : {});
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
      if (followed === undefined) continue;
      if (!followed.isOver && (followed.isWatched || now - followed.usedAt < unusedForMs)) continue;
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

const notReached = 'the broker has not been reached yet; try again';

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
