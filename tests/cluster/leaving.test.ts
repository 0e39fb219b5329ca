import { existsSync, readFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { isAlive } from '@crossfold/coordinator/cluster/lock';
import { Results } from '@crossfold/shared/results';
import { pause } from '@crossfold/shared/wait';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { stringify } from 'yaml';
import { bitsOf, everything } from '../support/group-experiments.ts';
import { HandStarted } from '../support/hand-started.ts';
import { Command } from '../support/processes.ts';

/** In the middle of the first epoch of eleven steps. */
const held = { at: 'computing', position: 5, do: 'hold' } as const;
const never = new AbortController().signal;

let cluster: HandStarted;
let undisturbed: ReturnType<typeof bitsOf>;
let folder: string;
beforeAll(async () => {
  cluster = await HandStarted.start();
  undisturbed = await cluster.undisturbed();
}, 120_000);
afterAll(() => cluster?.close());
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'crossfold-leaving-'));
  await writeFile(join(folder, 'experiment.yaml'), stringify(everything));
});
afterEach(async () => {
  await cluster.dismiss();
  await rm(folder, { recursive: true, force: true });
  expect(await cluster.faults()).toEqual([]);
});

describe('a worker that is asked to end', { timeout: 120_000 }, () => {
  it('finishes its step, leaves a checkpoint of it for whoever comes, and ends', async () => {
    const first = cluster.services.worker('alone', { faults: [held] });
    await first.says('ready');
    const run = cluster.run();
    await first.says('failing on purpose');
    const second = cluster.services.worker('next');
    await second.says('ready');
    first.signal('SIGTERM');
    await first.says('asked to end: handing over');
    first.signal('SIGUSR2');
    expect(await first.ended()).toMatchObject({ code: 0, signal: null });
    expect(await second.says('went on from a checkpoint')).toMatchObject({ position: 6 });
    const { record, jobs, results } = await run;
    expect(record.state).toBe('completed');
    expect(bitsOf(results)).toEqual(undisturbed);
    expect(jobs.filter(({ kind }) => kind === 'train')).toMatchObject([{ attempts: 0, failedOn: [] }]);
    await expect.poll(() => cluster.broker.checkpoints.list()).toEqual([]);
  });

  it('leaves its group to go on from memory', async () => {
    const pair = await cluster.pair({ faults: [held] });
    const { first, second } = pair;
    const { run } = await cluster.runWith(pair, everything);
    await first.says('failing on purpose');
    first.signal('SIGTERM');
    await first.says('asked to end: handing over');
    first.signal('SIGUSR2');
    expect(await first.ended()).toMatchObject({ code: 0, signal: null });
    const { results } = await run;
    expect(bitsOf(results)).toEqual(undisturbed);
    const said = second.lines.map(({ msg }) => msg);
    expect(said).not.toContain('went on from a checkpoint');
    expect(said.filter((msg) => msg === 'generation opened').length).toBeGreaterThan(1);
  });

  it('ends at once when it is asked again, though its engine hangs', async () => {
    const worker = cluster.services.worker('stuck', { faults: [{ at: 'in the engine', position: 5, do: 'hang' }] });
    await worker.says('ready');
    const run = cluster.run();
    await worker.says('failing on purpose');
    worker.signal('SIGTERM');
    await worker.says('asked to end: handing over');
    worker.signal('SIGTERM');
    expect(await worker.ended()).toMatchObject({ code: null, signal: 'SIGTERM' });
    const next = cluster.services.worker('next');
    await next.says('ready');
    expect(bitsOf((await run).results)).toEqual(undisturbed);
  });
});

describe('Ctrl-C', { timeout: 120_000 }, () => {
  const command = (...args: string[]): Command =>
    new Command(args, {
      cwd: folder,
      env: { ...process.env, CROSSFOLD_NATS_URL: '', CROSSFOLD_FAULTS: JSON.stringify([held]) },
    });

  it('on a run elsewhere only stops the watching, and says how to go on and how to end it', async () => {
    const worker = cluster.services.worker('alone', { faults: [held] });
    await worker.says('ready');
    const run = command('run', 'experiment.yaml', '--fresh', '--nats', cluster.server.url);
    await worker.says('failing on purpose');
    const [, id = ''] = await run.says(/submitted (\S+)/);
    run.signal('SIGINT');
    expect(await run.ended()).toBe(130);
    expect(run.err).toContain(`watch it with crossfold watch ${id}`);
    expect(run.err).toContain(`end it with crossfold cancel ${id}`);
    expect((await cluster.broker.experiments.get(id))?.value.state).toBe('running');

    worker.signal('SIGUSR2');
    const watch = command('watch', id, '--nats', cluster.server.url);
    expect(await watch.ended()).toBe(0);
    const again = command('resume', id, '--json', '--nats', cluster.server.url);
    expect(await again.ended()).toBe(0);
    expect(bitsOf(Results.parse(JSON.parse(again.out)))).toEqual(undisturbed);
  });

  it('on a cluster of its own ends everything, and `resume` goes on in the middle of the epoch', async () => {
    const run = command('run', 'experiment.yaml', '--workers', '1', '--out', 'out');
    const log = join(folder, 'out/logs/worker-0.log');
    const said = async (msg: string): Promise<Record<string, unknown>> => {
      for (const until = performance.now() + 40_000; performance.now() < until; await pause(50, never)) {
        const lines = existsSync(log) ? readFileSync(log, 'utf8').split('\n').slice(0, -1) : [];
        const found = lines.map((line) => JSON.parse(line)).findLast((line) => line.msg === msg);
        if (found !== undefined) return found;
      }
      throw new Error(`the worker does not say ${msg}: ${run.err}`);
    };
    const { pid } = await said('failing on purpose');
    run.signal('SIGINT');
    await said('asked to end: handing over');
    process.kill(Number(pid), 'SIGUSR2');
    expect(await run.ended()).toBe(130);
    expect(run.err).toContain('go on with: crossfold resume out');
    const started = readFileSync(join(folder, 'out/logs/cli.log'), 'utf8').matchAll(/"process":(\d+)/g);
    const processes = [...started].map(([, process]) => Number(process));
    expect(processes.length).toBeGreaterThan(2);
    expect(processes.filter(isAlive)).toEqual([]);

    const again = new Command(['resume', 'out', '--json'], {
      cwd: folder,
      env: { ...process.env, CROSSFOLD_NATS_URL: '' },
    });
    expect({ code: await again.ended(), err: again.err }).toMatchObject({ code: 0 });
    expect(await said('went on from a checkpoint')).toMatchObject({ position: 6 });
    expect(bitsOf(Results.parse(JSON.parse(again.out)))).toEqual(undisturbed);
  });
});
