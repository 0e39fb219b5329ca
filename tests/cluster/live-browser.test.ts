import { resolvedYaml } from '@crossfold/coordinator/config/load';
import { barePage, liveSection } from '@crossfold/coordinator/live/pages';
import { underWay } from '@crossfold/coordinator/live/partial';
import { crossValidated } from '@crossfold/coordinator/results/aggregate';
import { html } from '@crossfold/coordinator/results/report/html';
import { reportHtml } from '@crossfold/coordinator/results/report/report';
import { Health } from '@crossfold/shared/health';
import type { HttpServer } from '@crossfold/shared/http/server';
import { startHttp } from '@crossfold/shared/http/server';
import type { Site, StreamEvent } from '@crossfold/shared/http/site';
import { createLogger } from '@crossfold/shared/logger';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { findChromium, launchChromium } from '../support/chromium.ts';
import { finishedExperiment } from '../support/finished.ts';

const executable = findChromium();
const folds = 3;
const all = finishedExperiment({
  samples: 300,
  testSamples: 0,
  folds,
  epochs: 4,
  trials: [0.1, 0.01, 0.001, 0.0001].map((rate, i) => ({
    accuracy: 0.9 - 0.02 * i,
    parameters: { 'training.optimizer.learningRate': rate },
  })),
});
/** Each trial's first fold before any's second. */
const inTurn = all.finished.toSorted((a, b) => a.job.fold - b.job.fold || a.job.trial - b.job.trial);
const headOf = (text: string) =>
  liveSection(html`<p class="lead">${text} <a href="/">All experiments</a></p>`, '/events');

/** The page once so many jobs, of four trials on three folds, are over. */
function pageAfter(jobs: number): string {
  if (jobs === 0) return barePage(all.record, headOf('0 of 12 folds over'));
  const finished = inTurn.slice(0, jobs);
  const plans = new Map([...all.plans].filter(([trial]) => finished.some(({ job }) => job.trial === trial)));
  const yaml = resolvedYaml(all.experiment);
  const over = jobs === all.finished.length;
  const running = underWay(
    finished.map(({ job }) => job),
    folds,
  );
  const results = crossValidated({ ...all, plans, finished, ...(over ? {} : { underWay: running }) });
  const live = { head: headOf(`${jobs} of 12 folds over`), state: 'running' };
  return reportHtml({ results, yaml }, over ? {} : { live });
}

/** Pages that change when they are told to. */
class StagedSite implements Site {
  jobs = 0;
  asked = 0;
  #send: ((event: StreamEvent) => void) | undefined;

  page(path: string) {
    if (path !== '/experiments/exp') return Promise.resolve(undefined);
    this.asked++;
    return Promise.resolve({ status: 200, type: 'text/html; charset=utf-8', text: pageAfter(this.jobs) });
  }

  stream(path: string) {
    if (path !== '/events') return undefined;
    return (send: (event: StreamEvent) => void, signal: AbortSignal) =>
      new Promise<void>((resolve) => {
        this.#send = send;
        signal.addEventListener('abort', () => resolve(), { once: true });
        send({ type: 'live', data: `<p class="lead">listening <a href="/">All experiments</a></p>` });
      });
  }

  tell(type: string, data: string): void {
    this.#send?.({ type, data });
  }

  goOn(jobs: number): void {
    this.jobs = jobs;
    this.tell('changed', String(jobs));
  }
}

describe.skipIf(executable === undefined)('a live page in a browser', () => {
  let browser: Browser;
  let server: HttpServer;
  let site: StagedSite;
  beforeAll(async () => {
    browser = await launchChromium(executable ?? '');
    site = new StagedSite();
    server = await startHttp({
      listen: { host: '127.0.0.1', port: 0 },
      health: new Health(),
      metrics: { read: () => Promise.resolve({ text: '', type: 'text/plain' }) },
      site,
      logger: createLogger({ service: 'test', env: { CROSSFOLD_LOG_LEVEL: 'silent' } }),
    });
  });
  afterAll(async () => {
    await browser?.close();
    await server?.close();
  });

  async function open(jobs: number): Promise<{ page: Page; complaints: string[]; loads: () => number }> {
    site.jobs = jobs;
    const page = await browser.newPage({ viewport: { width: 900, height: 700 } });
    const complaints: string[] = [];
    let loads = 0;
    page.on('console', (message) => complaints.push(message.text()));
    page.on('pageerror', (error) => complaints.push(error.message));
    page.on('load', () => loads++);
    await page.goto(`${server.url}/experiments/exp`);
    await page.locator('#live', { hasText: 'listening' }).waitFor();
    return { page, complaints, loads: () => loads };
  }
  const shown = (page: Page, text: string): Promise<void> =>
    page.locator('#trial-table', { hasText: text }).waitFor({ state: 'attached' });

  it('grows fold by fold into the very report, without being loaded again', async () => {
    const { page, complaints, loads } = await open(0);
    site.goOn(3);
    await shown(page, '1 of 3');
    expect(await page.locator('#trial-table tbody tr').first().textContent()).toContain('running');
    expect(await page.locator('section[aria-labelledby="verdict"] .lead').textContent()).toContain(
      'No trial has all of its folds yet',
    );
    site.goOn(10);
    await shown(page, '3 of 3');
    expect(await page.locator('section[aria-labelledby="verdict"] .lead').textContent()).toContain(
      'the net of trial 0',
    );
    expect((await page.locator('.ranking').allTextContents()).join()).toContain('2 trials have folds to come.');
    site.goOn(12);
    await page.locator('#live').waitFor({ state: 'detached' });
    await page.locator('#news', { hasText: 'The report is complete.' }).waitFor({ state: 'attached' });
    expect({ complaints, loads: loads() }).toEqual({ complaints: [], loads: 1 });
    // It is what one would see who came now.
    const whole = (): Promise<string> =>
      page.evaluate('document.title + document.querySelector("main").outerHTML.replace(/>\\s+</g, "><")');
    const grown = await whole();
    await page.reload();
    expect(grown).toBe(await whole());
    await page.close();
  });

  it('keeps what was typed, sorted, opened, focused and scrolled to', async () => {
    const { page, complaints, loads } = await open(3);
    await page.locator('#trial-table th', { hasText: 'learningRate' }).getByRole('button').click();
    await page.locator('details[data-name="trial-2"] summary').click();
    await page.getByRole('button', { name: 'show shares' }).click();
    const filter = page.getByLabel('Filter');
    await filter.fill('0.0');
    await filter.press('ArrowLeft');
    const top = (): Promise<number> => page.evaluate('document.activeElement.getBoundingClientRect().top');
    const before = await top();
    expect(Number.isFinite(before)).toBe(true);
    // A trial more, and so a longer page above and below.
    site.goOn(4);
    await page.locator('details[data-name="trial-3"]').waitFor({ state: 'attached' });
    expect(await filter.inputValue()).toBe('0.0');
    expect(Math.abs((await top()) - before)).toBeLessThanOrEqual(1);
    expect(
      await page.evaluate('[document.activeElement.dataset.filters, document.activeElement.selectionStart]'),
    ).toEqual(['trial-table', 2]);
    expect(await page.locator('#trials-shown').textContent()).toBe('3 of 4 shown');
    expect(await page.locator('#trial-table tbody tr:visible td:nth-child(7)').allTextContents()).toEqual([
      '0.01',
      '0.001',
      '0.0001',
    ]);
    expect(await page.locator('#trial-table th[aria-sort]').getAttribute('aria-sort')).toBe('descending');
    expect(await page.locator('details[data-name="trial-2"]').getAttribute('open')).toBe('');
    expect(await page.locator('details[data-name="trial-3"]').getAttribute('open')).toBeNull();
    expect(await page.getByRole('button', { name: 'show shares' }).getAttribute('aria-pressed')).toBe('true');
    // Typing goes on where it was.
    await page.keyboard.type('9');
    expect(await filter.inputValue()).toBe('0.90');
    expect(await page.locator('#trials-shown').textContent()).toBe('0 of 4 shown');
    expect({ complaints, loads: loads() }).toEqual({ complaints: [], loads: 1 });
    await page.close();
  });

  it('keeps what is read where it is while the page grows above it, and a focus within what is under way', async () => {
    const { page } = await open(3);
    await page.evaluate('document.getElementById("again").scrollIntoView()');
    const top = (): Promise<number> => page.evaluate('document.getElementById("again").getBoundingClientRect().top');
    const [before, height] = [await top(), await page.evaluate('document.documentElement.scrollHeight')];
    site.goOn(4);
    await page.locator('details[data-name="trial-3"]').waitFor({ state: 'attached' });
    expect(await page.evaluate('document.documentElement.scrollHeight')).toBeGreaterThan(Number(height));
    expect(Math.abs((await top()) - before)).toBeLessThanOrEqual(1);
    await page.locator('#live a').focus();
    site.tell('live', '<p class="lead">another word <a href="/">All experiments</a></p>');
    await page.locator('#live', { hasText: 'another word' }).waitFor();
    expect(await page.evaluate('document.activeElement.textContent')).toBe('All experiments');
    await page.close();
  });

  it('exchanges only what differs, and asks but once for what it is told', async () => {
    const { page } = await open(10);
    await page.evaluate('document.querySelectorAll("main > section").forEach((part) => { part.isOld = true; })');
    const asked = site.asked;
    site.goOn(10);
    await page.locator('#live', { hasText: '10 of 12 folds over' }).waitFor();
    expect(site.asked).toBe(asked + 1);
    site.goOn(11);
    await page.locator('details[data-name="trial-2"] tbody tr:nth-child(3)').waitFor({ state: 'attached' });
    // The best trial's matrix and digests are what they were.
    const old = await page.evaluate<(string | null)[]>(
      '[...document.querySelectorAll("main > section")].filter(({ isOld }) => isOld).map((part) => part.getAttribute("aria-labelledby"))',
    );
    for (const name of ['folds', 'course', 'classes', 'again']) expect(old).toContain(name);
    expect(old).not.toContain('trials');
    await page.close();
  });
});
