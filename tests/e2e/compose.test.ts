import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connectClient } from '@crossfold/coordinator/client/client';
import type { ExperimentClient } from '@crossfold/coordinator/client/types';
import { connectBroker } from '@crossfold/shared/broker/connection';
import { createUserKey } from '@crossfold/shared/broker/keys';
import type { PublicJob } from '@crossfold/shared/jobs/records';
import { isFinal } from '@crossfold/shared/jobs/records';
import { Results } from '@crossfold/shared/results';
import { afterAll, beforeAll, describe, expect, it, onTestFailed } from 'vitest';
import { faultsOf } from '../support/record-check.ts';
import { docker, eventually, run } from './support/docker.ts';
import type { Stack } from './support/stack.ts';
import { createStack, owner, pidOf } from './support/stack.ts';

// docker-compose.yml as users have it, in a folder that belongs to an ordinary user: one stack, through all of its life.
// Grafana is left out, of which there is not everywhere an image.
let stack: Stack;
let secrets: string;
let client: ExperimentClient;
/** The experiment undisturbed: what all others have to come to. */
let reference: Results;

const experiment = ['run', 'examples/mnist-kfold.yaml'] as const;
const nextImage = `crossfold-e2e-next:${process.pid}`;

const urlOf = (file: string): string => `nats://127.0.0.1:${stack.ports.nats}?credentials=${encodeURIComponent(file)}`;

async function connect(): Promise<void> {
  await client?.close();
  client = await connectClient(urlOf(join(secrets, 'client.nk')));
}

beforeAll(async () => {
  stack = await createStack('compose');
  secrets = await mkdtemp(join(tmpdir(), 'crossfold-e2e-keys-'));
  await docker('tag', 'crossfold:latest', nextImage);
  await stack.up();
  const seed = await stack.compose(
    'run',
    '--rm',
    '-T',
    '--no-deps',
    '--entrypoint',
    'cat',
    'cli',
    '/run/crossfold/nats.nk',
  );
  await writeFile(join(secrets, 'client.nk'), seed, { mode: 0o600 });
  await connect();
});
afterAll(async () => {
  await client?.close();
  await stack?.remove();
  if (secrets !== undefined) await rm(secrets, { recursive: true, force: true });
  await run('docker', ['image', 'rm', nextImage]);
});

function saysWhy(): void {
  onTestFailed(async () => {
    console.error(await stack.compose('logs', '--tail', '60', '--no-log-prefix'));
  });
}

interface Container {
  readonly HostConfig: {
    readonly ReadonlyRootfs: boolean;
    readonly CapDrop: readonly string[] | null;
    readonly Memory: number;
    readonly NanoCpus: number;
    readonly PortBindings: Record<string, readonly { readonly HostIp: string }[]> | null;
  };
  readonly Config: { readonly Env: readonly string[]; readonly User: string };
  readonly RestartCount: number;
}
const inspect = async (container: string): Promise<Container> => {
  const [inspected] = JSON.parse(await docker('inspect', container)) as Container[];
  if (inspected === undefined) throw new Error(`there is no container ${container}`);
  return inspected;
};

/** The run folder that a command said its report is in. */
async function runFolder(output: string): Promise<string> {
  const report = /report: (\S+)\/report\.html/.exec(output)?.[1];
  if (report === undefined) throw new Error(`no report is named in: ${output.slice(-2000)}`);
  return join(stack.folder, report);
}
const resultsOf = async (folder: string): Promise<Results> =>
  Results.parse(JSON.parse(await readFile(join(folder, 'results.json'), 'utf8')));

async function prometheus(query: string): Promise<{ metric: Record<string, string>; value: number }[]> {
  const url = `http://127.0.0.1:${stack.ports.prometheus}/api/v1/query?query=${encodeURIComponent(query)}`;
  const { data } = (await (await fetch(url)).json()) as {
    data: { result: { metric: Record<string, string>; value: [number, string] }[] };
  };
  return data.result.map(({ metric, value }) => ({ metric, value: Number(value[1]) }));
}

async function submit(): Promise<string> {
  const ended = await stack.cli('submit', 'examples/mnist-kfold.yaml', '--fresh');
  expect(ended.stderr).not.toContain('crossfold:');
  return ended.stdout.trim().split('\n').at(-1) ?? '';
}

const running = (jobs: readonly PublicJob[]): PublicJob[] => jobs.filter((job) => job.state === 'running');

/** Waits until some of an experiment is done, and a job that is not has progress to lose; fails where all is over. */
async function midway(id: string, completed: number): Promise<void> {
  await eventually(`${completed} completed folds of ${id}`, 240_000, async () => {
    const jobs = (await client.jobs(id)).filter((job) => job.kind === 'train');
    if (jobs.length > 0 && jobs.every((job) => isFinal(job.state))) throw new Error('the experiment is over already');
    const done = jobs.filter((job) => job.state === 'completed').length;
    return done >= completed && running(jobs).length > 0 ? true : undefined;
  });
}

/** Waits for the end of an experiment, and holds it against the reference. */
async function endsAsIfUndisturbed(id: string): Promise<Results> {
  const ended = await stack.cli('resume', id);
  expect(ended.code, ended.stderr.slice(-2000)).toBe(0);
  const results = await resultsOf(await runFolder(`${ended.stdout}${ended.stderr}`));
  expect(results.status).toBe('completed');
  expect(digests(results)).toEqual(digests(reference));
  expect(samplesSeen(results)).toEqual(samplesSeen(reference));
  expect((await client.jobs(id)).flatMap(faultsOf)).toEqual([]);
  return results;
}
const digests = (results: Results): unknown =>
  results.trials.map(({ folds }) =>
    folds.map((fold) => ('weightsSha256' in fold ? [fold.fold, fold.weightsSha256] : [fold.fold, fold.status])),
  );
const samplesSeen = (results: Results): unknown =>
  results.trials.map(({ folds }) => folds.map((fold) => ('samplesSeen' in fold ? fold.samplesSeen : fold.status)));

describe('docker compose up', () => {
  it('starts everything, healthy, locked down and within limits', async () => {
    const services = ['nats', 'coordinator', 'worker', 'prometheus'];
    for (const service of services) {
      const containers = await stack.containers(service);
      expect(containers).toHaveLength(service === 'worker' ? 2 : 1);
      for (const container of containers) {
        const { HostConfig, Config } = await inspect(container);
        expect(HostConfig.ReadonlyRootfs, service).toBe(true);
        expect(HostConfig.CapDrop, service).toEqual(['ALL']);
        expect(HostConfig.Memory, service).toBeGreaterThan(0);
        expect(HostConfig.NanoCpus, service).toBeGreaterThan(0);
        for (const bindings of Object.values(HostConfig.PortBindings ?? {}))
          for (const { HostIp } of bindings) expect(HostIp).toBe('127.0.0.1');
        // Main processes belong to nobody in particular, whatever the image says of its own user.
        const status = await readFile(`/proc/${await pidOf(container)}/status`, 'utf8');
        expect(/^Uid:\s+(\d+)/m.exec(status)?.[1], service).not.toBe('0');
        // Secrets are in files that only their own part is given, not in the environment.
        expect(Config.Env.join('\n')).not.toMatch(/\bSU[A-Z2-7]{40}/);
      }
    }
  });

  it('has users on the broker: strangers are refused, and each part may do its own alone', async () => {
    const { port } = { port: stack.ports.nats };
    await expect(connectBroker(`nats://127.0.0.1:${port}`, 'test')).rejects.toThrow('refused the credentials');
    await writeFile(join(secrets, 'wrong.nk'), createUserKey().seed);
    await expect(connectBroker(urlOf(join(secrets, 'wrong.nk')), 'test')).rejects.toThrow('refused the credentials');
    const command = await run('node', ['coordinator/bin/main.cjs', 'list', '--nats', `nats://127.0.0.1:${port}`], {
      cwd: join(import.meta.dirname, '../..'),
    });
    expect(command.code).toBe(3);
    expect(command.stderr).toMatch(/^crossfold: .*refused the credentials/m);
    const nats = await connectBroker(urlOf(join(secrets, 'client.nk')), 'test', 'client');
    await expect(nats.request('$JS.API.STREAM.DELETE.KV_crossfold_jobs')).rejects.toThrow(/permission/i);
    await nats.close();
  });

  it('runs an experiment, whose run folder lands on the host and belongs to its owner', async () => {
    saysWhy();
    const ended = await stack.cli(...experiment);
    expect(ended.code, ended.stderr.slice(-3000)).toBe(0);
    const folder = await runFolder(`${ended.stdout}${ended.stderr}`);
    reference = await resultsOf(folder);
    expect(reference.status).toBe('completed');
    const files = await readdir(folder);
    expect(files).toEqual(expect.arrayContaining(['experiment.yaml', 'folds.json', 'history.csv', 'report.html']));
    for (const file of files) expect((await stat(join(folder, file))).uid).toBe(owner);
    const [trial] = reference.trials;
    expect(trial?.summary?.accuracy.mean).toBeGreaterThan(0.8);
  });

  it('has measured it: Prometheus says what the results say', async () => {
    const { id } = reference;
    const folds = reference.trials[0]?.folds ?? [];
    const query = `crossfold_fold_accuracy_ratio{experiment="${id}",split="validation"}`;
    const wanted = folds.map((fold) => ('validation' in fold ? fold.validation.accuracy.toFixed(6) : fold.status));
    // The last scrape may have been before the last epoch.
    await eventually(`the accuracies ${wanted.join(', ')}`, 60_000, async () => {
      const found = await prometheus(query);
      const measured = folds.map(({ fold }) =>
        found.find(({ metric }) => metric.fold === String(fold))?.value.toFixed(6),
      );
      return measured.join() === wanted.join() ? measured : undefined;
    });
    const up = await prometheus('up{job=~"crossfold-.*"}');
    expect(up.map(({ value }) => value)).toEqual([1, 1, 1]);
    const [samples] = await prometheus('sum(crossfold_samples_total)');
    expect(samples?.value).toBeGreaterThan(0);
  });

  it('shows its report where the boards link to', async () => {
    const report = await fetch(`http://127.0.0.1:${stack.ports.coordinator}/experiments/${reference.id}`);
    expect(report.status).toBe(200);
    expect(await report.text()).toContain(reference.id);
  });
});

describe('an experiment whose cluster is not left alone', () => {
  it('loses a worker, then the network to one, grows and shrinks, and comes to the same bits', async () => {
    saysWhy();
    const id = await submit();
    await midway(id, 0);
    const workers = await stack.containers('worker');
    const [first = '', second = ''] = workers;

    // As the kernel would for want of memory: no signal that could be handled. Compose's restart policy brings it back.
    process.kill(await pidOf(first), 'SIGKILL');
    await eventually('the killed worker to be started again', 60_000, async () =>
      (await inspect(first)).RestartCount > 0 ? true : undefined,
    );

    const network = `${stack.project}_default`;
    await midway(id, 1);
    /** Whether the second worker computes for one of the jobs that run; undefined where none does. */
    const takesPart = async (): Promise<boolean | undefined> => {
      const jobs = running(await client.jobs(id));
      const members = jobs.flatMap((job) => job.members);
      return jobs.length === 0 ? undefined : members.some(({ worker }) => worker.startsWith(second.slice(0, 12)));
    };
    await eventually('the worker that is to be cut off to be at work', 60_000, async () =>
      (await takesPart()) === true ? true : undefined,
    );
    await docker('network', 'disconnect', '--force', network, second);
    await eventually('the group to go on without the worker that was cut off', 60_000, async () =>
      (await takesPart()) === false ? true : undefined,
    );
    await docker('network', 'connect', '--alias', 'worker', network, second);
    await eventually('the worker that was cut off to be back', 60_000, async () => {
      if ((await takesPart()) === true) return true;
      const { code } = await run('docker', ['exec', second, 'node', '/app/coordinator/bin/healthy.cjs']);
      return code === 0 ? true : undefined;
    });

    await stack.compose('up', '-d', '--no-recreate', '--scale', 'worker=3', 'worker');
    expect(await stack.containers('worker')).toHaveLength(3);
    await midway(id, 2);
    await stack.compose('up', '-d', '--no-recreate', '--scale', 'worker=1', 'worker');
    expect(await stack.containers('worker')).toHaveLength(1);

    const results = await endsAsIfUndisturbed(id);
    expect(results.trials[0]?.folds.some((fold) => fold.generations > 1)).toBe(true);
  });

  it('is taken down and up again with its volumes, and goes on where it was', async () => {
    saysWhy();
    await stack.up();
    const id = await submit();
    await midway(id, 1);
    const done = (await client.jobs(id)).filter((job) => job.state === 'completed');
    await client.close();
    await stack.compose('down', '-t', '30');
    await stack.up();
    await connect();
    const after = await client.jobs(id);
    for (const { id: job, result } of done) expect(after.find((found) => found.id === job)?.result).toEqual(result);
    await endsAsIfUndisturbed(id);
  });

  it('is upgraded to another image, coordinator first and workers after it', async () => {
    saysWhy();
    const id = await submit();
    await midway(id, 1);
    stack.env.CROSSFOLD_IMAGE = nextImage;
    await stack.compose('up', '-d', '--wait', '--no-deps', 'coordinator');
    await stack.compose('up', '-d', '--wait', '--no-deps', 'worker');
    for (const container of await stack.containers('worker'))
      expect(await docker('inspect', '--format={{.Config.Image}}', container)).toBe(nextImage);
    await endsAsIfUndisturbed(id);
  });
});

describe('a backup', () => {
  it('of the broker is put back into an empty one, with every experiment', async () => {
    saysWhy();
    const before = (await client.list()).map(({ id, state }) => [id, state]);
    expect(before.length).toBeGreaterThan(2);
    await client.close();
    const archive = join(secrets, 'jetstream.tar.gz');
    const volume = `${stack.project}_jetstream`;
    const tar = (mounts: readonly string[], ...args: readonly string[]): Promise<string> =>
      docker('run', '--rm', '--user=0', '--entrypoint=tar', ...mounts.map((m) => `--volume=${m}`), nextImage, ...args);

    await stack.compose('stop', 'worker', 'coordinator', 'nats');
    await tar([`${volume}:/from:ro`, `${secrets}:/to`], '-C', '/from', '-czf', '/to/jetstream.tar.gz', '.');
    expect((await stat(archive)).size).toBeGreaterThan(100_000);
    await stack.compose('rm', '-f', '-s', 'nats', 'secrets');
    await docker('volume', 'rm', volume);

    await stack.compose('up', '--no-start', 'secrets', 'nats');
    await tar([`${volume}:/to`, `${secrets}:/from:ro`], '-C', '/to', '-xzf', '/from/jetstream.tar.gz');
    await stack.up();
    await connect();
    expect((await client.list()).map(({ id, state }) => [id, state])).toEqual(before);
    const outcome = await client.outcome(reference.id);
    expect(digests(Results.parse(outcome.results))).toEqual(digests(reference));
    expect(outcome.models.length).toBeGreaterThan(0);
  });
});

describe('profile gpu', () => {
  const read = async (...args: readonly string[]): Promise<Record<string, unknown>> =>
    (JSON.parse(await stack.compose(...args, 'config', '--format', 'json')) as { services: Record<string, unknown> })
      .services;

  it('adds a worker on a GPU and its exporter, and needs neither without it', async () => {
    expect(Object.keys(await read())).not.toContain('worker-gpu');
    const services = await read('--profile', 'gpu');
    const device = { driver: 'nvidia', capabilities: ['gpu'] };
    expect(services['worker-gpu']).toMatchObject({
      build: { args: { TENSORFLOW: 'gpu' } },
      deploy: { resources: { reservations: { devices: [{ ...device, device_ids: ['0'] }] } } },
    });
    expect(services['dcgm-exporter']).toMatchObject({
      deploy: { resources: { reservations: { devices: [{ ...device, count: -1 }] } } },
    });
  });

  it('has a worker for each of several GPUs, where Prometheus finds it, with what the documents say', async () => {
    const documents = await readFile(join(import.meta.dirname, '../../docs/operations.md'), 'utf8');
    const snippet = /```yaml\n(services:\n {2}worker-gpu-1:[^`]*)```/.exec(documents)?.[1] ?? '';
    await writeFile(join(stack.folder, 'gpus.yml'), snippet);
    const services = await read('-f', 'docker-compose.yml', '-f', 'gpus.yml', '--profile', 'gpu');
    const devices = (id: string) => [{ driver: 'nvidia', device_ids: [id], capabilities: ['gpu'] }];
    expect(services['worker-gpu']).toMatchObject({
      deploy: { resources: { reservations: { devices: devices('0') } } },
    });
    expect(services['worker-gpu-1']).toMatchObject({
      deploy: { resources: { reservations: { devices: devices('1') } } },
      networks: { default: { aliases: ['worker-gpu'] } },
      image: 'crossfold:gpu',
    });
  });
});

describe('removal', () => {
  it('leaves nothing: no container, no network, no volume', async () => {
    await client.close();
    await stack.compose('--profile', '*', 'down', '--volumes', '--remove-orphans');
    const label = `label=com.docker.compose.project=${stack.project}`;
    expect(await docker('ps', '-aq', '--filter', label)).toBe('');
    expect(await docker('volume', 'ls', '-q', '--filter', label)).toBe('');
    expect(await docker('network', 'ls', '-q', '--filter', label)).toBe('');
  });
});
