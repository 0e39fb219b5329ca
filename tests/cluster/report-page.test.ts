import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { resolvedYaml } from '@crossfold/coordinator/config/load';
import { reportHtml } from '@crossfold/coordinator/results/report/report';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { findChromium, launchChromium } from '../support/chromium.ts';
import { type Story, storyOutcome } from '../support/finished.ts';

const executable = findChromium();

function pageOf(story: Story): string {
  const { results, experiment } = storyOutcome(story);
  if (results === undefined) throw new Error('a story has results');
  return reportHtml({ results, yaml: resolvedYaml(experiment) });
}

const hostile = '<img src=x onerror="document.title=\'taken\'">';
const pages: Readonly<Record<string, Story>> = {
  digits: { epochs: 8, samples: 640 },
  'two classes': { classes: ['cats', 'dogs'], epochs: 12, samples: 200, testSamples: 0 },
  'a failed fold': { samples: 200, ended: { '0.1': { state: 'failed', error: `weights ${hostile}` } } },
  'one split': { method: 'holdout', samples: 200 },
  sweep: {
    samples: 400,
    trials: [0.1, 0.01, 0.001].flatMap((rate) =>
      ['relu', hostile].map((name) => ({
        accuracy: 0.95 - rate,
        parameters: { 'training.optimizer.learningRate': rate, 'model.layers.0.activation': name },
      })),
    ),
    ended: { '0.4': { state: 'pruned' } },
  },
  hostile: { classes: [hostile, '</script><script>document.title="taken"</script>', 'c'], samples: 200 },
};

// A machine without a browser says so, and tests everything else.
describe.skipIf(executable === undefined)('the report in a browser', () => {
  let browser: Browser;
  let folder: string;
  beforeAll(async () => {
    browser = await launchChromium(executable ?? '');
    folder = await mkdtemp(join(tmpdir(), 'crossfold-report-'));
    for (const [name, story] of Object.entries(pages)) await writeFile(join(folder, `${name}.html`), pageOf(story));
  });
  afterAll(async () => {
    await browser?.close();
    if (folder !== undefined) await rm(folder, { recursive: true });
  });

  /** Opens a page; whatever it asks for or complains of is noted. */
  async function open(
    name: string,
    look: { readonly width?: number; readonly dark?: boolean } = {},
  ): Promise<{ page: Page; requests: string[]; complaints: string[] }> {
    const page = await browser.newPage({
      viewport: { width: look.width ?? 1200, height: 800 },
      colorScheme: look.dark === true ? 'dark' : 'light',
    });
    const requests: string[] = [];
    const complaints: string[] = [];
    page.on('request', (request) => requests.push(request.url()));
    page.on('console', (message) => complaints.push(message.text()));
    page.on('pageerror', (error) => complaints.push(error.message));
    await page.goto(pathToFileURL(join(folder, `${name}.html`)).href);
    return { page, requests, complaints };
  }

  it.each(Object.keys(pages))('asks for nothing and complains of nothing: %s', async (name) => {
    const { page, requests, complaints } = await open(name);
    expect({ requests: requests.length, complaints }).toEqual({ requests: 1, complaints: [] });
    expect(await page.title()).toBe('mnist-kfold: Crossfold report');
    expect(await page.locator('img, script').count()).toBe(1);
    await page.close();
  });

  it.each([
    ['digits', false],
    ['digits', true],
    ['two classes', true],
    ['a failed fold', false],
    ['sweep', false],
    ['sweep', true],
    ['sweep', false, 375],
  ])('has no fault that axe finds: %s, dark %s', async (name, dark, width = 1200) => {
    const { page } = await open(name, { dark, width });
    // Every shade that a cell can have, whatever this net's scores are.
    for (const [kind, shades] of [
      ['right', 10],
      ['wrong', 6],
    ] as const)
      await page.evaluate(
        `document.querySelectorAll('.matrix td.${kind}').forEach((cell, i) => { cell.className = '${kind} h' + (1 + (i % ${shades})); })`,
      );
    await page.evaluate(await readFile(createRequire(import.meta.url).resolve('axe-core'), 'utf8'));
    const faults = await page.evaluate<string[]>(
      `axe.run().then(({ violations }) => violations.flatMap(({ id, nodes }) => nodes.map(({ html, failureSummary }) => id + ': ' + html.slice(0, 200) + failureSummary)))`,
    );
    expect(faults).toEqual([]);
    await page.close();
  });

  it.each([
    ['digits', 320],
    ['digits', 768],
    ['digits', 1920],
    ['sweep', 320],
    ['two classes', 375],
  ])('fits into a window: %s, %d pixels wide', async (name, width) => {
    const { page } = await open(name, { width });
    expect(await page.evaluate('document.documentElement.scrollWidth')).toBeLessThanOrEqual(width);
    await page.close();
  });

  it('sorts a table by keyboard and by mouse', async () => {
    const { page } = await open('digits');
    const table = page.locator('section[aria-labelledby="folds"] table');
    const head = table.locator('th', { hasText: 'accuracy' });
    const accuracies = async (): Promise<number[]> =>
      (await table.locator('tbody td:nth-child(2)').allTextContents()).map((text) => Number.parseFloat(text));
    const inOrder = [...(await accuracies())].sort((a, b) => b - a);
    await head.getByRole('button').focus();
    await page.keyboard.press('Enter');
    expect(await head.getAttribute('aria-sort')).toBe('descending');
    expect(await accuracies()).toEqual(inOrder);
    await head.getByRole('button').click();
    expect(await head.getAttribute('aria-sort')).toBe('ascending');
    expect(await accuracies()).toEqual([...inOrder].reverse());
    await table.locator('thead th').first().getByRole('button').click();
    expect(await head.getAttribute('aria-sort')).toBeNull();
    expect(await table.locator('tbody th').allTextContents()).toEqual(['4', '3', '2', '1', '0']);
    await page.close();
  });

  it('tells the numbers of what is pointed at, and lights up a fold', async () => {
    const { page } = await open('digits');
    const tip = page.locator('#tip');
    await page.locator('circle.dot').first().hover();
    expect(await tip.textContent()).toMatch(/^fold 0: 9\d\.\d\d % of 128 samples$/);
    expect(await page.locator('tr[data-key="fold-0.0"]').getAttribute('class')).toContain('lit');
    await page.locator('.stop').nth(2).hover();
    expect(await tip.textContent()).toMatch(/^epoch 3\nvalidation \d\.\d{4} ± \d\.\d{4}\ntraining .*\nfold 0: /);
    await page.keyboard.press('Escape');
    expect(await tip.isVisible()).toBe(false);
    await page.close();
  });

  it('shows a confusion matrix as counts or shares', async () => {
    const { page } = await open('two classes');
    const cell = page.locator('.matrix td').nth(1);
    const count = await cell.textContent();
    const button = page.getByRole('button', { name: 'show shares' });
    await button.click();
    expect(await button.getAttribute('aria-pressed')).toBe('true');
    expect(await cell.textContent()).toMatch(/^\d+\.\d$/);
    await button.click();
    expect(await cell.textContent()).toBe(count);
    await page.close();
  });

  it('filters trials by their words, and lights up their lines', async () => {
    const { page } = await open('sweep');
    const rows = page.locator('#trial-table tbody tr:visible');
    expect(await rows.count()).toBe(6);
    await page.getByLabel('Filter').fill('0.001 relu');
    expect(await rows.count()).toBe(1);
    expect(await page.locator('#trials-shown').textContent()).toBe('1 of 6 shown');
    expect(await page.locator('.line.faded').count()).toBe(5);
    await rows.first().hover();
    expect(await page.locator('.line.lit').getAttribute('data-key')).toBe('trial-4');
    await page.getByLabel('Filter').fill('');
    expect(await rows.count()).toBe(6);
    await page.locator('#trial-table th', { hasText: 'learningRate' }).getByRole('button').click();
    expect(await rows.first().locator('td').nth(5).textContent()).toBe('0.1');
    await page.close();
  });

  it('has the other trials folded away', async () => {
    const { page } = await open('sweep');
    const other = page.locator('details.trial').first();
    expect(await other.locator('table').isVisible()).toBe(false);
    await other.locator('summary').press('Enter');
    expect(await other.locator('table').isVisible()).toBe(true);
    expect(await page.locator('details.trial').count()).toBe(5);
    await page.close();
  });

  it('is complete on paper and without its script', async () => {
    const context = await browser.newContext({ javaScriptEnabled: false });
    const page = await context.newPage();
    await page.goto(pathToFileURL(join(folder, 'digits.html')).href);
    expect(await page.locator('table').count()).toBeGreaterThanOrEqual(5);
    expect(await page.getByRole('button').count()).toBe(0);
    expect((await page.pdf({ format: 'A4' })).subarray(0, 5).toString()).toBe('%PDF-');
    await context.close();
  });
});
