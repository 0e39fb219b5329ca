import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { connectClient } from '@crossfold/coordinator/client/client';
import { stateFolder, targetsFile } from '@crossfold/coordinator/cluster/embedded';
import { Experiment, newExperimentId } from '@crossfold/shared/config/experiment';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { parse, stringify } from 'yaml';
import type { TestBroker } from '../support/broker.ts';
import { startBroker } from '../support/broker.ts';
import type { FinishedRun, TrainingCluster } from '../support/cluster.ts';
import { smallExperiment, startTrainingCluster } from '../support/cluster.ts';
import type { AnyBoard } from '../support/grafana-schema.ts';
import { Holds } from '../support/holds.ts';
import type { TestPrometheus } from '../support/prometheus.ts';
import { startPrometheus, withoutPrometheus } from '../support/prometheus.ts';
import type { Asked } from '../support/queries.ts';
import { committedBoards, dashboardsFolder, queriesOf, rules, withVariables } from '../support/queries.ts';

const fixtures = resolve(import.meta.dirname, '../fixtures/metrics');
/**
 * A scrape that takes longer has failed, and what it should have brought is gone until the next: not a second on a machine
 * that is quiet, but more than a third of one where others compute.
 */
const scrapeMs = 1000;
const storageLimit = 3 * 2 ** 30;
const parameter = 'training.optimizer.learningRate';

/** Queries that have data only after something has gone wrong, and what. */
const needsFailure: Readonly<Record<string, string>> = {
  'Cross-validation: annotation Generation changes': 'a member of a group is lost',
  'Sweep: annotation Generation changes': 'a member of a group is lost',
  'Cross-validation: annotation Attempts lost': 'all workers of a job are lost',
  'Sweep: annotation Attempts lost': 'all workers of a job are lost',
  'Cross-validation: annotation Failures': 'a job fails',
  'Sweep: annotation Failures': 'a job fails',
  'Cluster: annotation Generation changes': 'a member of a group is lost',
  'Cluster: annotation Attempts lost': 'all workers of a job are lost',
  'Cluster: annotation Failures': 'a job fails',
  'Cluster: annotation Alerts': 'a job fails',
  'GPU: annotation Alerts': 'a job fails',
  'alert CrossfoldExchangeStalled: crossfold_waiting_seconds{job="crossfold-worker", for!~".* .*"}':
    'a member of a group is lost',
  'alert CrossfoldNoWorkerForQueuedJobs: crossfold_waiting_seconds{job="crossfold-coordinator", for="a matching worker"}':
    'no worker has the threads that an experiment asks for',
};
const boards = Object.values(committedBoards()).map((json) => JSON.parse(json) as AnyBoard);

/** What holds for every test here: workers wait at these steps until they are let go, so that nothing ends unseen. */
interface Watched {
  readonly cluster: TrainingCluster;
  readonly prometheus: TestPrometheus;
  readonly holds: Holds;
}

describe.skipIf(withoutPrometheus)('Prometheus beside a cluster that trains', () => {
  let exporters: Server;
  let folder: string;
  /** A server whose limit the coordinator is told: that of the cluster itself has no monitoring port. */
  let limited: TestBroker;
  const open: { stop(): Promise<void> }[] = [];

  beforeAll(async () => {
    exporters = createServer((request, response) => {
      response.setHeader('content-type', 'text/plain; version=0.0.4');
      response.end(readFileSync(join(fixtures, request.url === '/dcgm' ? 'dcgm.prom' : 'kubelet.prom')));
    }).listen(0, '127.0.0.1');
    await once(exporters, 'listening');
    folder = await mkdtemp(join(tmpdir(), 'crossfold-monitored-'));
    const config = join(folder, 'nats.conf');
    await writeFile(config, `http: "127.0.0.1:-1"\njetstream { max_file_store: ${storageLimit} }\n`);
    limited = await startBroker({ config });
  });
  afterEach(async () => {
    for (const one of open.splice(0).reverse()) await one.stop();
  });
  afterAll(async () => {
    exporters?.close();
    await limited?.stop();
    await rm(folder, { recursive: true, force: true });
  });

  async function watched(...positions: readonly number[]): Promise<Watched> {
    const env = { CROSSFOLD_FAULTS: Holds.at(...positions), CROSSFOLD_BROKER_MONITOR: limited.monitor };
    const cluster = await startTrainingCluster({ workers: 2, env });
    open.push(cluster);
    const prometheus = await startPrometheus(...configuration(cluster.folder, exporters));
    open.push(prometheus);
    // It looks for targets every few seconds: the coordinator and both workers are known before anything is run.
    const up = async (): Promise<number> => (await prometheus.query('up{job=~"crossfold-.*"} == 1')).length;
    await expect.poll(up).toBe(3);
    return { cluster, prometheus, holds: new Holds(cluster.folder) };
  }

  it('has data for every query of every board and rule, or it is on the list of those that need a failure', async () => {
    // 202 samples a fold are 7 steps: a wait in the first epoch of the first job, and one in its second.
    const [early, late] = [3, 11];
    const { cluster, prometheus, holds } = await watched(early, late);
    const search = { method: 'grid', parameters: { [parameter]: [0.001, 0.0001] } } as const;
    const sampled = new Sampled(prometheus, 'watched');
    const run = cluster.run({ ...smallExperiment, name: 'watched', search, workersPerJob: 2 });
    run.catch(() => undefined);
    for (const position of [early, late]) {
      const waiting = await holds.reached(position, 2);
      await sampled.now();
      holds.release(waiting);
    }
    const finished = await holds.passedBy(run);
    expect(finished.record.state).toBe('completed');
    const expected = (by: string): boolean => by in needsFailure;
    await sampled.until('what needs no failure', (unanswered) => unanswered.every(({ by }) => expected(by)));
    await vi.waitFor(() => sameAsResults(finished, prometheus), { timeout: 30_000, interval: scrapeMs });
    const limit = await prometheus.query('crossfold_broker_storage_bytes{kind="limit"}');
    expect(limit.map(({ value }) => value)).toEqual([storageLimit]);
    await allRulesHold(prometheus);
    const preview = join(folder, 'boards.html');
    const words = ['run', 'dashboards:preview', '--', prometheus.url, '300', preview];
    await promisify(execFile)('npm', words, { cwd: resolve(import.meta.dirname, '../..') });
    const drawn = readFileSync(preview, 'utf8');
    for (const { title = '' } of boards) expect(drawn).toContain(title);
  }, 240_000);

  it('answers those that need a failure once a test has caused it', async () => {
    const position = 20;
    const { cluster, prometheus, holds } = await watched(position);
    const needed = everything().filter(({ by }) => by in needsFailure);
    expect(new Set(needed.map(({ by }) => by))).toEqual(new Set(Object.keys(needsFailure)));
    const count = async (expr: string): Promise<number> => (await prometheus.query(expr))[0]?.value ?? 0;
    const answered = (...names: string[]) => {
      return (unanswered: readonly Asked[]): boolean => !unanswered.some(({ by }) => names.some((n) => by.includes(n)));
    };
    const sampled = new Sampled(prometheus, 'broken', needed);
    const run = cluster.run({
      ...smallExperiment,
      name: 'broken',
      evaluation: { method: 'holdout', validation: 0.2 },
      workersPerJob: 2,
      training: { ...smallExperiment.training, epochs: 3 },
    });
    run.catch(() => undefined);
    const [held = 0, other = 0] = await holds.reached(position, 2);
    await sampled.now();
    // One goes on, and waits for the other.
    holds.release([held]);
    await sampled.until('a member that waits for another', answered('CrossfoldExchangeStalled'));
    process.kill(other, 'SIGKILL');
    await sampled.until('the loss of a member', answered('Generation changes'));
    const lost = 'sum(max_over_time(crossfold_generation_changes_total{reason="lost"}[5m]))';
    await expect.poll(() => count(lost)).toBeGreaterThanOrEqual(1);
    // Whoever is left does the step again, and waits at it: the job is under way until all its workers are lost.
    for (const pid of cluster.cluster.pids().slice(3)) process.kill(pid, 'SIGKILL');
    await sampled.until('the loss of all members', answered('Attempts lost'));
    await expect.poll(() => count(lost)).toBeGreaterThanOrEqual(2);
    expect((await holds.passedBy(run)).record.state).toBe('completed');

    const diverging = await cluster.run({
      ...smallExperiment,
      name: 'diverged',
      model: { layers: [{ type: 'flatten' }, { type: 'dense', units: 16 }, { type: 'dense', units: 10 }] },
      training: {
        ...smallExperiment.training,
        loss: 'meanSquaredError',
        optimizer: { name: 'sgd', learningRate: 1000 },
      },
    });
    expect(diverging.record.state).toBe('failed');
    const failing = new Sampled(prometheus, 'diverged', sampled.unanswered);
    await failing.until('a failure', answered('Failures', 'annotation Alerts'));
    const client = await connectClient(cluster.url);
    const id = newExperimentId('diverged-unserved', new Date(), 7);
    await client.submit(Experiment.parse({ ...smallExperiment, threadsPerWorker: 2 }), cluster.folder, id);
    await failing.until('everything', (unanswered) => unanswered.length === 0);
    await client.cancel(id);
    await client.close();

    const firing = async (): Promise<unknown[]> => {
      const alerts = await prometheus.query('ALERTS{alertstate="firing"}');
      return alerts.map(({ metric }) => metric.alertname);
    };
    await expect.poll(firing).toEqual(expect.arrayContaining(['CrossfoldJobFailed', 'CrossfoldDiverged']));
    await allRulesHold(prometheus);
  }, 300_000);
});

/** Asks again and again for what has not been answered yet. */
class Sampled {
  unanswered: Asked[];
  readonly #prometheus: TestPrometheus;
  readonly #experiment: string;

  constructor(prometheus: TestPrometheus, experiment: string, asked: readonly Asked[] = everything()) {
    this.#prometheus = prometheus;
    this.#experiment = experiment;
    this.unanswered = [...asked];
  }

  /**
   * How things are now: scraped twice, for rates, and recorded; and again, as long as that answers more, since a scrape
   * that fails between two looks takes a target's answers away.
   */
  async now(): Promise<void> {
    await this.#prometheus.scraped();
    for (let before = -1; before !== this.unanswered.length; ) {
      before = this.unanswered.length;
      await this.#prometheus.scraped();
      await this.#round();
    }
  }

  /** Until what is not answered yet is as it should be. */
  async until(what: string, holds: (unanswered: readonly Asked[]) => boolean, seconds = 60): Promise<void> {
    for (const end = performance.now() + 1000 * seconds; ; ) {
      await this.#round();
      if (holds(this.unanswered)) return;
      const left = this.unanswered.map(({ by }) => by).join('\n');
      if (performance.now() > end) throw new Error(`gave up waiting for ${what}; there is no answer to\n${left}`);
      await new Promise((done) => setTimeout(done, scrapeMs / 2));
    }
  }

  async #round(): Promise<void> {
    const found = await this.#prometheus.query(
      `sort_desc(max by (experiment) (crossfold_experiment_created_timestamp_seconds{experiment=~"${this.#experiment}.*"}))`,
    );
    const variables = {
      experiment: found[0]?.metric.experiment ?? 'none',
      trial: '0',
      parameter,
      instance: '.*',
      host: '.*',
      gpu: '.*',
      __range: '5m',
    };
    const left: Asked[] = [];
    for (const asked of this.unanswered) {
      const samples = await this.#prometheus.query(withVariables(asked.expr, variables));
      if (samples.length === 0) left.push(asked);
    }
    this.unanswered = left;
  }
}

/** Every rule of ours was worked out, and without an error. */
async function allRulesHold(prometheus: TestPrometheus): Promise<void> {
  const worked = await prometheus.rules();
  expect(worked.map(({ name }) => name).sort()).toEqual(
    rules()
      .map((one) => one.record ?? one.alert)
      .sort(),
  );
  expect(worked.filter(({ health, lastError = '' }) => health !== 'ok' || lastError !== '')).toEqual([]);
}

/** All queries of boards, what rules record, and what alerts look at. */
function everything(): Asked[] {
  const recorded = rules().flatMap(({ record }) =>
    record === undefined ? [] : [{ by: `rule ${record}`, expr: record }],
  );
  const watched = rules().flatMap(({ alert, expr }) => {
    const selectors = expr.match(/\b(?:crossfold_\w+|nodejs_\w+|kubelet_\w+|DCGM_\w+|up)\b(?:\{[^}]*\})?/g) ?? [];
    return alert === undefined
      ? []
      : selectors.map((selector) => ({ by: `alert ${alert}: ${selector}`, expr: selector }));
  });
  return [...boards.flatMap(queriesOf), ...recorded, ...watched];
}

/** The configuration for one machine, on this cluster's list of services, quicker, and with the other exporters. */
function configuration(folder: string, exporters: Server): [string, Record<string, string>] {
  const address = exporters.address();
  const port = typeof address === 'object' ? address?.port : undefined;
  const local = parse(readFileSync(join(dashboardsFolder, 'prometheus/local.yml'), 'utf8')) as {
    global: object;
    scrape_configs: [object];
  };
  const files = [{ files: [join(stateFolder(folder), targetsFile)], refresh_interval: '500ms' }];
  const others = ['dcgm', 'kubelet'].map((name) => ({
    job_name: name,
    metrics_path: `/${name}`,
    static_configs: [{ targets: [`127.0.0.1:${port}`] }],
  }));
  const config = {
    ...local,
    global: { scrape_interval: `${scrapeMs}ms`, scrape_timeout: `${scrapeMs}ms`, evaluation_interval: `${scrapeMs}ms` },
    scrape_configs: [{ ...local.scrape_configs[0], file_sd_configs: files }, ...others],
  };
  const read = (name: string): string => readFileSync(join(dashboardsFolder, 'prometheus/rules', name), 'utf8');
  return [stringify(config), { 'rules/recording.yml': read('recording.yml'), 'rules/alerts.yml': read('alerts.yml') }];
}

/** What is shown at the end is what is in the results. */
async function sameAsResults({ record, results }: FinishedRun, prometheus: TestPrometheus): Promise<void> {
  const [trial] = results.trials;
  expect(results.trials).toHaveLength(2);
  const one = async (expr: string): Promise<number | undefined> => (await prometheus.query(expr))[0]?.value;
  const of = `experiment="${record.id}", trial="0"`;
  expect(await one(`crossfold_trial_accuracy_mean_ratio{${of}}`)).toBeCloseTo(trial?.summary?.accuracy?.mean ?? -1, 12);
  expect(await one(`crossfold_trial_accuracy_stddev_ratio{${of}}`)).toBeCloseTo(
    trial?.summary?.accuracy?.std ?? -1,
    12,
  );
  expect(await one(`experiment_trial:crossfold_validation_accuracy_ratio:stddev{${of}}`)).toBeCloseTo(
    trial?.summary?.accuracy?.std ?? -1,
    12,
  );
  for (const fold of trial?.folds ?? []) {
    if (fold.status !== 'completed') throw new Error('not completed');
    for (const [split, accuracies] of [
      ['train', fold.history.accuracy],
      ['validation', fold.history.valAccuracy],
    ] as const) {
      const epochs = `experiment_trial_fold_split_epoch:crossfold_fold_epoch_accuracy_ratio:max{${of}, fold="${fold.fold}", split="${split}"}`;
      const curve = await prometheus.query(`last_over_time(${epochs}[5m])`);
      // An epoch of a net this small may be over before it is scraped; what there is is the epoch's own.
      expect(curve.map(({ metric }) => metric.epoch)).toContain(`${accuracies.length}`);
      for (const { metric, value } of curve) expect(value).toBe(accuracies[Number(metric.epoch) - 1]);
    }
    const accuracy = `crossfold_fold_accuracy_ratio{${of}, fold="${fold.fold}", split="validation"}`;
    expect(await one(accuracy)).toBe(fold.validation.accuracy);
  }
  // Every worker's own share, summed up, is every sample once.
  const folds = results.trials.flatMap((one) => one.folds);
  const seen = folds.reduce((sum, fold) => sum + (fold.status === 'completed' ? fold.samplesSeen : 0), 0);
  expect(await one('sum(crossfold_samples_total)')).toBe(seen);
  expect(await one(`crossfold_jobs{experiment="${record.id}", state="completed"}`)).toBe(folds.length);
}
