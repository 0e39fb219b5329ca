import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connectClient } from '@crossfold/coordinator/client/client';
import type { ExperimentClient } from '@crossfold/coordinator/client/types';
import { checkExperiment } from '@crossfold/coordinator/config/load';
import { preflight } from '@crossfold/coordinator/data/preflight';
import { lead } from '@crossfold/coordinator/leader/leader';
import { defaultSweeps } from '@crossfold/coordinator/leader/sweep-timing';
import type { Broker } from '@crossfold/shared/broker/broker';
import { openBroker } from '@crossfold/shared/broker/broker';
import { putJson } from '@crossfold/shared/broker/json-blobs';
import { Roster } from '@crossfold/shared/broker/presence';
import { limitStores, readQuotas, writeQuotas } from '@crossfold/shared/broker/quotas';
import { blobStream, Stores } from '@crossfold/shared/broker/subjects';
import { BrokerFullError } from '@crossfold/shared/errors';
import type { ExperimentRecord } from '@crossfold/shared/jobs/records';
import { createLogger } from '@crossfold/shared/logger';
import type { Quotas } from '@crossfold/shared/quotas';
import { quotasOf } from '@crossfold/shared/quotas';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { startFakeWorkers } from '../../bench/support/fake-workers.ts';
import type { TestBroker } from '../support/broker.ts';
import { startBroker } from '../support/broker.ts';
import { idxBytes } from '../support/idx.ts';
import { Command } from '../support/processes.ts';

/** The real broker, leader, client and commands; only workers compute nothing. */
const logger = createLogger({ service: 'test', env: { CROSSFOLD_LOG_LEVEL: 'silent' } });
const signal = AbortSignal.timeout(120_000);
let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'crossfold-quotas-'));
  const pixels = Uint8Array.from({ length: 60 * 16 }, (_, i) => i % 251);
  await writeFile(join(folder, 'train-images-idx3-ubyte'), idxBytes([60, 4, 4], pixels));
  await writeFile(
    join(folder, 'train-labels-idx1-ubyte'),
    idxBytes(
      [60],
      Uint8Array.from({ length: 60 }, (_, i) => i % 3),
    ),
  );
  await writeFile(join(folder, 'experiment.yaml'), JSON.stringify(experiment));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

let server: TestBroker;
let broker: Broker;
let client: ExperimentClient;
beforeEach(async () => {
  server = await startBroker();
  broker = await openBroker(server.url, 'test', { patienceMs: 300 });
  client = await connectClient(server.url);
});
afterEach(async () => {
  await client.close();
  await broker.close();
  await server.stop();
});

const experiment = {
  name: 'small',
  dataset: { path: '.' },
  evaluation: { method: 'kfold', folds: 4 },
  model: { layers: [{ type: 'flatten' }, { type: 'dense', units: 3, activation: 'softmax' }] },
  training: { epochs: 1, optimizer: { name: 'sgd' } },
  search: { method: 'grid', parameters: { 'training.optimizer.learningRate': [0.1, 0.2] } },
  workersPerJob: 1,
} as const;

/** Each limit a little under what the experiment comes to, and what is said of it. */
const tooLittle: [keyof Quotas, number, RegExp][] = [
  ['jobs', 7, /^search: comes to 8, over this cluster's quota of 7 .*CROSSFOLD_QUOTA_JOBS raised$/],
  ['datasetBytes', 900, /^dataset: comes to .*quota of 900 B .*CROSSFOLD_QUOTA_DATASET raised$/],
  ['experimentBytes', 1000, /^search: comes to .*quota of 1000 B .*CROSSFOLD_QUOTA_EXPERIMENT raised$/],
  ['checkpointBytes', 400, /^model: comes to .*quota of 400 B .*CROSSFOLD_QUOTA_CHECKPOINT raised$/],
  ['resultBytes', 200, /^model: comes to .*quota of 200 B .*CROSSFOLD_QUOTA_RESULT raised$/],
];

/** Leads until the end of what is done meanwhile. */
async function ledBy(quotas: Quotas, work: () => Promise<void>): Promise<void> {
  const over = new AbortController();
  const now = (): number => performance.timeOrigin + performance.now();
  const observer = { lead: () => undefined, lost: () => undefined, waits: () => undefined };
  const roster = new Roster(broker.nats, over.signal, now);
  const leads = (): boolean => !over.signal.aborted;
  const leading = lead({ broker, roster, logger, now, leads, observer, quotas, sweeps: defaultSweeps }, over.signal);
  try {
    await work();
  } finally {
    over.abort();
    await leading;
  }
}

/** The experiment's record once it is over. */
async function ended(id: string): Promise<ExperimentRecord> {
  for await (const _ of client.follow(id, signal));
  return (await client.outcome(id, { models: false })).record;
}

const nothing = async (): Promise<void> => {
  expect(await broker.experiments.list('>')).toEqual([]);
  expect([...(await broker.data.list()), ...(await broker.artifacts.list())]).toEqual([]);
};

describe('a submission over a quota', () => {
  it('is refused by the client before anything is stored, whichever it is', async () => {
    const loaded = await checkExperiment(experiment, folder);
    const checked = await preflight(loaded);
    const submit = () => client.submit(loaded.experiment, folder, 'x', { checked });
    for (const [quota, limit, said] of tooLittle) {
      await writeQuotas(broker, quotasOf({ [quota]: limit }, undefined));
      await expect(submit()).rejects.toThrow(said);
    }
    await nothing();
    await writeQuotas(broker, quotasOf({}, undefined));
    await submit();
    expect(await broker.experiments.list('>')).toHaveLength(1);
  });

  it('ends the command with code 2, and names the line', async () => {
    await writeQuotas(broker, quotasOf({ jobs: 7 }, undefined));
    const env = { ...process.env, CROSSFOLD_NATS_URL: server.url };
    const command = new Command(['submit', 'experiment.yaml'], { cwd: folder, env });
    expect(await command.ended()).toBe(2);
    expect(command.err).toMatch(/experiment\.yaml:1: search: comes to 8, .* 7 .*CROSSFOLD_QUOTA_JOBS raised\n$/);
    expect(command.out).toBe('');
    await nothing();
  });

  it('is refused by the leader where the client has not looked: no job is made of it', async () => {
    const workers = startFakeWorkers({ broker, count: 1, outcome: () => 0.5 });
    const { experiment: parsed } = await checkExperiment(experiment, folder);
    try {
      for (const [quota, limit, said] of tooLittle)
        await ledBy(quotasOf({ [quota]: limit }, undefined), async () => {
          await client.submit(parsed, folder, quota);
          const { state, error, badConfiguration } = await ended(quota);
          expect({ state, badConfiguration }).toEqual({ state: 'failed', badConfiguration: true });
          expect(error).toMatch(said);
          expect(await readQuotas(broker)).toMatchObject({ [quota]: limit });
        });
      expect(await broker.jobs.list('>')).toEqual([]);
      // Nobody leads: it stays, and there is room for one alone.
      const [one] = await client.list();
      if (one === undefined) throw new Error('all were submitted');
      await broker.experiments.create('other', { ...one, id: 'other', state: 'submitted', finishedAt: null });
      await writeQuotas(broker, quotasOf({ experiments: 1 }, undefined));
      await expect(client.resume('jobs')).rejects.toThrow(/there are 1 experiments .*the quota is 1/);
      await client.cancel('other');
      // What was refused is run once the quota is raised.
      await ledBy(quotasOf({}, undefined), async () => {
        await client.resume('jobs');
        expect(await ended('jobs')).toMatchObject({ state: 'completed' });
      });
      // What a client says that its imported data set comes to is not believed.
      const done = (await client.list()).find(({ id }) => id === 'jobs');
      if (done === undefined) throw new Error('it has completed');
      const source = await putJson(broker.data, { kind: 'imported', name: 'x', manifest: done.manifest, bytes: 1 });
      const fresh = { state: 'submitted', source, manifest: null, folds: null, plan: null, results: null } as const;
      await broker.experiments.create('small-lie', { ...done, ...fresh, id: 'small-lie', finishedAt: null });
      await ledBy(quotasOf({ datasetBytes: 900 }, undefined), async () => {
        expect((await ended('small-lie')).error).toMatch(/^dataset: comes to 960 B, over .* 900 B/);
      });
    } finally {
      await workers.stop();
    }
  });
});

it('an experiment too many is refused by the client, and by the leader where somebody wrote it all the same', async () => {
  const { experiment: parsed } = await checkExperiment(experiment, folder);
  // Nobody leads: they wait.
  for (const id of ['first', 'second']) await client.submit(parsed, folder, id);
  await writeQuotas(broker, quotasOf({ experiments: 2 }, undefined));
  await expect(client.submit(parsed, folder, 'third')).rejects.toThrow(
    /there are 2 experiments .* the quota is 2; .*crossfold list.*CROSSFOLD_QUOTA_EXPERIMENTS raised/,
  );
  // The very same again is none more.
  await client.submit(parsed, folder, 'second');
  const [first] = (await client.list()).filter(({ id }) => id === 'first');
  if (first === undefined) throw new Error('first is not there');
  await broker.experiments.create('third', { ...first, id: 'third', createdAt: first.createdAt + 60_000 });
  await ledBy(quotasOf({ experiments: 2 }, undefined), async () => {
    expect(await ended('third')).toMatchObject({ state: 'failed', badConfiguration: true });
    // Nor is it let in that somebody has written as one that runs, with a plan or without.
    const written = { ...first, state: 'running', createdAt: first.createdAt + 60_000 } as const;
    const { spec } = first;
    await broker.experiments.create('fourth', { ...written, id: 'fourth', manifest: spec, folds: spec, plan: spec });
    expect(await ended('fourth')).toMatchObject({ state: 'failed', badConfiguration: true, plan: null });
    await broker.experiments.create('fifth', { ...written, id: 'fifth' });
    expect(await ended('fifth')).toMatchObject({ state: 'failed', badConfiguration: true });
    expect(await broker.jobs.list('>')).toEqual([]);
    const left = await client.list();
    expect(left.filter(({ state }) => state === 'submitted').map(({ id }) => id)).toEqual(['second', 'first']);
  });
});

it('a job in whose place something else has come while nobody led is made anew: all others are as they were', async () => {
  const { experiment: parsed } = await checkExperiment(experiment, folder);
  let [taken, go] = [(): void => undefined, (): void => undefined];
  const isTaken = new Promise<void>((resolve) => {
    taken = resolve;
  });
  const held = new Promise<number>((resolve) => {
    go = () => resolve(0);
  });
  const workers = startFakeWorkers({ broker, count: 1, outcome: () => 0.5, jobMs: () => held, onTaken: () => taken() });
  try {
    await ledBy(quotasOf({}, undefined), async () => {
      await client.submit(parsed, folder, 'x');
      await isTaken;
    });
    const jobs = await broker.jobs.list('x.train.>');
    const [waiting] = jobs.filter(({ state }) => state === 'queued');
    if (waiting === undefined) throw new Error('one of eight is being done');
    broker.nats.publish('$JS.API.INFO', undefined, { reply: `$KV.crossfold_jobs.${waiting.id}` });
    await expect.poll(() => broker.jobs.get(waiting.id).catch(() => 'displaced')).toBe('displaced');
    await ledBy(quotasOf({}, undefined), async () => {
      go();
      expect(await ended('x')).toMatchObject({ state: 'completed', error: null });
    });
    const after = await broker.jobs.list('x.train.>');
    expect(after.map(({ id, state, result }) => [id, state, result !== null]).sort()).toEqual(
      jobs.map(({ id }) => [id, 'completed', true]).sort(),
    );
    expect(after).toHaveLength(8);
  } finally {
    go();
    await workers.stop();
  }
});

it.each(['data', 'artifacts', 'checkpoints'] as const)(
  'the broker itself refuses what goes over the share of %s: nothing of it stays, and records go on',
  async (store) => {
    const manager = await broker.nats.jetstreamManager();
    expect(await limitStores(manager, 2 ** 20)).toEqual([]);
    const held = async () => (await manager.streams.info(blobStream(Stores[store]))).state;
    await broker[store].put(new Uint8Array(1000));
    const { messages } = await held();
    const tooMuch = broker[store].put(new Uint8Array(2 ** 20).fill(1));
    await expect(tooMuch).rejects.toThrow(BrokerFullError);
    await expect(tooMuch).rejects.toThrow(/maximum bytes exceeded.*raise its limits \(CROSSFOLD_QUOTA_STORAGE/);
    expect((await held()).messages).toBe(messages);
    expect(await broker.leases.create('leader', { holder: 'somebody', renewals: 0 })).toBe(true);
    // There is room for what fits, as before.
    await broker[store].put(new Uint8Array(2000));
  },
);

it('the limits go with the setting, those of somebody else stay', async () => {
  const manager = await broker.nats.jetstreamManager();
  const limitOf = async (store: string): Promise<number> =>
    (await manager.streams.info(blobStream(store))).config.max_bytes;
  const { config } = await manager.streams.info(blobStream(Stores.data));
  await manager.streams.update(blobStream(Stores.data), { ...config, max_bytes: 12_345_678 });
  expect(await limitStores(manager, undefined)).toEqual([]);
  expect(await limitOf(Stores.data)).toBe(12_345_678);
  expect(await limitStores(manager, 2 ** 20)).toEqual([]);
  const lead = quotasOf({}, 2 ** 20).datasetBytes;
  // Of one data set too large the clear words come first.
  expect(await limitOf(Stores.data)).toBeGreaterThan(lead);
  expect(await limitOf(Stores.artifacts)).toBeGreaterThan(quotasOf({}, 2 ** 20).experimentBytes);
  expect(await limitStores(manager, undefined)).toEqual([]);
  for (const store of Object.values(Stores)) expect(await limitOf(store)).toBe(-1);
});

it('a store that holds more than its share is left as it is, and said', async () => {
  await broker.data.put(new Uint8Array(300_000));
  const manager = await broker.nats.jetstreamManager();
  expect(await limitStores(manager, 100_000)).toEqual([
    expect.stringMatching(/^OBJ_crossfold_data holds 294 KiB already, and its share is 48.8 KiB$/),
  ]);
  expect(await limitStores(manager, 2 ** 30)).toEqual([]);
  expect((await manager.streams.info(blobStream(Stores.data))).config.max_bytes).toBe(2 ** 29);
});
