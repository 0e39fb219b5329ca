import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { main } from '@crossfold/coordinator/cli/main';
import { connectClient } from '@crossfold/coordinator/client/client';
import { openBroker } from '@crossfold/shared/broker/broker';
import { Experiment, newExperimentId } from '@crossfold/shared/config/experiment';
import { pause } from '@crossfold/shared/wait';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { smallExperiment, startTrainingCluster, type TrainingCluster } from '../support/cluster.ts';
import { fakeWorld } from '../support/fake-client.ts';

interface Line {
  readonly [field: string]: unknown;
  readonly msg: string;
  readonly service: string;
  readonly time: string;
}

describe('crossfold logs', () => {
  let cluster: TrainingCluster;
  let id: string;
  let followed: Line[];
  let finishedAt: number;
  /** What the groups of the experiment proved themselves with, and what its pages said meanwhile. */
  const secrets = new Set<string>();
  let pages: string[];
  beforeAll(async () => {
    cluster = await startTrainingCluster({ workers: 2, env: { CROSSFOLD_LOG_LEVEL: 'debug' } });
    id = newExperimentId('logged', new Date(), 1);
    const over = new AbortController();
    const broker = await openBroker(cluster.url, 'test');
    const seen = ({ value: { secret } }: { value: { secret: string } }): void => {
      if (secret !== '') secrets.add(secret);
    };
    await broker.jobs.watch(`${id}.>`, over.signal, seen, () => undefined);
    const client = await connectClient(cluster.url);
    const looking = look(`${cluster.cluster.http().get('coordinator')}`, over.signal);
    await client.submit(Experiment.parse({ ...smallExperiment, workersPerJob: 2 }), cluster.folder, id);
    followed = [];
    const filter = { experiment: id, level: 'info' } as const;
    // Ends with the experiment.
    for await (const lines of client.followLogs(filter, AbortSignal.timeout(60_000)))
      followed.push(...lines.map((line) => JSON.parse(line) as Line));
    const [record] = await client.list();
    finishedAt = record?.finishedAt ?? 0;
    await client.close();
    expect(finishedAt).toBeGreaterThan(0);
    over.abort();
    pages = await looking;
    await broker.close();
  }, 120_000);

  /** Everything that is served about the experiment, again and again until the signal aborts, and once more then. */
  async function look(base: string, signal: AbortSignal): Promise<string[]> {
    const seen: string[] = [];
    const get = async (path: string, ...ending: AbortSignal[]): Promise<string> => {
      const bounded = AbortSignal.any([...ending, AbortSignal.timeout(10_000)]);
      let text = '';
      try {
        const response = await fetch(`${base}${path}`, { signal: bounded });
        for await (const chunk of response.body ?? []) text += Buffer.from(chunk).toString('utf8');
      } catch (error) {
        // A stream of events goes on for longer than is waited for.
        if (!bounded.aborted) throw error;
      }
      seen.push(text);
      return text;
    };
    for (;;) {
      const last = signal.aborted;
      const events = /data-events="([^"]+)"/.exec(await get(`/experiments/${id}`))?.[1];
      if (events !== undefined) await get(events.replaceAll('&amp;', '&'), signal);
      await get('/metrics');
      if (last) return seen;
      await pause(100, signal);
    }
  }
  afterAll(() => cluster?.stop());

  const logs = async (...words: string[]): Promise<Line[]> => {
    const world = fakeWorld({ env: { CROSSFOLD_NATS_URL: cluster.url } });
    const context = { ...world.context, connect: connectClient };
    expect(await main(['logs', ...words], context)).toBe(0);
    return world
      .out()
      .split('\n')
      .filter((text) => text.startsWith('{'))
      .map((text) => JSON.parse(text) as Line);
  };

  it('shows what all services said, in order of time, with where they were', async () => {
    const lines = await logs(id, '--json');
    const services = new Set(lines.map(({ service }) => service));
    expect([...services].sort()).toEqual(['coordinator', 'worker-0', 'worker-1']);
    expect(lines.map(({ time }) => time)).toEqual(lines.map(({ time }) => time).sort());
    expect(lines.some(({ msg }) => msg === 'experiment prepared')).toBe(true);
    const opened = lines.filter(({ msg }) => msg === 'generation opened');
    // One of each fold at least, however late a worker came to it.
    expect(opened.length).toBeGreaterThanOrEqual(2);
    for (const line of opened) expect(line).toMatchObject({ experiment: id, trial: 0 });
    const inside = lines.filter((line) => line.rank !== undefined);
    expect(inside.length).toBeGreaterThan(0);
    for (const line of inside) expect(line.generation).toEqual(expect.any(Number));
    // Of each epoch there is one with all that says where it was.
    const validated = lines.filter(({ msg }) => msg === 'epoch validated');
    expect(validated.length).toBeGreaterThanOrEqual(2);
    const numbers = ['generation', 'rank', 'epoch', 'step', 'loss', 'valAccuracy'];
    expect(validated).toContainEqual(
      expect.objectContaining({
        experiment: id,
        job: expect.stringContaining(`${id}.train.`),
        fold: expect.any(String),
        ...Object.fromEntries(numbers.map((field) => [field, expect.any(Number)])),
      }),
    );
  });

  it('of a job are its own', async () => {
    const job = `${id}.train.0.0.1`;
    const lines = await logs(job, '--json');
    expect(lines.length).toBeGreaterThan(2);
    for (const line of lines) expect(line.job).toBe(job);
  });

  it('followed are the same, until the experiment is over', async () => {
    const kept = await logs(id, '--json');
    const said = new Set(kept.map((line) => JSON.stringify(line)));
    const live = new Set(followed.map((line) => JSON.stringify(line)));
    expect(live.size).toBe(followed.length);
    // What is said after the end of the experiment may be missed, nothing else.
    const missed = kept.filter((line) => !live.has(JSON.stringify(line)));
    expect(missed.filter(({ time }) => Date.parse(time) < finishedAt)).toEqual([]);
    expect([...live].filter((line) => !said.has(line))).toEqual([]);
  });

  it('of a run’s folder need no cluster', async () => {
    const world = fakeWorld();
    expect(await main(['logs', cluster.folder, '--json'], world.context)).toBe(0);
    const lines = world
      .out()
      .trim()
      .split('\n')
      .map((text) => JSON.parse(text) as Line);
    // With what the services say of themselves.
    expect(lines.some(({ msg }) => msg === 'leading')).toBe(true);
    expect(lines.some(({ msg }) => msg === 'ready for jobs')).toBe(true);
  });

  it('of a run on a cluster are in its folder in the end, and nothing anywhere has a secret of its groups', async () => {
    const out = await mkdtemp(join(tmpdir(), 'crossfold-logs-'));
    try {
      const world = fakeWorld({ env: { CROSSFOLD_NATS_URL: cluster.url } });
      const context = { ...world.context, connect: connectClient };
      expect(await main(['resume', id, '--out', out], context)).toBe(0);
      const alone = fakeWorld();
      expect(await main(['logs', out, '--json'], alone.context)).toBe(0);
      const kept = await logs(id, '--json');
      const written = alone.out().trim().split('\n');
      expect(written.length).toBeGreaterThan(10);
      // What is said after the end may come later.
      expect(kept).toEqual(expect.arrayContaining(written.map((line) => JSON.parse(line) as Line)));

      for (const words of [
        ['status', id],
        ['status', id, '--json'],
        ['list', '--json'],
        ['logs', id, '--level', 'debug'],
      ])
        expect(await main(words, context)).toBe(0);
      const said = new Map([
        ['commands', world.out() + world.err()],
        ['pages', pages.join('\n')],
      ]);
      for (const folder of [out, join(cluster.folder, 'logs')])
        for (const file of await readdir(folder, { recursive: true, withFileTypes: true }))
          if (file.isFile()) {
            const text = await readFile(join(file.parentPath, file.name), 'latin1');
            said.set(file.name, (said.get(file.name) ?? '') + text);
          }
      expect([...said.keys()]).toEqual(
        expect.arrayContaining(['results.json', 'report.html', 'cluster.log', 'coordinator.log', 'worker-0.log']),
      );
      expect(said.get('commands')).toContain('"members"');
      expect(pages.join('\n')).toContain('crossfold_fold_generation');
      // One a generation, of which each fold has had one at least.
      expect(secrets.size).toBeGreaterThanOrEqual(2);
      for (const [where, text] of said)
        expect(
          [...secrets].filter((secret) => text.includes(secret)),
          where,
        ).toEqual([]);
    } finally {
      await rm(out, { recursive: true, force: true });
    }
  }, 60_000);

  it('of nobody known say so', async () => {
    const world = fakeWorld({ env: { CROSSFOLD_NATS_URL: cluster.url } });
    expect(await main(['logs', 'nothing'], { ...world.context, connect: connectClient })).toBe(2);
    expect(world.err()).toContain('there is no experiment "nothing"');
    const alone = fakeWorld();
    expect(await main(['logs', 'nothing'], alone.context)).toBe(2);
    expect(alone.err()).toContain('name it with --nats or CROSSFOLD_NATS_URL');
  });
});
