import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parse, stringify } from 'yaml';
import { promtool, withoutPrometheus } from '../support/prometheus.ts';
import { dashboardsFolder } from '../support/queries.ts';

const folder = join(dashboardsFolder, 'prometheus');
interface ScrapeConfig {
  readonly job_name: string;
  readonly [key: string]: unknown;
}
interface Config {
  readonly scrape_configs: readonly ScrapeConfig[];
  readonly [key: string]: unknown;
}
const configOf = (name: string): Config => parse(readFileSync(join(folder, name), 'utf8')) as Config;

describe.skipIf(withoutPrometheus)('the configuration of Prometheus', () => {
  let scratch: string;
  beforeAll(() => {
    scratch = mkdtempSync(join(tmpdir(), 'crossfold-promtool-'));
  });
  afterAll(() => rmSync(scratch, { recursive: true, force: true }));

  it.each(['compose.yml', 'local.yml'])('%s is one, with its rules', (name) => {
    const said = promtool(folder, 'check', 'config', name);
    expect(said).toContain('SUCCESS: 2 rule files found');
  });

  it('kubernetes.yml is one, with its rules', () => {
    // Debian's Prometheus is built without Kubernetes: its discovery is looked at here, all else by promtool.
    const config = configOf('kubernetes.yml');
    for (const { kubernetes_sd_configs } of config.scrape_configs)
      expect(kubernetes_sd_configs).toEqual([{ role: expect.stringMatching(/^(pod|node)$/) }]);
    const without = withTargets(config, () => []);
    // Files of the service account are in pods alone.
    const anywhere = stringify(without).replaceAll('/var/run/secrets/kubernetes.io/serviceaccount/', `${scratch}/`);
    for (const file of ['token', 'ca.crt']) writeFileSync(join(scratch, file), '');
    writeFileSync(join(scratch, 'kubernetes.yml'), anywhere.replace('rules/*.yml', join(folder, 'rules/*.yml')));
    expect(promtool(scratch, 'check', 'config', 'kubernetes.yml')).toContain('SUCCESS: 2 rule files found');
  });

  it.each<[string, Record<string, string>, Record<string, string> | undefined]>([
    [
      'a coordinator',
      pod('coordinator', 'http', 'Running'),
      { job: 'crossfold-coordinator', instance: 'coordinator-0', namespace: 'ml', node: 'n1' },
    ],
    ['a worker', pod('worker', 'http', 'Running'), { job: 'crossfold-worker', instance: 'worker-0' }],
    ['a worker’s port for peers', pod('worker', 'exchange', 'Running'), undefined],
    ['a pod that is over', pod('worker', 'http', 'Succeeded'), undefined],
    ['the broker', pod('nats', 'client', 'Running'), undefined],
    [
      'somebody else’s pod',
      { ...pod('worker', 'http', 'Running'), __meta_kubernetes_pod_label_app_kubernetes_io_name: 'other' },
      undefined,
    ],
  ])('in Kubernetes %s is scraped as what it is, or not at all', (_what, labels, expected) => {
    const config = withTargets(configOf('kubernetes.yml'), (job) => (job === 'crossfold' ? [labels] : []));
    const job = config.scrape_configs.filter(({ job_name }) => job_name === 'crossfold');
    const kept = discovered(stringify({ scrape_configs: job }), 'crossfold');
    expect(kept).toHaveLength(expected === undefined ? 0 : 1);
    if (expected !== undefined) expect(kept[0]).toMatchObject(expected);
  });

  it('beside `crossfold up` services are scraped by their names', () => {
    const config = configOf('local.yml');
    const targets = [{ targets: ['127.0.0.1:9471'], labels: { service: 'worker', instance: 'worker-0' } }];
    writeFileSync(join(scratch, 'targets.json'), JSON.stringify(targets));
    const [job] = config.scrape_configs;
    const here = { ...job, file_sd_configs: [{ files: [join(scratch, 'targets.json')] }] };
    expect(discovered(stringify({ scrape_configs: [here] }), 'crossfold')).toEqual([
      { __address__: '127.0.0.1:9471', job: 'crossfold-worker', instance: 'worker-0' },
    ]);
  });

  it('services listen where compose scrapes them', () => {
    const compose = readFileSync(join(dashboardsFolder, '..', 'docker-compose.yml'), 'utf8');
    const services = (
      parse(compose, { merge: true }) as { services: Record<string, { environment?: { CROSSFOLD_HTTP?: string } }> }
    ).services;
    const wanted = configOf('compose.yml').scrape_configs.flatMap(({ dns_sd_configs }) => {
      const [dns] = (dns_sd_configs ?? []) as { names: string[]; port: number }[];
      return (dns?.names ?? []).map((name) => ({ name, port: dns?.port }));
    });
    expect(wanted.map(({ name }) => name)).toEqual(['coordinator', 'worker', 'worker-gpu', 'dcgm-exporter']);
    for (const { name, port } of wanted.filter(({ name }) => name !== 'dcgm-exporter'))
      expect(services[name]?.environment?.CROSSFOLD_HTTP, name).toBe(`0.0.0.0:${port}`);
    expect(services).toHaveProperty('dcgm-exporter');
  });

  it('rules are as they should be, and do what their tests say', () => {
    const rules = promtool(folder, 'check', 'rules', 'rules/recording.yml', 'rules/alerts.yml');
    expect(rules.match(/SUCCESS/g)).toHaveLength(2);
    const tests = promtool(join(folder, 'tests'), 'test', 'rules', 'recording.yml', 'alerts.yml');
    expect(tests.match(/SUCCESS/g)).toHaveLength(2);
  });

  it.each<[string, readonly string[], number]>([
    ['nothing to do', ['crossfold_jobs{namespace="crossfold", experiment="e", state="completed"} 5'], 0],
    [
      'jobs, of two coordinators that tell of them, and of somebody else’s namespace',
      [
        'crossfold_jobs{namespace="crossfold", pod="a", experiment="e", state="queued"} 3',
        'crossfold_jobs{namespace="crossfold", pod="b", experiment="e", state="queued"} 3',
        'crossfold_jobs{namespace="crossfold", pod="a", experiment="e", state="running"} 2',
        'crossfold_jobs{namespace="crossfold", pod="a", experiment="e", state="completed"} 9',
        'crossfold_jobs{namespace="other", pod="c", experiment="f", state="queued"} 7',
      ],
      5,
    ],
    [
      'a refit by two workers, when all folds are over',
      [
        'crossfold_jobs{namespace="crossfold", experiment="e", state="completed"} 5',
        'crossfold_worker_info{namespace="crossfold", worker="v", state="busy", experiment="e", trial="1", fold="refit"} 1',
        'crossfold_worker_info{namespace="crossfold", worker="w", state="busy", experiment="e", trial="1", fold="refit"} 1',
        'crossfold_worker_info{namespace="crossfold", worker="x", state="idle", experiment="", trial="", fold=""} 1',
      ],
      1,
    ],
    ['no worker at all', ['crossfold_waiting_seconds{namespace="crossfold", for="a matching worker"} 42'], 1],
  ])('KEDA is asked for as many workers as there is work for: %s', (_what, series, expected) => {
    const { spec } = parse(readFileSync(join(folder, '../../k8s/components/keda/scaled-object.yaml'), 'utf8')) as {
      readonly spec: { readonly triggers: readonly { readonly metadata: { readonly query: string } }[] };
    };
    const input = series.map((one) => {
      const [name, value] = one.split(/ (?=\d+$)/);
      return { series: name, values: `${value}x3` };
    });
    const asked = {
      expr: spec.triggers[0]?.metadata.query,
      eval_time: '20s',
      exp_samples: [{ labels: '{}', value: expected }],
    };
    const test = { tests: [{ interval: '10s', input_series: input, promql_expr_test: [asked] }] };
    writeFileSync(join(scratch, 'keda.yml'), stringify(test));
    expect(promtool(scratch, 'test', 'rules', 'keda.yml')).toContain('SUCCESS');
  });

  it('every rule has a test', () => {
    const tests = ['recording.yml', 'alerts.yml']
      .map((file) => readFileSync(join(folder, 'tests', file), 'utf8'))
      .join('');
    const names = ['recording.yml', 'alerts.yml'].flatMap((file) =>
      [...readFileSync(join(folder, 'rules', file), 'utf8').matchAll(/- (?:alert|record): (\S+)/g)].map(
        ([, name]) => name,
      ),
    );
    // Those that others are made of are tested with them.
    const untested = names.filter((name) => !tests.includes(name ?? '') && !name?.startsWith('experiment_trial_fold'));
    expect(untested).toEqual([]);
  });

  /** A configuration with files to discover from in the place of Kubernetes. */
  function withTargets(config: Config, of: (job: string) => readonly Record<string, string>[]): Config {
    const scrape_configs = config.scrape_configs.map(({ kubernetes_sd_configs: _, ...rest }) => {
      const file = join(scratch, `${rest.job_name}.json`);
      writeFileSync(file, JSON.stringify(of(rest.job_name).map((labels) => ({ targets: ['10.0.0.1:9471'], labels }))));
      return { ...rest, file_sd_configs: [{ files: [file] }] };
    });
    return { ...config, scrape_configs };
  }

  /** The labels of what Prometheus would scrape for a job, without those that are always there. */
  function discovered(config: string, job: string): Record<string, string>[] {
    writeFileSync(join(scratch, 'discovery.yml'), config);
    const said = promtool(scratch, 'check', 'service-discovery', '--timeout=700ms', 'discovery.yml', job);
    const found = JSON.parse(said.slice(said.indexOf('['))) as { labels: Record<string, string> | null }[];
    return found.flatMap(({ labels }) => {
      if (labels === null || Object.keys(labels).length === 0) return [];
      const { __metrics_path__, __scheme__, __scrape_interval__, __scrape_timeout__, ...rest } = labels;
      return [rest];
    });
  }
});

function pod(component: string, port: string, phase: string): Record<string, string> {
  return {
    __meta_kubernetes_pod_label_app_kubernetes_io_name: 'crossfold',
    __meta_kubernetes_pod_label_app_kubernetes_io_component: component,
    __meta_kubernetes_pod_container_port_name: port,
    __meta_kubernetes_pod_phase: phase,
    __meta_kubernetes_pod_name: `${component}-0`,
    __meta_kubernetes_namespace: 'ml',
    __meta_kubernetes_pod_node_name: 'n1',
  };
}
