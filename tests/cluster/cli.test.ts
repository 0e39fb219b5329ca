import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import type { AddressInfo } from 'node:net';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { text } from 'node:stream/consumers';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

const root = resolve(import.meta.dirname, '../..');
const program = join(root, 'coordinator/bin/main.cjs');
const example = join(root, 'examples/mnist-kfold.yaml');

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'crossfold-cli-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

interface Ended {
  readonly code: number;
  readonly out: string;
  readonly err: string;
  readonly ms: number;
}

async function crossfold(words: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<Ended> {
  const started = performance.now();
  const child = spawn(process.execPath, [program, ...words], {
    cwd: folder,
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const [out, err, [code]] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'close')]);
  return { code, out, err, ms: performance.now() - started };
}

describe('the command line as a process', () => {
  it('ends with code 2 and one line for wrong usage', async () => {
    const { code, out, err } = await crossfold(['run', example, '--set', 'evaluation.folds=1']);
    expect({ code, out }).toEqual({ code: 2, out: '' });
    expect(err).toMatch(
      /^crossfold: --set evaluation\.folds=1: evaluation\.folds is 1: must be a whole number [^\n]*\n$/,
    );
    expect(existsSync(join(folder, 'runs'))).toBe(false);
  });

  it.each([
    ['run', ['run', example]],
    ['list', ['list']],
    ['coordinator', ['coordinator']],
  ])('%s ends with code 3 and one line where nothing listens', async (_, words) => {
    // Below those that systems give out: nothing listens there.
    const { code, out, err } = await crossfold(words, { CROSSFOLD_NATS_URL: 'nats://me:secret@127.0.0.1:9' });
    // A service's standard output is its log.
    const said = out.split('\n').filter((line) => line !== '' && !line.startsWith('{"level"'));
    expect({ code, said }).toEqual({ code: 3, said: [] });
    expect(err).toMatch(/^crossfold: cannot reach the broker at 127\.0\.0\.1:9: [^\n]*\n$/);
    expect(err).not.toContain('secret');
  });

  it.each(['run', 'submit'])(
    '%s --dry-run says what it comes to; starts and writes nothing',
    async (verb) => {
      const { code, out } = await crossfold([verb, example, '--dry-run', '--json', '--set', 'dataset.limit=500']);
      expect(code).toBe(0);
      const run = JSON.parse(out);
      expect(run).toMatchObject({ jobs: 5, trials: [{ weights: 93_322, stepsPerEpoch: 7 }] });
      expect(run.estimate.workerSeconds[1]).toBeGreaterThan(0);
      expect(await readdir(folder)).toEqual([]);
    },
    60_000,
  );

  it.each([
    ['an address that is none', ['list', '--nats', 'nats://a b'], /"nats:\/\/a b" is not a broker's address/],
    [
      'a folder that cannot be',
      ['run', example, '--out', '/proc/nothing/here'],
      /--out is \/proc\/nothing\/here: cannot be/,
    ],
    [
      'more folds than any class has samples',
      ['run', example, '--set', 'dataset.limit=20'],
      /evaluation\.folds is 5: must be/,
    ],
  ])('ends with code 2 and one line for %s', async (_, words, message) => {
    const { code, err } = await crossfold(words);
    expect(code).toBe(2);
    expect(err).toMatch(/^[^\n]*\n$/);
    expect(err).toMatch(message);
    expect(await readdir(folder)).toEqual([]);
  });

  it('names a port for the broker that another program has', async () => {
    const other = createServer(() => undefined).listen(0, '127.0.0.1');
    await once(other, 'listening');
    const { port } = other.address() as AddressInfo;
    const { code, err } = await crossfold(['up', '--workers', '1', '--port', String(port), '--dir', 'taken']);
    other.close();
    expect(code).toBe(2);
    expect(err).toMatch(/^crossfold: --port is \d+: another program listens there, [^\n]*\n$/);
  });

  it('gives up on a broker that does not answer', async () => {
    const mute = createServer(() => undefined).listen(0, '127.0.0.1');
    await once(mute, 'listening');
    const { port } = mute.address() as AddressInfo;
    const { code, err, ms } = await crossfold(['list', '--nats', `nats://127.0.0.1:${port}`]);
    mute.close();
    expect(code).toBe(3);
    expect(err).toMatch(/^crossfold: cannot reach the broker at [^\n]*\n$/);
    // It has waited, and it has ended.
    expect(ms).toBeGreaterThan(4000);
  });
});
