import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Exporter, seriesKeptMs } from '@crossfold/coordinator/metrics/exporter';
import type { Broker } from '@crossfold/shared/broker/broker';
import { openBroker } from '@crossfold/shared/broker/broker';
import { putJson } from '@crossfold/shared/broker/json-blobs';
import { announce, Roster } from '@crossfold/shared/broker/presence';
import { progressSubject } from '@crossfold/shared/broker/subjects';
import type { ExperimentRecord, JobRecord } from '@crossfold/shared/jobs/records';
import { createLogger } from '@crossfold/shared/logger';
import { createMetrics } from '@crossfold/shared/metrics/registry';
import { Waits } from '@crossfold/shared/waits';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { TestBroker } from '../support/broker.ts';
import { startBroker } from '../support/broker.ts';
import { experimentRecord } from '../support/fake-client.ts';
import { aJob } from '../support/records.ts';
import { aPlan } from '../support/sweep-world.ts';

let server: TestBroker;
let broker: Broker;
let folder: string;
const storageLimit = 256 * 2 ** 20;
const over = new AbortController();
const logger = createLogger({ service: 'test', env: { CROSSFOLD_LOG_LEVEL: 'silent' } });

beforeAll(async () => {
  // An account with a limit, as the broker has it in containers.
  folder = await mkdtemp(join(tmpdir(), 'crossfold-exporter-'));
  const config = join(folder, 'nats.conf');
  const limits = `{ max_mem: 64MB, max_file: ${storageLimit}, max_streams: 20, max_consumers: 100 }`;
  await writeFile(
    config,
    `accounts { test { users: [{ user: t, password: t }], jetstream: ${limits} } }\nno_auth_user: t\n`,
  );
  server = await startBroker({ config });
  broker = await openBroker(server.url, 'test');
});
afterAll(async () => {
  over.abort();
  await broker.close();
  await server.stop();
  await rm(folder, { recursive: true, force: true });
});

/** Reads until all of these are there: what is shown comes over the broker, each thing in its own time. */
async function reading(metrics: { read(): Promise<{ text: string }> }, ...wanted: string[]): Promise<string> {
  let text = '';
  const missing = async (): Promise<string[]> => {
    text = (await metrics.read()).text;
    return wanted.filter((part) => !text.includes(part));
  };
  await expect.poll(missing).toEqual([]);
  return text;
}

describe('what a coordinator exposes', () => {
  it('follows the leader’s view, and goes with an experiment that is long over and with the lead', async () => {
    let now = 1_000_000;
    const metrics = createMetrics('coordinator');
    const exporter = new Exporter({
      metrics,
      broker,
      roster: new Roster(broker.nats, over.signal, () => performance.now()),
      logger,
      waits: new Waits(() => now),
      now: () => now,
    });
    const experiments = new Map<string, ExperimentRecord>();
    const jobs = new Map<string, JobRecord>();
    const leading = new AbortController();
    expect((await metrics.read()).text).toMatch(/^crossfold_leader 0$/m);
    exporter.lead({ experiments, jobs }, leading.signal);

    experiments.set(
      'exp',
      experimentRecord('exp', {
        name: 'an "experiment"',
        state: 'running',
        jobs: 2,
        startedAt: now - 10_000,
        finishedAt: null,
      }),
    );
    const parameters = { 'training.optimizer.learningRate': 0.5, optimizer: 'sgd' };
    const planned = aPlan(null, 1, 2, 2);
    const trials = planned.trials.map((trial) => ({ ...trial, parameters }));
    const plan = await putJson(broker.artifacts, { ...planned, trials });
    experiments.set('exp', { ...(experiments.get('exp') as ExperimentRecord), plan });
    const running = aJob({
      state: 'running',
      members: [{ worker: 'w-1', address: null }],
      generation: 1,
    });
    jobs.set('exp.train.0.0.0', running);
    jobs.set('exp.train.0.0.1', aJob({ id: 'exp.train.0.0.1', fold: 1, identity: 'other' }));
    announce(
      broker.nats,
      () => ({
        worker: 'w-1',
        identity: 'engine',
        threads: 1,
        engine: '{}',
        state: 'busy',
        job: running.id,
        pace: null,
      }),
      over.signal,
    );
    await reading(metrics, 'crossfold_workers{state="busy"} 1');
    const event = {
      type: 'job',
      job: running.id,
      kind: 'train',
      trial: 0,
      fold: 0,
      repeat: 0,
      state: 'running',
      workers: ['w-1'],
    };
    const at = {
      epoch: 1,
      epochs: 2,
      step: 10,
      steps: 10,
      loss: 0.5,
      accuracy: 0.75,
      valLoss: 0.25,
      valAccuracy: 0.5,
      imagesPerSecond: 640,
    };
    broker.nats.publish(progressSubject(running.id), JSON.stringify({ ...event, ...at }));
    const lines = [
      'crossfold_leader 1',
      'crossfold_jobs{experiment="exp",state="queued"} 1',
      'crossfold_jobs{experiment="exp",state="running"} 1',
      'crossfold_jobs{experiment="exp",state="failed"} 0',
      'crossfold_experiment_info{experiment="exp",name="an \\"experiment\\"",state="running"} 1',
      'crossfold_experiment_progress_ratio{experiment="exp"} 0.25',
      'crossfold_experiment_elapsed_seconds{experiment="exp"} 10',
      'crossfold_experiment_remaining_seconds{experiment="exp"} 30',
      'crossfold_fold_accuracy_ratio{experiment="exp",trial="0",fold="0",split="train"} 0.75',
      'crossfold_fold_loss{experiment="exp",trial="0",fold="0",split="validation"} 0.25',
      'crossfold_fold_epoch{experiment="exp",trial="0",fold="0"} 1',
      'crossfold_fold_validated_epoch{experiment="exp",trial="0",fold="0"} 1',
      'crossfold_fold_epoch_accuracy_ratio{experiment="exp",trial="0",fold="0",split="train"} 0.75',
      'crossfold_fold_epoch_accuracy_ratio{experiment="exp",trial="0",fold="0",split="validation"} 0.5',
      'crossfold_fold_images_per_second{experiment="exp",trial="0",fold="0"} 640',
      'crossfold_trial_accuracy_mean_ratio{experiment="exp",trial="0"} 0.5',
      'crossfold_worker_info{worker="w-1",state="busy",experiment="exp",trial="0",fold="0"} 1',
      'crossfold_waiting_seconds{for="a matching worker"} 0',
      `crossfold_broker_storage_bytes{kind="limit"} ${storageLimit}`,
      'crossfold_trial_info{experiment="exp",trial="0",parameters="training.optimizer.learningRate=0.5, optimizer=sgd"} 1',
      'crossfold_trial_parameter{experiment="exp",trial="0",parameter="training.optimizer.learningRate"} 0.5',
    ];
    const text = await reading(metrics, ...lines.map((line) => `${line}\n`));
    expect(text).toMatch(/crossfold_broker_storage_bytes\{kind="used"\} \d/);

    const finished = { ...(experiments.get('exp') as ExperimentRecord), state: 'completed', finishedAt: now } as const;
    experiments.set('exp', finished);
    now += seriesKeptMs - 1;
    expect((await metrics.read()).text).toContain('crossfold_experiment_progress_ratio{experiment="exp"} 1');
    now += 1;
    // Of the experiment nothing is left, of the cluster what it was.
    const gone = await reading(metrics, 'crossfold_workers{state="busy"} 1\n');
    expect(
      gone.split('\n').filter((line) => line.includes('experiment="exp"') && !line.includes('worker_info')),
    ).toEqual([]);

    leading.abort();
    const retired = (await metrics.read()).text;
    expect(retired).toMatch(/^crossfold_leader 0$/m);
    expect(retired).not.toContain('crossfold_workers{');
  });
});
