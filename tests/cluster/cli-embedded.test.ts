import type { ChildProcess } from 'node:child_process';
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync, statSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import type { EmbeddedCluster } from '@crossfold/coordinator/cluster/embedded';
import { defaultWorkers, startEmbedded } from '@crossfold/coordinator/cluster/embedded';
import { isAlive } from '@crossfold/coordinator/cluster/lock';
import { Supervised } from '@crossfold/coordinator/cluster/supervised';
import { connectBroker } from '@crossfold/shared/broker/connection';
import { ConfigError, type CrossfoldError, ExitCode } from '@crossfold/shared/errors';
import { parseGpus } from '@crossfold/shared/gpus';
import { createLogger } from '@crossfold/shared/logger';
import { pause } from '@crossfold/shared/wait';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

const fixtures = resolve(import.meta.dirname, '../fixtures/cluster');
const script = join(fixtures, 'service.cjs');
const dist = resolve(import.meta.dirname, '../../coordinator/dist/cluster/embedded.js');
const never = new AbortController().signal;

let folder: string;
let clusters: EmbeddedCluster[];
let failure: Promise<CrossfoldError>;
let onFailure: (error: CrossfoldError) => void;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'crossfold-embedded-'));
  clusters = [];
  failure = new Promise((resolve) => {
    onFailure = resolve;
  });
});

afterEach(async () => {
  for (const cluster of clusters) await cluster.stop('kill');
  await rm(folder, { recursive: true, force: true });
});

async function start(env: NodeJS.ProcessEnv = {}, signal = never): Promise<EmbeddedCluster> {
  const cluster = await startEmbedded(
    {
      folder,
      script,
      workers: 2,
      threads: 3,
      exchange: 'nats',
      env: { ...process.env, FAKE_SERVICE_LOG: join(folder, 'services'), ...env },
      logger: createLogger({ service: 'test', to: join(folder, 'test.log') }),
      onFailure,
    },
    signal,
  );
  clusters.push(cluster);
  return cluster;
}

interface Started {
  readonly pid: number;
  readonly arguments: readonly string[];
}
const started = (): Started[] =>
  readFileSync(join(folder, 'services'), 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));

async function until(what: string, holds: () => boolean, ms = 20_000): Promise<void> {
  for (const end = performance.now() + ms; !holds(); ) {
    if (performance.now() > end) throw new Error(`gave up waiting until ${what}`);
    await pause(20, never);
  }
}

const gone = (pids: readonly number[]): boolean => !pids.some(isAlive);

describe('an embedded cluster', () => {
  it('runs a broker with JetStream, a coordinator and workers, each by its own name', async () => {
    const cluster = await start();
    expect(cluster.pids()).toHaveLength(5);
    const nats = await connectBroker(cluster.url, 'test');
    expect(nats.info?.host).toBe('127.0.0.1');
    expect((await nats.jetstreamManager().then((m) => m.getAccountInfo())).streams).toBe(0);
    await nats.close();
    const all = started().map((s) => s.arguments);
    expect(all.map((parameters) => parameters[0]).sort()).toEqual(['coordinator', 'worker', 'worker']);
    const names = all.map((parameters) => parameters[parameters.indexOf('--name') + 1]);
    expect(new Set(names).size).toBe(3);
    const worker = all.find((parameters) => parameters[0] === 'worker');
    expect(worker?.slice(1, 5)).toEqual(['--threads', '3', '--exchange', 'nats']);
  });

  it('gives each worker one GPU, in the order that CUDA_VISIBLE_DEVICES has them', async () => {
    const listed = resolve(import.meta.dirname, '../fixtures/nvidia-smi/two-h100.csv');
    const bin = join(folder, 'bin');
    const query = '--query-gpu=index,uuid,name,memory.total,driver_version --format=csv,noheader,nounits';
    await mkdir(bin);
    await writeFile(join(bin, 'nvidia-smi'), `#!/bin/sh\n[ "$*" = "${query}" ] && cat "${listed}"\n`, { mode: 0o755 });
    const PATH = `${bin}:${process.env.PATH}`;
    const uuids = parseGpus(readFileSync(listed, 'utf8')).map(({ uuid }) => uuid);
    const env = { PATH, CUDA_VISIBLE_DEVICES: '1,0' };
    expect(defaultWorkers(1, env)).toBe(2);
    expect(defaultWorkers(1, { ...env, CUDA_VISIBLE_DEVICES: '1' })).toBe(1);
    await start(env);
    const given = started()
      .filter(({ arguments: [verb] }) => verb === 'worker')
      .map(({ pid, arguments: words }) => {
        const variables = readFileSync(`/proc/${pid}/environ`, 'utf8').split('\0');
        const gpu = variables.find((variable) => variable.startsWith('CUDA_VISIBLE_DEVICES='))?.split('=')[1];
        return { name: words[words.indexOf('--name') + 1], gpu };
      });
    expect(given.sort((a, b) => String(a.name).localeCompare(String(b.name))).map(({ gpu }) => gpu)).toEqual([
      uuids[1],
      uuids[0],
    ]);
  });

  it('takes nobody without its password, and keeps that from arguments and logs', async () => {
    const cluster = await start();
    const { password, port } = new URL(cluster.url);
    await expect(connectBroker(`nats://127.0.0.1:${port}`, 'test')).rejects.toThrow('refused the credentials');
    expect(statSync(join(folder, '.cluster', 'nats.conf')).mode & 0o777).toBe(0o600);
    const shown = [
      ...cluster
        .pids()
        .map((pid) => `/proc/${pid}/cmdline`)
        .filter((file) => existsSync(file)),
      join(folder, 'test.log'),
      join(folder, 'logs', 'nats.log'),
    ];
    for (const file of shown) expect(readFileSync(file, 'utf8')).not.toContain(password);
  });

  it('leaves logs, and nothing else once it is removed', async () => {
    const cluster = await start();
    const pids = cluster.pids();
    await cluster.stop('drain');
    expect(gone(pids)).toBe(true);
    await cluster.remove();
    expect((await readdir(folder)).sort()).toEqual(['logs', 'services', 'test.log']);
    const logs = (await readdir(join(folder, 'logs'))).sort();
    expect(logs).toEqual(['coordinator.log', 'nats.log', 'worker-0.log', 'worker-1.log']);
  });

  it('ends with its parent, even one that is killed', async () => {
    const env = { ...process.env, FAKE_SERVICE_LOG: join(folder, 'services') };
    const parent = fork(join(fixtures, 'parent.mjs'), [dist, folder, script], { env, execArgv: [] });
    const [{ pids, url }] = (await once(parent, 'message')) as [{ pids: number[]; url: string }];
    expect(pids).toHaveLength(5);
    expect(pids.every(isAlive)).toBe(true);
    parent.kill('SIGKILL');
    await until('all processes are gone', () => gone(pids));
    await expect(connectBroker(url, 'test')).rejects.toThrow('cannot reach the broker');

    const next = await start();
    expect(next.pids()).toHaveLength(5);
  });

  it('starts a part again that ends, and the broker where it was', async () => {
    const cluster = await start();
    const before = started();
    const victim = before.find((s) => s.arguments[0] === 'worker');
    process.kill(victim?.pid ?? 0, 'SIGKILL');
    await until('the worker is there again', () => started().length === before.length + 1);
    expect(started().at(-1)?.arguments).toEqual(victim?.arguments);

    const url = cluster.url;
    const [broker] = cluster.pids();
    process.kill(broker ?? 0, 'SIGKILL');
    await until('the broker is another process', () => cluster.pids()[0] !== broker && cluster.pids().length === 5);
    expect(cluster.url).toBe(url);
    await (await connectBroker(url, 'test')).close();
  });

  it('ends the server of a guard that was killed, and starts both again', async () => {
    const cluster = await start();
    const [server, guard] = cluster.pids();
    process.kill(guard ?? 0, 'SIGKILL');
    await until('the old server is gone', () => gone([server ?? 0]));
    await until('there is another', () => cluster.pids().length === 5 && cluster.pids()[0] !== server);
    await (await connectBroker(cluster.url, 'test')).close();
  });

  it('gives up on a part that ends again and again, and says which and why', async () => {
    const starting = start({ FAKE_SERVICE: 'worker=crash' });
    await expect(starting).rejects.toThrow(
      /^worker-\d ended 5 times within 60 s, last with exit code 1: no luck \(see .*\)$/,
    );
    expect(gone(started().map((s) => s.pid))).toBe(true);
  });

  it('does not insist where a part was called wrongly', async () => {
    const error = await start({ FAKE_SERVICE: 'worker=usage' }).catch((e: unknown) => e);
    expect(error).toMatchObject({ exitCode: ExitCode.usage });
    expect((error as Error).message).toMatch(/^worker-\d: --threads 0: must be at least 1 \(see .*\)$/);
    expect(started().filter((s) => s.arguments[0] === 'worker').length).toBeLessThanOrEqual(2);
  });

  it('tells when a part fails for good later on', async () => {
    const cluster = await start();
    for (let ends = 0; ends < 5; ends++) {
      const count = started().length;
      const pid = started().findLast((s) => s.arguments[0] === 'coordinator')?.pid ?? 0;
      process.kill(pid, 'SIGKILL');
      if (ends < 4) await until('it is there again', () => started().length > count && cluster.pids().length === 5);
    }
    expect((await failure).message).toContain('coordinator ended 5 times within 60 s, last with SIGKILL');
  });

  it('does not give up on a part that has done its work each time before it ended', async () => {
    const said: string[] = [];
    let child: ChildProcess | undefined;
    let ready: () => void = () => undefined;
    const supervised = new Supervised({
      name: 'part',
      logFolder: join(folder, 'logs'),
      logger: createLogger({ service: 'test', to: join(folder, 'test.log') }),
      fork: (output, errors) => {
        const env = { ...process.env, FAKE_SERVICE_LOG: join(folder, 'services') };
        child = fork(script, ['worker'], { env, execArgv: [], stdio: ['ignore', output, errors, 'ipc'] });
        return child;
      },
      onMessage: () => ready(),
      onRestart: (message) => said.push(message),
      onGiveUp: onFailure,
      limits: { ends: 2, windowMs: 60_000, backOffMs: 10, steadyMs: 50 },
    });
    for (let times = 0; times < 4; times++) {
      await new Promise<void>((resolve) => {
        ready = resolve;
      });
      await pause(100, never);
      child?.kill('SIGKILL');
    }
    await until('it has been started again each time', () => said.length === 4);
    expect(said[0]).toBe('part ended (SIGKILL); starting it again');
    await supervised.stop(5000);
  });

  it('keeps a second cluster off its folder', async () => {
    await start();
    await expect(start()).rejects.toThrow(ConfigError);
    await expect(start()).rejects.toThrow(/a cluster runs in .* already \(process \d+\)/);
  });

  it('leaves nothing behind when it is given up while it starts', async () => {
    const giveUp = new AbortController();
    const starting = start({ FAKE_SERVICE: 'worker=silent' }, giveUp.signal);
    await until('the services run', () => existsSync(join(folder, 'services')) && started().length >= 1);
    giveUp.abort(new Error('enough'));
    await expect(starting).rejects.toThrow('enough');
    for (const cluster of clusters) await cluster.stop('kill');
    expect(gone(started().map((s) => s.pid))).toBe(true);
    expect(existsSync(join(folder, '.cluster', 'lock.json'))).toBe(false);
  });
});
