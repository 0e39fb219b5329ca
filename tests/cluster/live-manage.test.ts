import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { connectClient } from '@crossfold/coordinator/client/client';
import type { ExperimentClient } from '@crossfold/coordinator/client/types';
import { Experiment } from '@crossfold/shared/config/experiment';
import type { Browser } from 'playwright-core';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { findChromium, launchChromium } from '../support/chromium.ts';
import type { TrainingCluster } from '../support/cluster.ts';
import { smallExperiment, startTrainingCluster } from '../support/cluster.ts';

const executable = findChromium();
const token = 'correct-horse-battery-staple';

describe('a live page whose coordinator was given a token', () => {
  let cluster: TrainingCluster;
  let client: ExperimentClient;
  let browser: Browser | undefined;
  let base: string;
  beforeAll(async () => {
    cluster = await startTrainingCluster({ workers: 1, env: { CROSSFOLD_PAGE_TOKEN: token } });
    base = cluster.cluster.http().get('coordinator') ?? '';
    client = await connectClient(cluster.url);
    if (executable !== undefined) browser = await launchChromium(executable);
  }, 60_000);
  afterEach(async () => {
    for (const { id, state } of await client.list()) {
      if (state !== 'cancelled') await client.cancel(id);
      const isOver = async (): Promise<boolean> =>
        (await client.jobs(id)).every((job) => job.state === 'cancelled' || job.state === 'completed');
      await expect.poll(isOver, { timeout: 30_000 }).toBe(true);
    }
  }, 60_000);
  afterAll(async () => {
    await browser?.close();
    await client?.close();
    await cluster?.stop();
  });

  /** One that does not end by itself while it is looked at, once it runs. */
  const running = async (id: string): Promise<void> => {
    const training = { ...smallExperiment.training, epochs: 100_000 };
    await client.submit(Experiment.parse({ ...smallExperiment, training }), cluster.folder, id);
    for await (const event of client.follow(id, AbortSignal.timeout(50_000)))
      if (event.type === 'experiment' && event.state === 'running') break;
  };
  const post = (path: string, body: string, authorization?: string) =>
    fetch(`${base}${path}`, { method: 'POST', body, headers: authorization === undefined ? {} : { authorization } });
  const refusals = async (): Promise<number> =>
    Number(
      /^crossfold_refused_total\{kind="http"\} (\d+)$/m.exec(await (await fetch(`${base}/metrics`)).text())?.[1] ?? 0,
    );

  it.skipIf(executable === undefined)(
    'cancels and resumes an experiment for whoever gives it',
    async () => {
      if (browser === undefined) return;
      const id = 'small-20260101-120000-1a2b';
      await running(id);
      const page = await browser.newPage();
      const complaints: string[] = [];
      const refusedBefore = await refusals();
      page.on('pageerror', (error) => complaints.push(error.message));
      page.on('dialog', (dialog) => void dialog.accept());
      await page.goto(`${base}/experiments/${id}`);
      await page.locator('#live .badge.running').waitFor();
      const cancel = page.getByRole('button', { name: 'Cancel this experiment' });
      await page.getByText('Manage', { exact: true }).click();
      expect(await cancel.isVisible()).toBe(false);
      await page.getByLabel('Token').fill('something-else-altogether');
      await page.getByLabel('Token').press('Enter');
      await page.getByText('that is not the token').waitFor();
      expect(await cancel.isVisible()).toBe(false);
      expect(await refusals()).toBe(refusedBefore + 1);
      await page.getByLabel('Token').fill(token);
      await page.getByRole('button', { name: 'Unlock' }).click();
      await cancel.click();
      await page.locator('h1 .badge.cancelled').waitFor();
      expect((await client.outcome(id, { models: false })).record.state).toBe('cancelled');
      // The page has gone on by itself, and offers to take that back.
      await page.getByRole('button', { name: 'Resume this experiment' }).click();
      await page.locator('#live .badge.running').waitFor();
      await page.getByText('Manage', { exact: true }).click();
      expect(await cancel.isVisible()).toBe(true);
      await page.getByRole('button', { name: 'Forget the token' }).click();
      expect(await cancel.isVisible()).toBe(false);
      expect(complaints).toEqual([]);
      await page.close();
    },
    120_000,
  );

  it('takes what is asked for with it alone, and says what it does not know', async () => {
    const id = 'small-20260101-120000-2b3c';
    await running(id);
    const cancel = `/experiments/${id}/cancel`;
    const bearer = `Bearer ${token}`;
    expect((await post(cancel, '')).status).toBe(401);
    expect((await post(cancel, '{"all": true}', bearer)).status).toBe(400);
    const wrong = await post(cancel, '{"trial": 7}', bearer);
    expect([wrong.status, await wrong.text()]).toEqual([409, '--trial is 7: must be from 0 to 0\n']);
    expect((await post('/experiments/none-20260101-120000-1a2b/resume', '', bearer)).status).toBe(409);
    expect((await client.outcome(id, { models: false })).record.state).not.toBe('cancelled');
    const done = await post(cancel, '', bearer);
    expect([done.status, await done.text()]).toEqual([200, `${id}: cancelled\n`]);
    const logs = join(cluster.folder, 'logs');
    for (const file of await readdir(logs)) expect(await readFile(join(logs, file), 'utf8')).not.toContain(token);
  }, 60_000);
});
