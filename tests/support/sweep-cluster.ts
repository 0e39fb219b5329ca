import { copyFile, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connectClient } from '@crossfold/coordinator/client/client';
import type { ExperimentClient, SubmitOptions } from '@crossfold/coordinator/client/types';
import { lead } from '@crossfold/coordinator/leader/leader';
import { defaultSweeps } from '@crossfold/coordinator/leader/sweep-timing';
import type { Broker } from '@crossfold/shared/broker/broker';
import { openBroker } from '@crossfold/shared/broker/broker';
import { Roster } from '@crossfold/shared/broker/presence';
import { Experiment } from '@crossfold/shared/config/experiment';
import type { ExperimentRecord, PublicJob } from '@crossfold/shared/jobs/records';
import { createLogger } from '@crossfold/shared/logger';
import { quotasOf } from '@crossfold/shared/quotas';
import type { Results } from '@crossfold/shared/results';
import { afterAll, afterEach, beforeAll, beforeEach, expect } from 'vitest';
import type { z } from 'zod';
import type { FakeWorkerOptions } from '../../bench/support/fake-workers.ts';
import { startFakeWorkers } from '../../bench/support/fake-workers.ts';
import type { TestBroker } from './broker.ts';
import { startBroker } from './broker.ts';
import { idxBytes } from './idx.ts';
import { unsettledJobs } from './record-check.ts';

/**
 * The real leader, broker, records, plans and results; only workers compute nothing. Leaders are stopped and replaced on
 * the way.
 */
const logger = createLogger({ service: 'test', env: { CROSSFOLD_LOG_LEVEL: 'silent' } });
export const patience = 60_000;
let server: TestBroker;
let broker: Broker;
export let client: ExperimentClient;
let folder: string;
export let running: { stop(): Promise<void> }[] = [];

/** Has a broker, a client and data for the tests of a file, and stops what they started. */
export function useSweepCluster(): void {
  beforeAll(async () => {
    server = await startBroker();
    broker = await openBroker(server.url, 'test');
    client = await connectClient(server.url);
    folder = await mkdtemp(join(tmpdir(), 'crossfold-sweep-'));
    const labels = Array.from({ length: 60 }, (_, i) => i % 3);
    const pixels = Uint8Array.from({ length: 60 * 16 }, (_, i) => i % 251);
    await writeFile(join(folder, 'train-images-idx3-ubyte'), idxBytes([60, 4, 4], pixels));
    await writeFile(join(folder, 'train-labels-idx1-ubyte'), idxBytes([60], Uint8Array.from(labels)));
    // The same with a test set.
    await mkdir(join(folder, 'tested'));
    for (const [part, file] of [
      ['train-images', 'train-images'],
      ['train-labels', 'train-labels'],
      ['t10k-images', 'train-images'],
      ['t10k-labels', 'train-labels'],
    ] as const) {
      const kind = part.endsWith('images') ? 'idx3' : 'idx1';
      await copyFile(join(folder, `${file}-${kind}-ubyte`), join(folder, 'tested', `${part}-${kind}-ubyte`));
    }
  });
  afterAll(async () => {
    const unsettled = await unsettledJobs(server.url);
    await client.close();
    await broker.close();
    await server.stop();
    await rm(folder, { recursive: true, force: true });
    expect(unsettled).toEqual([]);
  });

  beforeEach(() => {
    running = [];
  });
  afterEach(async () => {
    for (const one of running.toReversed()) await one.stop();
  });
}

export function startLeader(): { stop(): Promise<void> } {
  const over = new AbortController();
  const now = (): number => performance.timeOrigin + performance.now();
  const quotas = quotasOf({}, undefined);
  const observer = { lead: () => undefined, lost: () => undefined, waits: () => undefined };
  const roster = new Roster(broker.nats, over.signal, now);
  const leading = lead(
    { broker, roster, logger, now, leads: () => !over.signal.aborted, observer, quotas, sweeps: defaultSweeps },
    over.signal,
  );
  const leader = {
    async stop() {
      over.abort();
      await leading;
    },
  };
  running.push(leader);
  return leader;
}

export function startWorkers(options: Omit<FakeWorkerOptions, 'broker'>): { stop(): Promise<void> } {
  const workers = startFakeWorkers({ broker, ...options });
  running.push(workers);
  return workers;
}

export const experiment = (over: object = {}): Experiment => {
  const input: z.input<typeof Experiment> = {
    name: 'sweep',
    dataset: { path: '.' },
    evaluation: { method: 'kfold', folds: 4 },
    model: { layers: [{ type: 'flatten' }, { type: 'dense', units: 3, activation: 'softmax' }] },
    training: { epochs: 4, optimizer: { name: 'sgd', learningRate: 0.1 } },
    workersPerJob: 1,
    ...over,
  };
  return Experiment.parse(input);
};
export const rates = { 'training.optimizer.learningRate': [0.1, 0.2, 0.3, 0.4, 0.5, 0.6] };
export const sweep = (method: string, over: object = {}): Experiment =>
  experiment({ search: { method, parameters: rates, ...over } });

/** Trial 2 is the best; the further from it the worse; folds differ, and later epochs are better. */
export const outcome = ({ trial, fold }: PublicJob, epochs: number): number =>
  0.9 - 0.02 * Math.abs(trial - 2) + 0.003 * fold - 0.1 / (epochs + 1) + 0.001 * ((trial * 7 + fold * 3) % 5);

let submitted = 0;
export const submit = async (what: Experiment, options?: SubmitOptions): Promise<string> => {
  const id = `${what.name}-${submitted++}`;
  await client.submit(what, folder, id, options);
  return id;
};
/** Resolves once the leader has prepared all of some experiments, and made their jobs. */
export async function areRunning(ids: readonly string[]): Promise<void> {
  const seen = new Set<string>();
  const enough = new AbortController();
  const signal = AbortSignal.any([enough.signal, AbortSignal.timeout(patience)]);
  await new Promise<void>((resolve, reject) => {
    signal.addEventListener('abort', () => (enough.signal.aborted ? resolve() : reject(signal.reason)), { once: true });
    const look = ({ value: { id, state, jobs } }: { readonly value: ExperimentRecord }): void => {
      // How many there are is written after the jobs themselves.
      if (state === 'running' && jobs > 0) seen.add(id);
      if (ids.every((one) => seen.has(one))) enough.abort();
    };
    broker.experiments.watch('>', signal, look, reject).catch(reject);
  });
}
export async function over(id: string): Promise<void> {
  const signal = AbortSignal.timeout(patience);
  for await (const _ of client.follow(id, signal));
  signal.throwIfAborted();
}
export async function finish(id: string): Promise<{ results: Results; jobs: readonly PublicJob[] }> {
  await over(id);
  const { results, record } = await client.outcome(id, { models: false });
  if (results === undefined) throw new Error(`${id} left no results: ${record.error}`);
  return { results, jobs: await client.jobs(id) };
}
export const statesOf = (jobs: readonly PublicJob[]): Record<string, number> => {
  const counts: Record<string, number> = {};
  for (const { state, kind } of jobs) if (kind === 'train') counts[state] = (counts[state] ?? 0) + 1;
  return counts;
};
