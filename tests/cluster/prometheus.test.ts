import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import { join, resolve } from 'node:path';
import { connectClient } from '@crossfold/coordinator/client/client';
import { stateFolder, targetsFile } from '@crossfold/coordinator/cluster/embedded';
import { Experiment, newExperimentId } from '@crossfold/shared/config/experiment';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parse, stringify } from 'yaml';
import type { FinishedRun, TrainingCluster } from '../support/cluster.ts';
import { smallExperiment, startTrainingCluster } from '../support/cluster.ts';
import type { AnyBoard } from '../support/grafana-schema.ts';
import type { TestPrometheus } from '../support/prometheus.ts';
import { startPrometheus, withoutPrometheus } from '../support/prometheus.ts';
import type { Asked } from '../support/queries.ts';
import { committedBoards, dashboardsFolder, queriesOf, rules, withVariables } from '../support/queries.ts';

const fixtures = resolve(import.meta.dirname, '../fixtures/metrics');
const scrapeMs = 300;
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
/** What no cluster like this one shows, and where it is tested instead. */
const elsewhere: Readonly<Record<string, string>> = {
  'alert CrossfoldBrokerStorageFilling: crossfold_broker_storage_bytes{kind="limit"}':
    'needs an account with a limit: exporter.test.ts',
  "Cluster: Broker's storage: B": 'needs an account with a limit: exporter.test.ts',
};

const boards = Object.values(committedBoards()).map((json) => JSON.parse(json) as AnyBoard);

// What is sampled depends on when: again where a scrape has missed it.
describe.skipIf(withoutPrometheus)('Prometheus beside a cluster that trains', { retry: 3 }, () => {
  let cluster: TrainingCluster;
  let prometheus: TestPrometheus;
  let exporters: Server;

  beforeAll(async () => {
    cluster = await startTrainingCluster({ workers: 2 });
    exporters = createServer((request, response) => {
      response.setHeader('content-type', 'text/plain; version=0.0.4');
      response.end(readFileSync(join(fixtures, request.url === '/dcgm' ? 'dcgm.prom' : 'kubelet.prom')));
    }).listen(0, '127.0.0.1');
    await once(exporters, 'listening');
    prometheus = await startPrometheus(...configuration(cluster.folder, exporters));
  }, 120_000);
  afterAll(async () => {
    await prometheus?.stop();
    exporters?.close();
    await cluster?.stop();
  });

  it('has data for every query of every board and rule, or it is on the list of those that need a failure', async () => {
    // Long enough for a few scrapes, whatever else the machine does.
    const dataset = { name: 'mnist', limit: 5000 } as const;
    const search = { method: 'grid', parameters: { [parameter]: [0.001, 0.0001] } } as const;
    const model = { preset: 'mnist-convnet' } as const;
    const experiment = { ...smallExperiment, name: 'watched', dataset, model, search, workersPerJob: 2 } as const;
    const training = { ...smallExperiment.training, epochs: 3 };
    const sampled = new Sampled(prometheus, 'watched');
    let over = false;
    const run = cluster.run({ ...experiment, training }).finally(() => {
      over = true;
    });
    await sampled.until(() => over);
    const finished = await run;
    expect(finished.record.state).toBe('completed');
    await sampled.settle();
    const missing = sampled.unanswered.filter(({ by }) => !(by in elsewhere)).map(({ by }) => by);
    // On a busy machine a member waits for another long enough to be shown without anything being wrong.
    const wanted = Object.keys(needsFailure).filter((by) => !by.includes('ExchangeStalled') || missing.includes(by));
    expect(missing.sort()).toEqual(wanted.sort());
    await sameAsResults(finished, prometheus);
  }, 120_000);

  it('answers those that need a failure once a test has caused it', async () => {
    const sampled = new Sampled(prometheus, 'broken');
    let over = false;
    let killed = 0;
    // The broker, its guard and the coordinator come first.
    const workers = (): number[] => cluster.cluster.pids().slice(3);
    // The first time one member of the group is lost, the second time both.
    const run = cluster
      .run(
        {
          ...smallExperiment,
          name: 'broken',
          dataset: { name: 'mnist', limit: 2000 },
          evaluation: { method: 'holdout', validation: 0.2 },
          workersPerJob: 2,
          training: { ...smallExperiment.training, epochs: 8 },
        },
        (event) => {
          if (event.type !== 'job' || event.state !== 'running') return;
          if (killed === 0 && event.epoch >= 2 && event.workers.length === 2) {
            killed = 1;
            process.kill(workers()[0] ?? 0, 'SIGKILL');
          } else if (killed === 1 && event.epoch >= 5) {
            killed = 2;
            for (const pid of workers()) process.kill(pid, 'SIGKILL');
          }
        },
      )
      .finally(() => {
        over = true;
      });
    await sampled.until(() => over);
    expect((await run).record.state).toBe('completed');
    expect(killed).toBe(2);

    over = false;
    const diverging = cluster
      .run({
        ...smallExperiment,
        name: 'diverged',
        model: { layers: [{ type: 'flatten' }, { type: 'dense', units: 16 }, { type: 'dense', units: 10 }] },
        training: {
          ...smallExperiment.training,
          loss: 'meanSquaredError',
          optimizer: { name: 'sgd', learningRate: 1000 },
        },
      })
      .finally(() => {
        over = true;
      });
    const failing = new Sampled(prometheus, 'diverged', sampled.unanswered);
    await failing.until(() => over);
    expect((await diverging).record.state).toBe('failed');
    const client = await connectClient(cluster.url);
    const id = newExperimentId('diverged-unserved', new Date(), 7);
    await client.submit(Experiment.parse({ ...smallExperiment, threadsPerWorker: 2 }), cluster.folder, id);
    await failing.settle();
    await client.cancel(id);
    await client.close();
    const still = failing.unanswered.map(({ by }) => by);
    expect(Object.keys(needsFailure).filter((by) => still.includes(by))).toEqual([]);

    const firing = await prometheus.query('ALERTS{alertstate="firing"}');
    const alerts = new Set(firing.map(({ metric }) => metric.alertname));
    expect([...alerts]).toEqual(expect.arrayContaining(['CrossfoldJobFailed', 'CrossfoldDiverged']));
    const lost = await prometheus.query('sum(max_over_time(crossfold_generation_changes_total{reason="lost"}[5m]))');
    expect(lost[0]?.value).toBeGreaterThanOrEqual(2);
  }, 180_000);
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

  async until(over: () => boolean): Promise<void> {
    while (!over()) await this.#round();
  }

  /** What is known at the end: scraped, and recorded, a few times more. */
  async settle(): Promise<void> {
    for (let times = 0; times < 8; times++) await this.#round();
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
    await new Promise((done) => setTimeout(done, scrapeMs));
  }
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
    const accuracy = `crossfold_fold_accuracy_ratio{${of}, fold="${fold.fold}", split="validation"}`;
    expect(await one(accuracy)).toBe(fold.validation.accuracy);
  }
  // Every worker's own share, summed up, is every sample once.
  const folds = results.trials.flatMap((one) => one.folds);
  const seen = folds.reduce((sum, fold) => sum + (fold.status === 'completed' ? fold.samplesSeen : 0), 0);
  expect(await one('sum(crossfold_samples_total)')).toBe(seen);
  expect(await one(`crossfold_jobs{experiment="${record.id}", state="completed"}`)).toBe(folds.length);
}
