import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { connectClient } from '@crossfold/coordinator/client/client';
import type { ExperimentClient } from '@crossfold/coordinator/client/types';
import { brokerUsers, keyVariable } from '@crossfold/coordinator/deploy/broker-users';
import { connectBroker } from '@crossfold/shared/broker/connection';
import { createUserKey } from '@crossfold/shared/broker/keys';
import { allStreams } from '@crossfold/shared/broker/permissions';
import { Buckets, recordStream } from '@crossfold/shared/broker/subjects';
import { Experiment } from '@crossfold/shared/config/experiment';
import { isFinal } from '@crossfold/shared/jobs/records';
import type { StartedNetwork, StartedTestContainer } from 'testcontainers';
import { GenericContainer, Network, Wait } from 'testcontainers';
import { afterAll, beforeAll, describe, expect, it, onTestFailed } from 'vitest';
import { parse, parseAllDocuments } from 'yaml';
import { faultsOf } from '../support/record-check.ts';
import { docker, eventually, run } from './support/docker.ts';

// Three nats-servers with the configuration that k8s/base gives them, and services with the image's own users.
const root = resolve(import.meta.dirname, '../..');
const names = [0, 1, 2].map((n) => `crossfold-broker-${n}`);
const keys = new Map(brokerUsers.map((user) => [user, createUserKey()]));
const password = 'r0123456789abcdef';

let folder: string;
/** As the brokers' pods are given it. */
let config: string;
let network: StartedNetwork;
let servers: StartedTestContainer[];
const services: StartedTestContainer[] = [];
let client: ExperimentClient;

const urlOf = (user: string): string => {
  const [first = '', ...others] = servers.map((server) => `${server.getHost()}:${server.getMappedPort(4222)}`);
  const file = encodeURIComponent(join(folder, `${user}.nk`));
  return [`nats://${first}?credentials=${file}`, ...others.map((other) => `nats://${other}`)].join(',');
};

/** Starts one of the servers, with `data` in its folder for its volume. */
async function startServer(name: string, data: string): Promise<StartedTestContainer> {
  await mkdir(join(data, name), { recursive: true });
  const routes = names.map((other, n) => [`ROUTE_${n}`, `nats://route:${password}@${other}:6222`]);
  const publicKeys = [...keys].map(([user, { publicKey }]) => [keyVariable(user), publicKey]);
  return await new GenericContainer('nats:2')
    .withNetwork(network)
    .withNetworkAliases(name, 'nats')
    .withEnvironment({ POD_NAME: name, ROUTE_PASSWORD: password, ...Object.fromEntries([...routes, ...publicKeys]) })
    .withCopyContentToContainer([{ content: config, target: '/etc/crossfold/nats.conf' }])
    .withBindMounts([{ source: join(data, name), target: '/data' }])
    .withTmpFs({ '/run/nats': 'mode=1777' })
    .withUser(`${process.getuid?.() ?? 0}:${process.getgid?.() ?? 0}`)
    .withCommand(['nats-server', '--config', '/etc/crossfold/nats.conf'])
    .withExposedPorts(4222, 8222)
    .withWaitStrategy(Wait.forLogMessage(/Server is ready/))
    .start();
}

async function startService(role: 'coordinator' | 'worker', port: number): Promise<StartedTestContainer> {
  const service = await new GenericContainer('crossfold:latest')
    .withNetwork(network)
    .withCommand([role, ...(role === 'worker' ? ['--listen', '0.0.0.0:9472'] : ['--replicas', '3'])])
    .withEnvironment({
      CROSSFOLD_NATS_URL: 'nats://nats:4222',
      CROSSFOLD_NATS_CREDENTIALS: '/run/crossfold/nats.nk',
      CROSSFOLD_NATS_WAIT: '60',
      CROSSFOLD_HTTP: `0.0.0.0:${port}`,
    })
    .withCopyContentToContainer([
      { content: keys.get(role)?.seed ?? '', target: '/run/crossfold/nats.nk', mode: 0o444 },
    ])
    .withWaitStrategy(Wait.forHealthCheck())
    .withStartupTimeout(120_000)
    .start();
  services.push(service);
  return service;
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'crossfold-nats-cluster-'));
  for (const [user, { seed }] of keys) await writeFile(join(folder, `${user}.nk`), seed, { mode: 0o600 });
  const { stdout } = await run('kubectl', ['kustomize', join(root, 'k8s/overlays/cpu')]);
  config = parseAllDocuments(stdout)
    .map((document) => document.toJS() as { kind: string; data?: Record<string, string> })
    .flatMap(({ kind, data }) => (kind === 'ConfigMap' && data?.['nats.conf'] !== undefined ? [data['nats.conf']] : []))
    .join();
  network = await new Network().start();
  servers = await Promise.all(names.map((name) => startServer(name, join(folder, 'data'))));
  await Promise.all([startService('coordinator', 9470), startService('worker', 9471), startService('worker', 9471)]);
  client = await connectClient(urlOf('client'));
});
afterAll(async () => {
  await client?.close();
  for (const container of [...services, ...(servers ?? [])])
    await container.stop({ timeout: 1000 }).catch(() => undefined);
  await network?.stop();
  if (folder !== undefined) await rm(folder, { recursive: true, force: true });
});

interface Copies {
  readonly leader: string | undefined;
  readonly wanted: number;
  readonly current: number;
}

/** Copies that each stream has, and those of them that are up to date. */
async function copies(): Promise<Map<string, Copies>> {
  const nats = await connectBroker(urlOf('operator'), 'test');
  try {
    const manager = await nats.jetstreamManager();
    const found = new Map<string, Copies>();
    for (const name of allStreams) {
      const { config, cluster } = await manager.streams.info(name);
      const current = (cluster?.replicas ?? []).filter((replica) => replica.current && !replica.offline).length;
      const leader = cluster?.leader;
      found.set(name, { leader, wanted: config.num_replicas, current: current + (leader === undefined ? 0 : 1) });
    }
    return found;
  } finally {
    await nats.close();
  }
}

describe('three nats-servers', () => {
  it('keep a copy each of everything', async () => {
    await eventually('all copies', 60_000, async () => {
      const found = [...(await copies()).values()];
      return found.every(({ wanted, current }) => wanted === 3 && current === 3) ? true : undefined;
    });
  });

  it('let in whom the broker knows and nobody else, and no fourth server', async () => {
    const [first] = servers;
    const at = `nats://${first?.getHost()}:${first?.getMappedPort(4222)}`;
    await expect(connectBroker(at, 'test')).rejects.toThrow('refused the credentials');
    await writeFile(join(folder, 'wrong.nk'), createUserKey().seed);
    await expect(connectBroker(urlOf('wrong'), 'test')).rejects.toThrow('refused the credentials');
    const routes = (await (await fetch(`http://${first?.getHost()}:${first?.getMappedPort(8222)}/routez`)).json()) as {
      routes: { remote_name: string }[];
    };
    expect(new Set(routes.routes.map(({ remote_name }) => remote_name)).size).toBe(2);
  });

  it('lose one while an experiment trains, which ends as if nothing had been', async () => {
    onTestFailed(async () => {
      for (const service of services) console.error(await docker('logs', '--tail', '30', service.getId()));
    });
    const text = await readFile(join(root, 'examples/mnist-kfold.yaml'), 'utf8');
    const experiment = Experiment.parse({ ...(parse(text) as object), dataset: { name: 'mnist', limit: 6400 } });
    const train = async (id: string, meanwhile: () => Promise<void>): Promise<unknown> => {
      await client.submit(experiment, root, id, { fresh: true });
      await eventually('a fold in training', 120_000, async () =>
        (await client.jobs(id)).some((job) => job.state === 'running') ? true : undefined,
      );
      await meanwhile();
      await eventually(`the end of ${id}`, 240_000, async () => {
        const { record } = await client.outcome(id, { models: false });
        return isFinal(record.state) ? true : undefined;
      });
      const { results } = await client.outcome(id, { models: false });
      expect(results?.status).toBe('completed');
      expect((await client.jobs(id)).flatMap(faultsOf)).toEqual([]);
      return results?.trials[0]?.folds.map((fold) => ('weightsSha256' in fold ? fold.weightsSha256 : fold.status));
    };
    const undisturbed = await train('undisturbed', async () => undefined);
    // Whoever leads the records of jobs, at once and for good.
    const leader = (await copies()).get(recordStream(Buckets.jobs))?.leader;
    const victim = servers[names.indexOf(leader ?? '')];
    if (victim === undefined) throw new Error(`${leader} leads the jobs' records, which is none of the servers`);
    const disturbed = await train('disturbed', async () => {
      await docker('kill', victim.getId());
    });
    expect(disturbed).toEqual(undisturbed);
    await eventually('the two that are left to have everything', 60_000, async () => {
      const left = [...(await copies()).values()];
      return left.every(({ current }) => current === 2) ? true : undefined;
    });
  });

  it('are put back, with every experiment, from copies of their volumes', async () => {
    const text = await readFile(join(root, 'examples/mnist-kfold.yaml'), 'utf8');
    const small = { ...(parse(text) as object), dataset: { name: 'mnist', limit: 640 } };
    await client.submit(Experiment.parse(small), root, 'small', { fresh: true });
    const outcome = () => client.outcome('small');
    await eventually('the end of an experiment', 240_000, async () =>
      isFinal((await outcome()).record.state) ? true : undefined,
    );
    const shown = async () => {
      const { results, models } = await outcome();
      return { list: (await client.list()).map(({ id, state }) => [id, state]), results, models };
    };
    const before = await shown();
    expect(before.results?.status).toBe('completed');
    expect(before.models.length).toBeGreaterThan(0);
    await client.close();
    // One of the servers may have been killed before.
    for (const container of [...services, ...servers]) {
      await docker('stop', '--time=20', container.getId());
      await docker('rm', container.getId());
    }
    services.length = 0;
    await cp(join(folder, 'data'), join(folder, 'copy'), { recursive: true });
    await rm(join(folder, 'data'), { recursive: true });
    servers = await Promise.all(names.map((name) => startServer(name, join(folder, 'copy'))));
    client = await eventually('the servers to answer', 60_000, () => connectClient(urlOf('client')));
    await eventually('all that was there', 60_000, async () => {
      expect(await shown()).toEqual(before);
      return true;
    });
  });
});
