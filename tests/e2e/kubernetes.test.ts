import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { homedir, tmpdir } from 'node:os';
import { join, relative, resolve } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parse, parseAllDocuments, stringify } from 'yaml';
import { run } from './support/docker.ts';

// Manifests as kubectl renders them, against the schemas of the versions of Kubernetes that are supported.
const root = resolve(import.meta.dirname, '../..');
const versions = ['1.30', '1.31', '1.32', '1.33'];

/** What has the schemas inside, Kubernetes' own and those of operators; each goes to the user's cache, once. */
const validators = {
  kubernetes: ['kubernetes-validate==1.37.0'],
  operators: [
    'cloudcoil-models-keda==2.16.1.0',
    'cloudcoil-models-prometheus-operator==0.80.1.0',
    'cloudcoil==0.6.0',
    'pydantic==2.14.4',
    'PyYAML==6.0.4',
  ],
} as const;

interface Container {
  readonly name: string;
  readonly image: string;
  readonly imagePullPolicy?: string;
  readonly args?: readonly string[];
  readonly env?: readonly { readonly name: string; readonly valueFrom?: unknown; readonly value?: string }[];
  readonly resources?: {
    readonly requests?: Record<string, string>;
    readonly limits?: Record<string, string | number>;
  };
  readonly securityContext?: Record<string, unknown>;
  readonly startupProbe?: unknown;
  readonly readinessProbe?: { readonly httpGet: { readonly path: string } };
  readonly livenessProbe?: { readonly httpGet: { readonly path: string }; readonly failureThreshold?: number };
  readonly volumeMounts?: readonly { readonly name: string; readonly mountPath: string }[];
}
interface PodSpec {
  readonly serviceAccountName?: string;
  readonly terminationGracePeriodSeconds?: number;
  readonly securityContext?: Record<string, unknown>;
  readonly containers: readonly Container[];
  readonly initContainers?: readonly Container[];
  readonly volumes?: readonly Record<string, unknown>[];
  readonly nodeSelector?: Record<string, string>;
  readonly tolerations?: readonly unknown[];
}
interface Resource {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: {
    readonly name: string;
    readonly namespace?: string;
    readonly labels?: Record<string, string>;
    readonly annotations?: Record<string, string>;
  };
  readonly spec?: Record<string, unknown>;
  readonly data?: Record<string, string>;
  readonly [field: string]: unknown;
}

let folder: string;
const rendered = new Map<string, { file: string; resources: Resource[] }>();

/** What an overlay is used as with all of its components. */
const complete = 'complete';

/** The overlay for GPUs, of whose images somebody has named others. */
const registry = 'registry';

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'crossfold-k8s-'));
  await mkdir(join(folder, complete));
  const path = (part: string): string => relative(join(folder, complete), join(root, 'k8s', part));
  await writeFile(
    join(folder, complete, 'kustomization.yaml'),
    `apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
namespace: crossfold
resources: [${path('overlays/cpu')}]
components: [${path('components/monitoring')}, ${path('components/keda')}]
`,
  );
  await cp(join(root, 'k8s'), join(folder, registry), { recursive: true });
  const edited = join(folder, registry, 'overlays/gpu/kustomization.yaml');
  const kustomization = parse(await readFile(edited, 'utf8')) as object;
  const images = [
    { name: 'crossfold', newName: 'registry.example/c', newTag: '1' },
    { name: 'crossfold-gpu', newName: 'registry.example/c', newTag: '1-gpu' },
  ];
  await writeFile(edited, stringify({ ...kustomization, images }));
  const places = ['overlays/cpu', 'overlays/gpu', 'job'].map((part) => [part, join(root, 'k8s', part)] as const);
  const changed = [
    [complete, join(folder, complete)],
    [registry, join(folder, registry, 'overlays/gpu')],
  ] as const;
  for (const [name, place] of [...places, ...changed]) {
    const { code, stdout, stderr } = await run('kubectl', ['kustomize', place]);
    if (code !== 0) throw new Error(`kubectl kustomize ${place}: ${stderr}`);
    const file = join(folder, `${name.replaceAll('/', '-')}.yaml`);
    await writeFile(file, stdout);
    const resources = parseAllDocuments(stdout).map((document) => document.toJS() as Resource);
    rendered.set(name, { file, resources });
  }
});
afterAll(() => rm(folder, { recursive: true, force: true }));

/** Where the programs of a validator's own Python environment are; one that was not completed is made anew. */
async function provide(validator: keyof typeof validators): Promise<string> {
  const cache =
    process.env.CROSSFOLD_CACHE ?? join(process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'crossfold');
  const pins = validators[validator];
  const home = join(cache, `validate-${createHash('sha256').update(pins.join()).digest('hex').slice(0, 12)}`);
  const complete = join(home, 'complete');
  if (existsSync(complete)) return join(home, 'bin');
  await mkdir(cache, { recursive: true });
  for (const [command, ...args] of [
    ['python3', '-m', 'venv', '--clear', home],
    [join(home, 'bin', 'pip'), 'install', '--quiet', ...pins],
  ]) {
    const { code, stderr } = await run(command ?? '', args);
    if (code !== 0) throw new Error(`${command} ${args.join(' ')}: ${stderr}`);
  }
  await writeFile(complete, '');
  return join(home, 'bin');
}

const of = (name: string): Resource[] => rendered.get(name)?.resources ?? [];
const find = (name: string, kind: string, called: string): Resource => {
  const found = of(name).find((r) => r.kind === kind && r.metadata.name === called);
  if (found === undefined) throw new Error(`${name} has no ${kind} ${called}`);
  return found;
};
/** Templates of pods, by the kind and name of what makes them. */
function pods(name: string): [string, { labels: Record<string, string>; spec: PodSpec }][] {
  return of(name).flatMap((resource) => {
    const template = resource.spec?.template as { metadata: Resource['metadata']; spec: PodSpec } | undefined;
    if (template?.spec?.containers === undefined) return [];
    return [
      [`${resource.kind} ${resource.metadata.name}`, { labels: template.metadata.labels ?? {}, spec: template.spec }],
    ];
  });
}
const everywhere = ['overlays/cpu', 'overlays/gpu', 'job', complete];

describe('schemas', () => {
  it.each(versions)('of Kubernetes %s take everything, strictly', async (version) => {
    const files = [...rendered.values()].map(({ file }) => file);
    const program = join(await provide('kubernetes'), 'kubernetes-validate');
    const { code, stdout, stderr } = await run(program, ['--strict', '-k', version, ...files]);
    const said = `${stdout}${stderr}`;
    // Resources of operators have no schema there: see below.
    const unknown = [...said.matchAll(/Couldn't find schema for kind (\w+)/g)].map(([, kind]) => kind);
    expect(new Set(unknown)).toEqual(new Set(['PodMonitor', 'PrometheusRule', 'ScaledObject', 'ServiceMonitor']));
    expect(code, said).toBe(0);
    expect(said.match(/ passed for resource /g)?.length).toBeGreaterThan(80);
  });

  it('of KEDA and of the operator of Prometheus take what is theirs, strictly, and would refuse what is wrong', async () => {
    const right = await readFile(rendered.get(complete)?.file ?? '', 'utf8');
    const wrong = [
      ['pollingInterval: 15', 'polingInterval: 15', 'ScaledObject: spec.polingInterval'],
      ['threshold: "1"', 'threshold: 1', 'ScaledObject: spec.triggers.0.metadata.threshold'],
      ['periodSeconds: 60', 'periodSeconds: 1m', 'ScaledObject: spec.advanced.horizontalPodAutoscalerConfig'],
      ['targetLabel: node', 'targetLable: node', 'PodMonitor: spec.podMetricsEndpoints.0.relabelings.2'],
      ['interval: 10s', 'interval: 10 seconds', 'ServiceMonitor: spec.endpoints.0.interval'],
      ['for: 30s', 'for: half a minute', 'PrometheusRule: spec.groups'],
    ] as const;
    const files = await Promise.all(
      [['nothing', 'nothing'] as const, ...wrong].map(async ([from, to], n) => {
        if (n > 0) expect(right).toContain(from);
        const file = join(folder, `operators-${n}.yaml`);
        await writeFile(file, right.replaceAll(from, to));
        return file;
      }),
    );
    // All at once: the models take longer to load than to use.
    const script = join(import.meta.dirname, 'support/operators.py');
    const { stdout, stderr } = await run(join(await provide('operators'), 'python'), [script, ...files]);
    const said = stdout.split('\n');
    const of = (n: number): string[] => said.filter((line) => line.startsWith(`${files[n]}: `));
    expect(of(0).sort(), stderr).toEqual(
      [
        'passed PodMonitor crossfold-worker',
        'passed PrometheusRule crossfold',
        'passed ScaledObject crossfold-worker',
        'passed ServiceMonitor crossfold-coordinator',
      ].map((line) => `${files[0]}: ${line}`),
    );
    for (const [n, [, , refused]] of wrong.entries())
      expect(of(n + 1).join('\n')).toContain(`${files[n + 1]}: refused ${refused}`);
  });
});

describe('the namespace', () => {
  it('takes restricted pods alone, and all pods are', () => {
    const { labels } = find('overlays/cpu', 'Namespace', 'crossfold').metadata;
    expect(labels).toMatchObject({ 'pod-security.kubernetes.io/enforce': 'restricted' });
    for (const name of everywhere) {
      for (const [pod, { spec }] of pods(name)) {
        expect(spec.securityContext, pod).toMatchObject({
          runAsNonRoot: true,
          seccompProfile: { type: 'RuntimeDefault' },
        });
        for (const container of [...spec.containers, ...(spec.initContainers ?? [])]) {
          expect(container.securityContext, pod).toEqual({
            allowPrivilegeEscalation: false,
            readOnlyRootFilesystem: true,
            capabilities: { drop: ['ALL'] },
          });
          expect(container.imagePullPolicy, pod).toBe('IfNotPresent');
          expect(Object.keys(container.resources?.requests ?? {}), pod).toEqual(
            expect.arrayContaining(['cpu', 'memory']),
          );
          expect(Object.keys(container.resources?.limits ?? {}), pod).toEqual(
            expect.arrayContaining(['cpu', 'memory']),
          );
        }
        for (const volume of spec.volumes ?? []) expect(Object.keys(volume), pod).not.toContain('hostPath');
      }
    }
  });

  it('has everything that is not of the whole cluster', () => {
    for (const name of everywhere)
      for (const { kind, metadata } of of(name)) if (kind !== 'Namespace') expect(metadata.namespace).toBe('crossfold');
  });
});

describe('rights', () => {
  it('are none in the cluster, but for the job that makes the keys: to create secrets', () => {
    const accounts = of(complete).filter(({ kind }) => kind === 'ServiceAccount');
    const bound = new Set(['crossfold-secrets']);
    for (const { metadata, automountServiceAccountToken } of accounts)
      if (!bound.has(metadata.name)) expect(automountServiceAccountToken, metadata.name).toBe(false);
    const roles = of(complete).filter(({ kind }) => /Role$/.test(kind));
    expect(roles.map(({ rules }) => rules)).toEqual([[{ apiGroups: [''], resources: ['secrets'], verbs: ['create'] }]]);
    for (const name of everywhere)
      for (const [pod, { spec }] of pods(name)) expect(spec.serviceAccountName, pod).toMatch(/^crossfold-/);
  });

  it('on the broker are one key a part: nobody is given the key of another', () => {
    const given = new Map<string, unknown>();
    for (const name of ['overlays/cpu', 'job'])
      for (const [pod, { spec }] of pods(name))
        for (const volume of spec.volumes ?? []) {
          const secret = volume.secret as { items?: { key: string }[] } | undefined;
          if (secret !== undefined)
            given.set(
              pod,
              secret.items?.map(({ key }) => key),
            );
        }
    expect(Object.fromEntries(given)).toEqual({
      'Deployment crossfold-coordinator': ['coordinator.nk'],
      'Deployment crossfold-worker': ['worker.nk'],
      'Job crossfold-run': ['client.nk'],
    });
    // The servers know public keys.
    const [broker] = pods('overlays/cpu').filter(([pod]) => pod === 'StatefulSet crossfold-broker');
    const environment = JSON.stringify(broker?.[1].spec.containers[0]?.env);
    expect(environment).not.toContain('.nk');
  });

  it('and no secret lies in the manifests', () => {
    for (const name of everywhere) expect(of(name).filter(({ kind }) => kind === 'Secret')).toEqual([]);
  });
});

describe('the network', () => {
  const selects = (policy: Resource, labels: Record<string, string>): boolean => {
    const selector = policy.spec?.podSelector as {
      matchLabels?: Record<string, string>;
      matchExpressions?: { key: string; values: string[] }[];
    };
    return (
      Object.entries(selector.matchLabels ?? {}).every(([key, value]) => labels[key] === value) &&
      (selector.matchExpressions ?? []).every(({ key, values }) => values.includes(labels[key] ?? ''))
    );
  };

  it('is closed, but for what each part needs', () => {
    const policies = of('overlays/cpu').filter(({ kind }) => kind === 'NetworkPolicy');
    const closed = policies.find(
      ({ spec }) => JSON.stringify(spec?.podSelector) === '{}' && spec?.egress === undefined,
    );
    expect(closed?.spec?.policyTypes).toEqual(['Ingress', 'Egress']);
    const ports = (component: string, way: 'ingress' | 'egress'): (number | 'all')[] => {
      const rules = policies
        .filter((policy) => selects(policy, { 'app.kubernetes.io/component': component }))
        .flatMap(({ spec }) => (spec?.[way] ?? []) as { ports?: { port: number }[] }[]);
      const every = rules.some((rule) => rule.ports === undefined) ? ['all' as const] : [];
      const named = new Set(rules.flatMap((rule) => (rule.ports ?? []).map(({ port }) => port)));
      return [...[...named].sort((a, b) => a - b), ...every];
    };
    expect(ports('worker', 'egress')).toEqual([53, 4222, 9472]);
    expect(ports('worker', 'ingress')).toEqual([9472]);
    expect(ports('coordinator', 'egress')).toEqual([53, 4222, 8222]);
    expect(ports('coordinator', 'ingress')).toEqual([]);
    expect(ports('client', 'egress')).toEqual([53, 4222]);
    expect(ports('broker', 'ingress')).toEqual([4222, 6222, 8222]);
    expect(ports('broker', 'egress')).toEqual([53, 6222]);
    expect(ports('secrets', 'egress')).toEqual([53, 'all']);
  });
});

describe('services', () => {
  it('are probed for what they are: ready with a broker and an engine, alive as long as they turn', () => {
    for (const deployment of ['crossfold-coordinator', 'crossfold-worker']) {
      const spec = pods('overlays/cpu').find(([pod]) => pod === `Deployment ${deployment}`)?.[1].spec;
      const [container] = spec?.containers ?? [];
      expect(container?.readinessProbe?.httpGet.path).toBe('/readyz');
      expect(container?.livenessProbe?.httpGet.path).toBe('/livez');
      expect(container?.livenessProbe?.failureThreshold).toBeGreaterThanOrEqual(6);
      expect(container?.startupProbe).toBeDefined();
      // Longer than a service takes to hand over.
      expect(spec?.terminationGracePeriodSeconds).toBeGreaterThan(25);
    }
  });

  it('are as many as it takes to lose one, and evictions are kept to that', () => {
    expect(find('overlays/cpu', 'StatefulSet', 'crossfold-broker').spec?.replicas).toBe(3);
    expect(find('overlays/cpu', 'Deployment', 'crossfold-coordinator').spec?.replicas).toBe(2);
    const budgets = of('overlays/cpu').filter(({ kind }) => kind === 'PodDisruptionBudget');
    expect(budgets.map(({ metadata }) => metadata.name).sort()).toEqual([
      'crossfold-broker',
      'crossfold-coordinator',
      'crossfold-worker',
    ]);
  });

  it('tell their peers the address that the pod has', () => {
    const [, worker] = pods('overlays/cpu').find(([pod]) => pod === 'Deployment crossfold-worker') ?? [];
    const [container] = worker?.spec.containers ?? [];
    expect(container?.args?.join(' ')).toContain('--advertise [$(POD_IP)]:9472');
    expect(container?.env).toContainEqual({ name: 'POD_IP', valueFrom: { fieldRef: { fieldPath: 'status.podIP' } } });
  });
});

describe('the overlay for GPUs', () => {
  it('has images of a registry put in by name, the one for GPUs apart from the others', () => {
    const images = (name: string): Record<string, string | undefined> =>
      Object.fromEntries(pods(name).map(([pod, { spec }]) => [pod.split(' ')[1], spec.containers[0]?.image]));
    const nats = images('overlays/gpu')['crossfold-broker'];
    const parts = (cpu: string, gpu: string) => ({
      'crossfold-broker': nats,
      'crossfold-coordinator': cpu,
      'crossfold-secrets': cpu,
      'crossfold-worker': gpu,
    });
    expect(images('overlays/gpu')).toEqual(parts('crossfold:latest', 'crossfold:gpu'));
    expect(images(registry)).toEqual(parts('registry.example/c:1', 'registry.example/c:1-gpu'));
  });

  it('gives each worker one GPU, on nodes that have some, with shared memory', () => {
    const [, worker] = pods('overlays/gpu').find(([pod]) => pod === 'Deployment crossfold-worker') ?? [];
    const [container] = worker?.spec.containers ?? [];
    expect(container?.image).toBe('crossfold:gpu');
    expect(container?.resources?.limits?.['nvidia.com/gpu']).toBe(1);
    expect(worker?.spec.nodeSelector).toEqual({ 'nvidia.com/gpu.present': 'true' });
    expect(worker?.spec.tolerations).toContainEqual({
      key: 'nvidia.com/gpu',
      operator: 'Exists',
      effect: 'NoSchedule',
    });
    expect(worker?.spec.volumes).toContainEqual({ name: 'shm', emptyDir: { medium: 'Memory', sizeLimit: '1Gi' } });
    expect(container?.volumeMounts).toContainEqual({ name: 'shm', mountPath: '/dev/shm' });
  });
});

describe('components', () => {
  it('bring the boards as they are, labelled for Grafana', () => {
    const boards = of(complete).filter(({ metadata }) => metadata.labels?.grafana_dashboard === '1');
    expect(boards.length).toBeGreaterThanOrEqual(4);
    for (const { data } of boards)
      for (const text of Object.values(data ?? {})) expect(JSON.parse(text)).toHaveProperty('panels');
  });

  it('scale workers from none by what waits', () => {
    const scaled = find(complete, 'ScaledObject', 'crossfold-worker');
    expect(scaled.spec).toMatchObject({ minReplicaCount: 0, scaleTargetRef: { name: 'crossfold-worker' } });
    expect(JSON.stringify(scaled.spec?.triggers)).toContain('crossfold_jobs');
    // Applying the manifests again does not set their number back.
    expect(find(complete, 'Deployment', 'crossfold-worker').spec).not.toHaveProperty('replicas');
    expect(find('overlays/cpu', 'Deployment', 'crossfold-worker').spec?.replicas).toBe(2);
  });

  it('read metrics where services have them', () => {
    for (const kind of ['PodMonitor', 'ServiceMonitor']) {
      const [monitor] = of(complete).filter((resource) => resource.kind === kind);
      expect(JSON.stringify(monitor?.spec)).toContain('"port":"http"');
    }
  });
});
