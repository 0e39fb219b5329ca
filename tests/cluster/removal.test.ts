import { mkdtemp, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connectClient } from '@crossfold/coordinator/client/client';
import type { ExperimentClient } from '@crossfold/coordinator/client/types';
import { Board } from '@crossfold/coordinator/leader/board';
import { mirror } from '@crossfold/coordinator/leader/leader';
import type { SweepTiming } from '@crossfold/coordinator/leader/sweep-timing';
import { defaultSweeps } from '@crossfold/coordinator/leader/sweep-timing';
import { Sweeper } from '@crossfold/coordinator/leader/sweeper';
import type { Broker } from '@crossfold/shared/broker/broker';
import { openBroker } from '@crossfold/shared/broker/broker';
import { allStreams } from '@crossfold/shared/broker/permissions';
import { Roster } from '@crossfold/shared/broker/presence';
import { LogStream, SeatStream } from '@crossfold/shared/broker/subjects';
import { Experiment } from '@crossfold/shared/config/experiment';
import type { JobRecord } from '@crossfold/shared/jobs/records';
import { createLogger } from '@crossfold/shared/logger';
import { quotasOf } from '@crossfold/shared/quotas';
import { Results } from '@crossfold/shared/results';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { TestBroker } from '../support/broker.ts';
import { startBroker } from '../support/broker.ts';
import { smallExperiment } from '../support/cluster.ts';
import { bitsOf } from '../support/group-experiments.ts';
import { Command, Services } from '../support/processes.ts';
import { unsettledJobs } from '../support/record-check.ts';

const logger = createLogger({ service: 'test', env: { CROSSFOLD_LOG_LEVEL: 'silent' } });
const experiment = Experiment.parse(smallExperiment);
const over = new AbortController();
let server: TestBroker;
let broker: Broker;
let client: ExperimentClient;
let services: Services;
let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'crossfold-removal-'));
  server = await startBroker();
  broker = await openBroker(server.url, 'test');
  services = await Services.in(() => server.url);
  const started = [services.coordinator('coordinator-0'), services.worker('worker-0')];
  await Promise.all(started.map((service) => service.says('ready')));
  client = await connectClient(server.url);
});
afterAll(async () => {
  over.abort();
  await client.close();
  await broker.close();
  await services.close();
  const unsettled = await unsettledJobs(server.url);
  await server.stop();
  await rm(folder, { recursive: true, force: true });
  expect(unsettled).toEqual([]);
});

async function crossfold(...args: readonly string[]): Promise<{ code: number | null; out: string; err: string }> {
  const command = new Command(args, { cwd: folder, env: { ...process.env, CROSSFOLD_NATS_URL: server.url } });
  return { code: await command.ended(), out: command.out, err: command.err };
}

async function run(id: string): Promise<readonly JobRecord['servedBy'][]> {
  await client.submit(experiment, '.', id);
  for await (const _ of client.follow(id, AbortSignal.timeout(120_000)));
  const jobs = await broker.jobs.list(`${id}.train.>`);
  return jobs.sort((a, b) => a.fold - b.fold).map(({ servedBy }) => servedBy);
}

const bitsFrom = async (id: string): Promise<ReturnType<typeof bitsOf>> =>
  bitsOf(Results.parse((await client.outcome(id, { models: false })).results));

/** What the leader's own sweeper does once everything has been there for hours. */
async function sweptHoursLater(sweeps: SweepTiming = defaultSweeps): Promise<void> {
  const board = new Board();
  const end = new AbortController();
  let at = Date.now() + 5 * 3_600_000;
  const observer = { lead: () => undefined, lost: () => undefined, waits: () => undefined };
  const sweeper = new Sweeper(
    {
      ...{ broker, logger, observer, sweeps },
      roster: new Roster(broker.nats, end.signal, () => at),
      quotas: quotasOf({}, undefined),
      now: () => at,
      leads: () => true,
    },
    board,
  );
  await mirror(broker, board, end.signal, logger);
  await sweeper.sweep();
  // Markers go once what they mark can have left nothing behind.
  at += sweeps.youngMs;
  await sweeper.sweep();
  end.abort();
}

const stored = async (): Promise<Map<string, number>> => {
  const manager = await broker.nats.jetstreamManager();
  const counts = new Map<string, number>();
  for (const stream of allStreams) counts.set(stream, (await manager.streams.info(stream)).state.messages);
  return counts;
};

it('what is over is removed, with all that nothing else needs', async () => {
  const before = await stored();
  expect(await run('first')).toEqual([null, null]);
  expect(await run('second')).toEqual(['first.train.0.0.0', 'first.train.0.0.1']);
  const bits = await bitsFrom('first');

  // No worker has as many threads: it waits.
  await client.submit(Experiment.parse({ ...smallExperiment, threadsPerWorker: 7 }), '.', 'third');
  const refused = await crossfold('remove', 'first', 'third');
  expect(refused).toMatchObject({ code: 2, out: '' });
  expect(refused.err).toBe(
    'crossfold: third is submitted: only what is over can be removed; cancel it first: crossfold cancel third\n',
  );

  const dry = await crossfold('remove', 'first', '--dry-run');
  expect(dry.out).toMatch(/^first: would be removed, 3 jobs, [\d.]+ kB of nets and results\n$/);
  expect((await client.list()).map(({ id }) => id)).toContain('first');
  const removed = await crossfold('remove', 'first', '--json');
  expect(JSON.parse(removed.out)).toMatchObject([{ id: 'first', name: 'small', state: 'completed', jobs: 3, data: 0 }]);
  await sweptHoursLater();
  expect(await broker.jobs.keys('first.>')).toEqual([]);
  const again = await crossfold('remove', 'first');
  expect(again).toMatchObject({ code: 2, out: '' });
  expect(again.err).toContain('there is no experiment "first"; `crossfold list` shows those there are');

  // What it shared is still there.
  expect(await bitsFrom('second')).toEqual(bits);
  expect((await client.outcome('second')).models).toHaveLength(2);
  expect(await crossfold('report', 'second', '--out', 'second.html')).toMatchObject({ code: 0 });
  expect(await readFile(join(folder, 'second.html'), 'utf8')).toContain('second');
  expect(await crossfold('export', 'second', '--format', 'h5', '--out', 'second.h5')).toMatchObject({ code: 0 });
  expect((await stat(join(folder, 'second.h5'))).size).toBeGreaterThan(1000);

  await client.cancel('third');
  const all = await crossfold('remove', 'second', 'third');
  expect(all.out).toMatch(/second: removed, 3 jobs, .*\nthird: removed, 0 jobs, .* of data\n2 experiments removed, /);
  await sweptHoursLater();
  expect(await broker.artifacts.list()).toEqual([]);
  expect(await broker.data.list()).toEqual([]);
  // Nor is anything else left behind: no markers, no lines of the log.
  const after = await stored();
  for (const stream of allStreams.filter((one) => one !== SeatStream))
    expect([stream, after.get(stream)]).toEqual([stream, stream === LogStream ? 0 : before.get(stream)]);

  // Nobody is served what is not there any more.
  expect(await run('fourth')).toEqual([null, null]);
  expect(await bitsFrom('fourth')).toEqual(bits);

  // Nor is what has been kept for long enough kept any longer.
  const kept = async (): Promise<string[]> => (await client.list()).map(({ id }) => id);
  await sweptHoursLater({ ...defaultSweeps, keepMs: 6 * 3_600_000 });
  expect(await kept()).toEqual(['fourth']);
  await sweptHoursLater({ ...defaultSweeps, keepMs: 3_600_000 });
  expect(await kept()).toEqual([]);
  await sweptHoursLater();
  expect([await broker.jobs.keys('>'), await broker.artifacts.list(), await broker.data.list()]).toEqual([[], [], []]);
});
