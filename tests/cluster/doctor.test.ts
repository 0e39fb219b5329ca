import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, cpSync, mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { clock } from '../../coordinator/bin/doctor/broker.mjs';
import type { Patient } from '../../coordinator/bin/doctor/doctor.mjs';
import { gpu } from '../../coordinator/bin/doctor/engine.mjs';
import { startBroker, type TestBroker } from '../support/broker.ts';

const root = resolve(import.meta.dirname, '../..');
let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'crossfold doctor '));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const Report = z.strictObject({
  ready: z.boolean(),
  checks: z.array(
    z.strictObject({
      check: z.string(),
      status: z.enum(['ok', 'warn', 'fail']),
      found: z.string(),
      remedy: z.array(z.string()).optional(),
    }),
  ),
});

/** A PATH with node and the named scripts alone: other tools of this machine are hidden. */
function pathWith(scripts: Readonly<Record<string, string>> = {}): string {
  const bin = join(folder, 'bin');
  mkdirSync(bin, { recursive: true });
  symlinkSync(process.execPath, join(bin, 'node'));
  for (const [name, script] of Object.entries(scripts)) {
    writeFileSync(join(bin, name), `#!/bin/sh\n${script}\n`);
    chmodSync(join(bin, name), 0o755);
  }
  return bin;
}

async function run(words: readonly string[], env: NodeJS.ProcessEnv, checkout = root) {
  const child = spawn(process.execPath, [join(checkout, 'coordinator/bin/crossfold.cjs'), 'doctor', ...words], {
    cwd: folder,
    env: { HOME: folder, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let [out, err] = ['', ''];
  child.stdout.on('data', (text) => {
    out += text;
  });
  child.stderr.on('data', (text) => {
    err += text;
  });
  const [code] = (await once(child, 'close')) as [number | null];
  return { code, out, err };
}

async function examine(env: NodeJS.ProcessEnv, words: readonly string[] = [], checkout = root) {
  const { code, out } = await run(['--json', ...words], env, checkout);
  const { ready, checks } = Report.parse(JSON.parse(out));
  return { code, ready, of: (name: string) => checks.find(({ check }) => check === name) };
}

describe('doctor', () => {
  it('finds a machine that is set up ready, engine included', async () => {
    const { code, ready, of } = await examine(process.env);
    expect({ code, ready }).toEqual({ code: 0, ready: true });
    expect(of('engine')).toMatchObject({ status: 'ok', found: expect.stringMatching(/^tensorflow 2\.\d+\.\d+ on /) });
    expect(of('nats-server')?.status).toBe('ok');
    expect(of('broker')).toBeUndefined();
  });

  it('says in words what it has found, and writes nothing', async () => {
    const { code, out, err } = await run([], { PATH: pathWith() });
    expect({ code, err }).toEqual({ code: 0, err: '' });
    expect(out).toMatch(/^ok {4}node +v\d+/);
    expect(out).toMatch(/\nready[^\n]*\n$/);
    expect(readdirSync(folder)).toEqual(['bin']);
  });

  it('without compiler and engine: names how to get one', async () => {
    // An empty cache: the engine that is linked is not the one that set-up would want there.
    const { of } = await examine({
      PATH: pathWith(),
      CROSSFOLD_CACHE: join(folder, 'cache'),
      CROSSFOLD_TENSORFLOW: 'cpu',
    });
    expect(of('compiler')).toMatchObject({
      status: 'warn',
      remedy: expect.arrayContaining(['Debian, Ubuntu: apt-get install -y g++']),
    });
    expect(of('python')).toEqual({ check: 'python', status: 'ok', found: 'none, and none is needed' });
  });

  it('in a fresh checkout without npm, network or anything: runs all the same, and says what is missing', async () => {
    const checkout = join(folder, 'a checkout');
    for (const part of ['setup', 'coordinator/bin', 'package.json', 'package-lock.json', 'shared', 'worker'])
      cpSync(join(root, part), join(checkout, part), {
        recursive: true,
        filter: (file) => !/node_modules|\/dist(\/|$)/.test(file.slice(root.length)),
      });
    mkdirSync(join(checkout, 'coordinator/src'));
    for (const file of ['package.json', 'tsconfig.json'])
      cpSync(join(root, 'coordinator', file), join(checkout, 'coordinator', file));
    const { code, of } = await examine({ PATH: pathWith() }, ['--nats', 'nats://127.0.0.1:9'], checkout);
    expect(code).toBe(1);
    expect(of('packages')).toMatchObject({
      status: 'fail',
      remedy: expect.arrayContaining([expect.stringContaining('npm is not on the PATH')]),
    });
    expect(of('engine')).toMatchObject({ status: 'fail', found: 'does not load: npm packages are missing' });
    expect(of('nats-server')?.remedy).toContain('npm run setup fetches one');
    expect(of('broker')?.found).toContain('cannot be asked before packages');
  });

  it.each([
    ['that works', 'echo nats-server: v2.12.1', 'ok', '2.12.1'],
    ['that is too old', 'echo nats-server: v2.2.0', 'fail', 'v2.2.0, older than 2.10'],
    ['that does not run', 'echo no such library >&2; exit 127', 'fail', 'does not run: no such library'],
  ])('a nats-server %s', async (_, script, status, found) => {
    const { of } = await examine({ PATH: pathWith({ 'nats-server': script }) });
    expect(of('nats-server')).toMatchObject({ status, found: expect.stringContaining(found) });
  });

  it.each([
    [
      'that the engine leaves alone',
      'echo "NVIDIA H100 80GB HBM3, 570.86.15, 81559, 4"',
      'does not use it',
      'CROSSFOLD_TENSORFLOW=gpu',
    ],
    [
      'with an old driver',
      'echo "Tesla K80, 450.80.02, 11441, 0"',
      'driver 450.80.02',
      'update the NVIDIA driver to 525',
    ],
    ['that has lost its driver', 'echo "Driver/library version mismatch"; exit 18', 'version mismatch', 'reboot'],
  ])('a GPU %s', async (_, script, found, remedy) => {
    const { code, of } = await examine({ PATH: pathWith({ 'nvidia-smi': script }) });
    expect(of('gpu')).toMatchObject({ status: 'warn', found: expect.stringContaining(found) });
    expect(of('gpu')?.remedy?.join()).toContain(remedy);
    expect(code).toBe(0);
  });

  it('no GPU, where TensorFlow is the one for GPUs', async () => {
    const PATH = pathWith();
    const identity = { backend: 'tensorflow', version: '2.21.0', device: 'cpu', instructions: 'x64 avx2' };
    const patient = (cuda: string | null, env = {}): Patient => ({
      root,
      env: { PATH, ...env },
      nats: undefined,
      setup: undefined,
      identity: async () => ({ identity, cuda }),
      asked: async () => ({ why: 'nobody asks' }),
    });
    const libraries = 'CUDA 12.9.79, cuDNN 9.28.0.42';
    expect(await gpu(patient(libraries))).toMatchObject({
      status: 'warn',
      found: `no NVIDIA GPU: CPUs are used, though TensorFlow is the one for GPUs (${libraries})`,
      remedy: expect.arrayContaining([expect.stringContaining("NVIDIA's driver, 525 or newer")]),
    });
    for (const fine of [patient(null), patient(libraries, { CROSSFOLD_TENSORFLOW: 'cpu' })])
      expect(await gpu(fine)).toEqual({ status: 'ok', found: 'no NVIDIA GPU: CPUs are used' });
  });

  it('a cache that cannot be written', async () => {
    writeFileSync(join(folder, 'file'), '');
    // Root may write anywhere but into what is no folder, /proc apart.
    const { code, of } = await examine({ PATH: pathWith(), CROSSFOLD_CACHE: '/proc/crossfold' });
    expect(of('disk')).toMatchObject({ status: 'fail', remedy: [expect.stringContaining('CROSSFOLD_CACHE')] });
    expect(code).toBe(1);
  });

  it('a metrics port that is taken is no fault', async () => {
    const taken = createServer();
    const mine = await new Promise<boolean>((done) => {
      taken.once('error', () => done(false));
      taken.listen(9470, '127.0.0.1', () => done(true));
    });
    try {
      const { of } = await examine({ PATH: pathWith() });
      expect(of('ports')).toMatchObject({ status: 'ok', found: expect.stringContaining('9470') });
    } finally {
      if (mine) taken.close();
    }
  });

  it('an unknown option is bad usage; help is none', async () => {
    expect(await run(['--nat', 'x'], process.env)).toMatchObject({
      code: 2,
      out: '',
      err: expect.stringMatching(/^crossfold: Unknown option '--nat'[^\n]*\n$/),
    });
    expect((await run(['--help'], process.env)).out).toContain('$ crossfold doctor');
  });
});

describe('a broker that is named', () => {
  let broker: TestBroker;
  beforeAll(async () => {
    broker = await startBroker();
  });
  afterAll(() => broker.stop());

  it('is reached, has JetStream and room, and is told of without credentials', async () => {
    const { code, of } = await examine({ PATH: pathWith() }, ['--nats', broker.url]);
    expect(of('broker')).toMatchObject({
      status: 'ok',
      found: expect.stringMatching(/max_payload 1048576 bytes, JetStream on$/),
    });
    expect(code).toBe(0);
  });

  it('may be named by the environment, and not be there', async () => {
    const { code, of } = await examine({ PATH: pathWith(), CROSSFOLD_NATS_URL: 'nats://me:secret@127.0.0.1:9' });
    expect(of('broker')).toMatchObject({
      status: 'fail',
      found: expect.stringMatching(/^cannot reach the broker at 127\.0\.0\.1:9/),
    });
    expect(code).toBe(1);
  });

  it('without JetStream is not good enough', async () => {
    const bare = await startBroker({ jetStream: false });
    try {
      const { code, of } = await examine({ PATH: pathWith() }, ['--nats', bare.url]);
      expect(of('broker')).toMatchObject({
        status: 'fail',
        found: expect.stringContaining('JetStream off'),
        remedy: [expect.stringContaining('nats-server -js')],
      });
      expect(code).toBe(1);
    } finally {
      await bare.stop();
    }
  });

  it.each([
    [9000, 'warn', '9.0 s behind'],
    [-9000, 'warn', '9.0 s ahead of'],
    [400, 'ok', '0.4 s behind'],
  ])("whose clock is %i ms ahead of this machine's", async (skewMs, status, found) => {
    const answer = { version: '2.15.1', maxPayload: 1 << 20, jetstream: undefined, roundTripMs: 1, skewMs };
    const patient = { root, env: {}, nats: broker.url, asked: async () => answer };
    const finding = await clock(patient as Parameters<typeof clock>[0]);
    expect(finding).toMatchObject({ status, found: expect.stringContaining(`${found} the broker's`) });
    expect(finding.remedy?.join() ?? '').toContain(status === 'warn' ? 'timedatectl set-ntp true' : '');
  });

  it('with small messages is not good enough', async () => {
    const config = join(folder, 'small.conf');
    writeFileSync(config, 'max_payload: 8KB\n');
    const small = await startBroker({ config });
    try {
      const { of } = await examine({ PATH: pathWith() }, ['--nats', small.url]);
      expect(of('broker')).toMatchObject({ status: 'fail', remedy: [expect.stringContaining('max_payload')] });
    } finally {
      await small.stop();
    }
  });
});
