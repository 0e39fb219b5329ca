import { connectClient } from '@crossfold/coordinator/client/client';
import { resolvedYaml } from '@crossfold/coordinator/config/load';
import { LiveSite } from '@crossfold/coordinator/live/site';
import { escapeHtml } from '@crossfold/coordinator/results/report/html';
import { reportHtml } from '@crossfold/coordinator/results/report/report';
import { openBroker } from '@crossfold/shared/broker/broker';
import { maxStreams } from '@crossfold/shared/http/event-streams';
import { createLogger } from '@crossfold/shared/logger';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { FinishedRun, TrainingCluster } from '../support/cluster.ts';
import { smallExperiment, startTrainingCluster } from '../support/cluster.ts';

let cluster: TrainingCluster;
let base: string;

beforeAll(async () => {
  cluster = await startTrainingCluster({ workers: 1 });
  base = cluster.cluster.http().get('coordinator') ?? '';
}, 60_000);

afterAll(async () => await cluster?.stop());

const hostile = `<i>"A" & 'B'</i>`;

async function get(path: string) {
  const response = await fetch(`${base}${path}`, { headers: { connection: 'close' } });
  return { status: response.status, text: await response.text(), headers: response.headers };
}

interface Told {
  readonly type: string;
  readonly data: string;
}

/** What a stream tells, until `enough` or its end. */
async function listen(path: string, enough: (told: readonly Told[]) => boolean): Promise<readonly Told[]> {
  const ending = new AbortController();
  const response = await fetch(`${base}${path}`, {
    signal: AbortSignal.any([ending.signal, AbortSignal.timeout(30_000)]),
  });
  expect(response.headers.get('content-type')).toContain('text/event-stream');
  const told: Told[] = [];
  let text = '';
  const decoder = new TextDecoder();
  for await (const chunk of response.body ?? []) {
    text += decoder.decode(chunk, { stream: true });
    const events = text.split('\n\n');
    text = events.pop() ?? '';
    for (const event of events) {
      const [, type, data] = /^event: (\w+)\ndata: (.*)$/.exec(event) ?? [];
      if (type !== undefined) told.push({ type, data: JSON.parse(data ?? '') });
    }
    if (enough(told)) break;
  }
  ending.abort();
  return told;
}

/** Where a page says that its events come from. */
const eventsOf = (page: string): string => (/data-events="([^"]+)"/.exec(page)?.[1] ?? 'none').replaceAll('&amp;', '&');

describe('the live page', () => {
  const seen: string[] = [];
  const changes: (readonly Told[])[] = [];
  let listed = '';
  let run: FinishedRun;

  /** As a browser does it: the page, its events, and the page again once there is more. */
  async function look(id: string): Promise<void> {
    for (;;) {
      const { text } = await get(`/experiments/${id}`);
      seen.push(text);
      if (!text.includes('id="live"')) return;
      changes.push(await listen(eventsOf(text), (told) => told.some(({ type }) => type === 'changed')));
    }
  }

  it('grows as folds finish, and ends as the report', async () => {
    let looking: Promise<void> | undefined;
    run = await cluster.run({ ...smallExperiment, training: { ...smallExperiment.training, epochs: 120 } }, (event) => {
      if (event.type !== 'job' || event.epoch === 0 || looking !== undefined) return;
      const id = event.job.split('.', 1)[0] ?? '';
      looking = Promise.all([look(id), get('/').then(({ text }) => (listed = text))]).then(() => undefined);
      looking.catch(() => undefined);
    });
    await looking;
    const client = await connectClient(cluster.url);
    try {
      const { experiment, results } = await client.outcome(run.record.id, { models: false });
      if (results === undefined) throw new Error('there are no results');
      expect(seen.at(-1)).toBe(reportHtml({ results, yaml: resolvedYaml(experiment) }));
    } finally {
      await client.close();
    }
    expect(seen[0]).toContain('The report begins once the first fold is finished.');
    // One of the two folds was reported on while the other was trained.
    const partial = seen.find((text) => text.includes('Verdict so far')) ?? '';
    expect(partial).toContain('<span class="badge running">running</span> 1 of 2 folds over');
    expect(partial).toContain('connect-src &#39;self&#39;');
    const [fold] = run.results.trials[0]?.folds ?? [];
    expect(partial).toContain(`${(100 * (fold?.validation?.accuracy ?? 0)).toFixed(2)} %`);
    // The epochs of what runs come without loading the page again.
    expect(changes.flat().filter(({ type }) => type === 'live').length).toBeGreaterThan(0);
    expect(changes.flat().some(({ data }) => /<td>\d+ of 120<\/td>/.test(data))).toBe(true);
  }, 120_000);

  it('lists the experiments', async () => {
    expect(listed).toContain('<span class="badge running">running</span>');
    const { status, text, headers } = await get('/');
    expect(status).toBe(200);
    expect(headers.get('content-security-policy')).toBe("frame-ancestors 'none'");
    const { mean } = run.results.trials[0]?.summary?.accuracy ?? { mean: -1 };
    for (const part of [`<a href="/experiments/${run.record.id}">small</a>`, '100 %', 'completed'])
      expect(text).toContain(part);
    expect(text).toContain(`<td>${(100 * mean).toFixed(2)} %</td>`);
    const [first] = await listen(eventsOf(text), (told) => told.length > 0);
    expect(first?.data).toContain(run.record.id);
  });

  it('is the same from a coordinator that does not lead', async () => {
    const ending = new AbortController();
    const broker = await openBroker(cluster.url, 'test', { role: 'coordinator' });
    try {
      const site = new LiveSite();
      expect(await site.page('/')).toMatchObject({ status: 503 });
      site.attach({ broker, logger: createLogger({ service: 'test', env: {} }), now: Date.now, signal: ending.signal });
      expect(await site.page(`/experiments/${run.record.id}`)).toMatchObject({ status: 200, text: seen.at(-1) });
    } finally {
      ending.abort();
      await broker.close();
    }
  });

  it('takes what records say for text', async () => {
    const broker = await openBroker(cluster.url, 'test', { role: 'client' });
    try {
      const failed = { state: 'failed' as const, results: null, name: hostile, error: `error ${hostile}` };
      await broker.experiments.create('hostile', { ...run.record, ...failed, id: 'hostile' });
    } finally {
      await broker.close();
    }
    const { text } = await get('/experiments/hostile');
    expect(text).toContain(`<pre>error ${escapeHtml(hostile)}</pre>`);
    // The list is put together anew in its own time.
    const [told] = (await listen('/events', (all) => JSON.stringify(all).includes('hostile'))).slice(-1);
    expect(told?.data).toContain(`<a href="/experiments/hostile">${escapeHtml(hostile)}</a>`);
    for (const page of [text, told?.data]) expect(page).not.toContain('<i>');
  }, 60_000);

  it.each([
    '/experiments/none-20260101-120000-1a2b',
    '/experiments/',
    '/experiments/a.b',
    '/experiments/%3E',
    '/x/events',
  ])('knows nothing of %s', async (path) => {
    expect((await get(path)).status).toBe(404);
  });

  it('lets no page that stays open keep a probe out', async () => {
    const ending = new AbortController();
    const open = (): Promise<Response> => fetch(`${base}/events`, { signal: ending.signal });
    try {
      const statuses = (await Promise.all(Array.from({ length: maxStreams + 3 }, open))).map(({ status }) => status);
      // One that a test before has only just closed may still count.
      const [taken, refused] = [200, 503].map((status) => statuses.filter((s) => s === status).length);
      expect(taken).toBeGreaterThan(0);
      expect(taken).toBeLessThanOrEqual(maxStreams);
      expect((taken ?? 0) + (refused ?? 0)).toBe(statuses.length);
      expect((await get('/livez')).status).toBe(200);
    } finally {
      ending.abort();
    }
  });
});
