import { existsSync, symlinkSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { main } from '@crossfold/coordinator/cli/main';
import type { Outcome } from '@crossfold/coordinator/client/types';
import { loadExperiment } from '@crossfold/coordinator/config/load';
import { ConfigError, ExitCode, ExperimentFailedError, UnreachableError } from '@crossfold/shared/errors';
import { aborted } from '@crossfold/shared/wait';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { experimentRecord, type FakeBehaviour, type FakeWorld, fakeWorld } from '../support/fake-client.ts';
import { storyOutcome } from '../support/finished.ts';

const id = 'tiny-20260102-030405-beef';
const text = `dataset: { name: mnist, limit: 100 }
model: { preset: mnist-convnet }
training: { epochs: 1, optimizer: { name: rmsprop } }
threadsPerWorker: 2
exchange: nats
`;
let folder: string;
let file: string;
let run: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'crossfold-cli-'));
  file = join(folder, 'tiny.yaml');
  run = join(folder, 'run');
  await writeFile(file, text);
});
afterEach(() => rm(folder, { recursive: true }));

async function crossfold(
  words: readonly string[],
  behaviour: FakeBehaviour = {},
): Promise<FakeWorld & { code: number }> {
  const world = fakeWorld(behaviour);
  const code = await main(words, world.context);
  return { ...world, code };
}

describe('wrong usage ends with code 2 and one line', () => {
  it.each([
    ['an unknown verb', ['rnu'], "crossfold: unknown command 'rnu' (Did you mean run?)\n"],
    [
      'no verb at all',
      ['frobnicate'],
      "crossfold: unknown command 'frobnicate'; crossfold --help lists the commands\n",
    ],
    [
      'an unknown option',
      ['run', 'x.yaml', '--worker', '2'],
      "crossfold: unknown option '--worker' (Did you mean --workers?)\n",
    ],
    [
      'a word that would move the terminal',
      ['run', 'x.yaml', '--\u001b[2Jx\u202e'],
      "crossfold: unknown option '--?[2Jx?'; crossfold run --help shows how to use it\n",
    ],
    [
      'a missing argument',
      ['run'],
      "crossfold: missing required argument 'file'; crossfold run --help shows how to use it\n",
    ],
    [
      'a missing argument of a verb of a verb',
      ['data', 'show'],
      "crossfold: missing required argument 'name'; crossfold data show --help shows how to use it\n",
    ],
    [
      'a wrong number',
      ['run', 'x.yaml', '--workers', '0'],
      "crossfold: option '--workers <n>' argument '0' is invalid. It must be a whole number from 1 to 1024.\n",
    ],
    [
      'a wrong choice',
      ['worker', '--exchange', 'mpi'],
      "crossfold: option '--exchange <transport>' argument 'mpi' is invalid. Allowed choices are auto, nats, direct.\n",
    ],
    [
      'no broker where one is needed',
      ['list'],
      'crossfold: no broker named: give --nats URL or set CROSSFOLD_NATS_URL (`crossfold up` starts a cluster here and prints its address)\n',
    ],
  ])('%s', async (_, words, message) => {
    const { code, out, err, done } = await crossfold(words);
    expect({ code, out: out(), err: err() }).toEqual({ code: ExitCode.usage, out: '', err: message });
    expect(done).toEqual([]);
  });

  it('a file that is not there', async () => {
    const { code, err } = await crossfold(['run', join(folder, 'none.yaml')]);
    expect(code).toBe(ExitCode.usage);
    expect(err()).toMatch(/^crossfold: .*none\.yaml: no such file; [^\n]*\n$/);
  });

  it('a folder for the results that has something in it', async () => {
    await mkdir(run);
    await writeFile(join(run, 'thesis.txt'), '');
    const { code, err, done } = await crossfold(['run', file, '--out', run]);
    expect(code).toBe(ExitCode.usage);
    expect(err()).toBe(`crossfold: --out is ${run}: the folder is not empty; name another with --out, or empty it\n`);
    expect(done).toEqual([]);
    expect(await readdir(run)).toEqual(['thesis.txt']);
  });

  it('nothing to resume', async () => {
    const { code, err } = await crossfold(['resume', 'gone']);
    expect({ code, err: err() }).toEqual({
      code: ExitCode.usage,
      err: "crossfold: nothing to go on with: there is no run's folder at gone or runs/gone; name one, or the cluster that has the experiment by --nats URL or CROSSFOLD_NATS_URL\n",
    });
  });
});

describe('errors', () => {
  const failing = (error: Error) => crossfold(['list', '--nats', 'nats://x'], { connect: () => Promise.reject(error) });

  it('end with the code of their class, on one line, without a stack or a password', async () => {
    const { code, err } = await failing(new UnreachableError('cannot reach\nnats://me:secret@host:1'));
    expect({ code, err: err() }).toEqual({ code: 3, err: 'crossfold: cannot reach nats://***@host:1\n' });
  });

  it('that nobody expected keep their stack and say that they are defects', async () => {
    const { code, err } = await failing(new TypeError('x is not a function'));
    expect(code).toBe(1);
    expect(err()).toMatch(/TypeError: x is not a function\n\s+at [\s\S]*this is a defect/);
  });
});

describe('help', () => {
  it('is there for every verb, with examples, and is no error', async () => {
    const { out, code } = await crossfold(['--help']);
    expect(code).toBe(0);
    const verbs = [...out().matchAll(/^ {2}([a-z]+)[ |]/gm)].map((match) => match[1] ?? '').filter((v) => v !== 'help');
    expect(verbs).toEqual(
      expect.arrayContaining([
        'run',
        'resume',
        'submit',
        'status',
        'watch',
        'list',
        'cancel',
        'up',
        'coordinator',
        'worker',
      ]),
    );
    for (const verb of verbs) {
      const help = await crossfold([verb, '--help']);
      expect(help.code).toBe(0);
      expect(help.out()).toContain(`$ crossfold ${verb}`);
    }
  });
});

it('help fits terminals of 40 columns', async () => {
  for (const words of [[], ['run'], ['evaluate'], ['worker'], ['inspect', 'activations'], ['data', 'import']]) {
    const { context, out } = fakeWorld();
    const narrow = { ...context, out: { columns: 40, write: (text: string) => context.out.write(text) } };
    expect(await main([...words, '--help'], narrow)).toBe(0);
    // A command line is for copying.
    const lines = out()
      .split('\n')
      .filter((line) => !/^(Usage:| {2}\$ )/.test(line));
    expect(lines.length).toBeGreaterThan(20);
    expect(lines.filter((line) => line.length > 40)).toEqual([]);
  }
});

describe("a run's folder where a cluster's experiment is asked for", () => {
  beforeEach(async () => {
    await mkdir(run);
    await writeFile(join(run, 'experiment.yaml'), text);
  });

  it.each([['status'], ['watch'], ['cancel']])('%s names the verbs that look at it', async (verb) => {
    for (const nats of [[], ['--nats', 'nats://x']]) {
      const { code, err, done } = await crossfold([verb, run, ...nats]);
      expect(code).toBe(ExitCode.usage);
      expect(err()).toMatch(/is a run's folder: crossfold report \S+ shows .* crossfold resume \S+ goes on/);
      expect(done).toEqual([]);
    }
  });

  it('refit says that its cluster has ended, and inspect where its experiment is', async () => {
    expect((await crossfold(['refit', run])).err()).toContain(`crossfold run ${run}/experiment.yaml --set final=refit`);
    expect((await crossfold(['refit', folder])).err()).toContain('no broker named');
    expect((await crossfold(['inspect', 'summary', run])).err()).toContain(`its experiment is ${run}/experiment.yaml`);
  });
});

describe('a run on an embedded cluster', () => {
  it('starts it, submits, follows, and ends it', async () => {
    const { code, done, started, submitted } = await crossfold([
      'run',
      file,
      '--out',
      run,
      '--workers',
      '3',
      '--set',
      'seed=7',
    ]);
    expect(code).toBe(0);
    expect(done).toEqual([
      'start 3',
      'connect nats://crossfold:secret@127.0.0.1:1',
      `submit ${id}`,
      'close',
      'stop kill',
      'remove',
    ]);
    expect(started[0]).toMatchObject({ folder: run, threads: 2, exchange: 'nats' });
    expect(submitted.get(id)).toMatchObject({ name: 'tiny', seed: 7 });
    const resolved = await loadExperiment(join(run, 'experiment.yaml'));
    expect(resolved.experiment).toEqual(submitted.get(id));
  });

  it('that is interrupted says how to go on, and does', async () => {
    const first = await crossfold(['run', file, '--out', run, '--workers', '2'], {
      async *follow(_, signal, world) {
        yield { type: 'experiment', state: 'running', jobs: 5 };
        world.interrupt();
        await aborted(signal);
      },
    });
    expect(first.code).toBe(ExitCode.interrupted);
    expect(first.err()).toMatch(new RegExp(`crossfold: interrupted; go on with: crossfold resume ${run}\n$`));
    expect(first.done.slice(-2)).toEqual(['close', 'stop drain']);

    const again = await crossfold(['run', file, '--out', run]);
    expect(again.code).toBe(ExitCode.usage);
    expect(again.err()).toContain(`go on with the run that is in it by \`crossfold resume ${run}\``);

    const next = await crossfold(['resume', run]);
    expect(next.code).toBe(0);
    expect(next.done).toContain('start 2');
    expect(next.submitted.get(id)).toEqual(first.submitted.get(id));
  });

  it('that is there already is followed, not submitted again', async () => {
    const world = fakeWorld({ outcome: () => ({ record: experimentRecord(id) }) });
    const first = await crossfold(['run', file, '--out', run, '--workers', '2'], {
      connect: () => Promise.reject(new UnreachableError('no')),
    });
    expect(first.code).toBe(ExitCode.unreachable);
    const { experiment } = await loadExperiment(file);
    world.records.set(id, experimentRecord(id, { state: 'running' }));
    world.submitted.set(id, experiment);
    expect(await main(['resume', run], world.context)).toBe(0);
    expect(world.done.filter((what) => what.startsWith('submit'))).toEqual([]);
  });

  const failing = (badConfiguration: boolean): NonNullable<FakeBehaviour['follow']> =>
    async function* (running, _signal, world) {
      world.records.set(
        running,
        experimentRecord(running, { state: 'failed', error: 'fold 0:\nno', badConfiguration }),
      );
      yield { type: 'experiment', state: 'failed' };
    };

  it('that fails ends with code and reason, and keeps its state', async () => {
    const { code, err, done } = await crossfold(['run', file, '--out', run], { follow: failing(false) });
    expect(code).toBe(ExitCode.failed);
    expect(err()).toMatch(/crossfold: the experiment failed: fold 0: no\n/);
    expect(err()).toMatch(/try what failed again with: crossfold resume [^\n]*\n$/);
    expect(done).not.toContain('remove');
    expect(existsSync(run)).toBe(true);
  });

  it('whose data turn out not to fit is wrong usage, and leaves nothing behind', async () => {
    const { code, err } = await crossfold(['run', file, '--out', run], { follow: failing(true) });
    expect(code).toBe(ExitCode.usage);
    expect(err()).toMatch(/crossfold: the experiment failed: fold 0: no\n$/);
    expect(existsSync(run)).toBe(false);
  });

  it('whose cluster breaks ends with what broke', async () => {
    const { code, err, done } = await crossfold(['run', file, '--out', run], {
      async *follow(_, signal, world) {
        world.started[0]?.onFailure(new ExperimentFailedError('worker-0 ended 5 times within 60 s'));
        await aborted(signal);
        yield* [];
      },
    });
    expect({ code, last: done.at(-1) }).toEqual({ code: 1, last: 'stop drain' });
    expect(err()).toMatch(/crossfold: worker-0 ended 5 times within 60 s; .* go on with crossfold resume [^\n]*run\n$/);
  });

  it('that turns out to be wrong usage leaves nothing behind', async () => {
    const { code } = await crossfold(['run', file, '--out', run], {
      connect: () => Promise.reject(new ConfigError('no')),
    });
    expect(code).toBe(ExitCode.usage);
    expect(existsSync(run)).toBe(false);
  });
});

describe('a run whose folder is on a full disk', () => {
  // Whatever is written to that device the system refuses as a full disk does.
  const full = (): Partial<Outcome> => {
    symlinkSync('/dev/full', join(run, `.experiment.yaml.${process.pid}`));
    return { results: storyOutcome().results };
  };

  it.each([
    ['on an embedded cluster', [], (folder: string) => `crossfold resume ${folder}`],
    ['elsewhere', ['--nats', 'nats://elsewhere:4222'], (folder: string) => `crossfold resume ${id} --out ${folder}`],
  ])('says so in the end, and how to go on (%s)', async (_, options, goOn) => {
    const { code, err, done } = await crossfold(['run', file, '--out', run, ...options], { outcome: full });
    expect(code).toBe(ExitCode.failed);
    expect(err().split('\n').at(-2)).toBe(
      `crossfold: the run's folder ${run} cannot be written (its disk is full); nothing that was computed is lost: once that is mended, go on with ${goOn(run)}`,
    );
    expect(err()).not.toContain('defect');
    expect(done).not.toContain('remove');
  });
});

describe('a run on a cluster elsewhere', () => {
  const nats = 'nats://elsewhere:4222';

  it('is a client: nothing is started, and an interrupt ends only the watching', async () => {
    const { code, err, done, records } = await crossfold(['run', file, '--out', run, '--nats', nats], {
      async *follow(_, signal, world) {
        world.interrupt();
        await aborted(signal);
        yield* [];
      },
    });
    expect(code).toBe(ExitCode.interrupted);
    expect(done).toEqual([`connect ${nats}`, `submit ${id}`, 'close']);
    expect(err()).toContain(`follow it again with crossfold resume ${id}, or end it with crossfold cancel ${id}`);
    expect(records.get(id)?.state).toBe('running');
  });

  it('may be named by the environment', async () => {
    const { done } = await crossfold(['run', file, '--out', run], { env: { CROSSFOLD_NATS_URL: nats } });
    expect(done[0]).toBe(`connect ${nats}`);
  });

  it.each(['resume', 'refit'])('leaves no folder behind where it refuses to %s', async (verb) => {
    const { code, err } = await crossfold([verb, 'gone', '--nats', nats, '--out', run]);
    expect(code).toBe(ExitCode.usage);
    expect(err()).toContain('there is no experiment gone');
    expect(existsSync(run)).toBe(false);
  });

  it('has workers of its own', async () => {
    const { code, err } = await crossfold(['run', file, '--nats', nats, '--workers', '2']);
    expect(code).toBe(ExitCode.usage);
    expect(err()).toContain('--workers is for an embedded cluster');
  });

  it('that is not there leaves nothing behind', async () => {
    const { code } = await crossfold(['run', file, '--nats', nats, '--out', run], {
      connect: () => Promise.reject(new UnreachableError('no')),
    });
    expect(code).toBe(ExitCode.unreachable);
    expect(existsSync(run)).toBe(false);
  });
});

describe('questions', () => {
  const nats = ['--nats', 'nats://x'];

  it('submit prints the id, and nothing else', async () => {
    expect((await crossfold(['submit', file, ...nats])).out()).toBe(`${id}\n`);
    expect(JSON.parse((await crossfold(['submit', file, ...nats, '--json'])).out())).toEqual({ id });
  });

  it('list, status and cancel show records as tables or JSON', async () => {
    const world = fakeWorld();
    world.records.set('a', experimentRecord('a', { state: 'running', finishedAt: null }));
    world.records.set('b', experimentRecord('b', { state: 'failed', error: 'no\nluck' }));
    const ask = async (...words: string[]): Promise<string> => {
      const before = world.out().length;
      expect(await main([...words, ...nats], world.context)).toBe(0);
      return world.out().slice(before);
    };
    expect(await ask('list')).toMatch(/^ID {2}STATE.*\na {3}running .*\nb {3}failed .*no luck\n$/);
    expect(JSON.parse(await ask('status', '--json'))).toMatchObject([
      { ...world.records.get('a'), standing: { progress: 0, folds: [] } },
    ]);
    expect(await ask('status')).toMatch(/^ID .* DONE {2}LEFT .*\na {3}running .* 0 %/);
    // What was given up is not done.
    expect(await ask('status', 'b')).toMatch(/\nb {3}failed .*no luck\n/);
    expect(await ask('status', 'b')).not.toContain(' %');
    expect(await ask('cancel', 'a')).toBe('a: cancelled\n');
    expect(await main(['status', 'c', ...nats], world.context)).toBe(ExitCode.usage);
  });

  it('remove says what goes, and wants ids or an age', async () => {
    const world = fakeWorld({ env: { CROSSFOLD_NATS_URL: 'nats://x' } });
    world.records.set(id, experimentRecord(id));
    expect(await main(['remove', id, '--dry-run'], world.context)).toBe(0);
    expect(world.out()).toBe(`${id}: would be removed, 1 job, 1.5 kB of nets and results\n`);
    expect(await main(['remove', '--older-than', '30d', '--json'], world.context)).toBe(0);
    expect(JSON.parse(world.out().split('\n')[1] ?? '')).toMatchObject([{ id, jobs: 1, artifacts: 1500, data: 0 }]);
    expect(world.done.filter((step) => step.includes('remove'))).toEqual([`would remove ${id}`, `remove ${id}`]);
    expect(await main(['remove'], world.context)).toBe(2);
    expect(await main(['remove', id, '--older-than', '1d'], world.context)).toBe(2);
    expect(await main(['remove', '--older-than', 'long'], world.context)).toBe(2);
    expect(world.err()).toBe(
      [
        'crossfold: say what to remove: ids of experiments (`crossfold list` shows them), or --older-than 30d',
        'crossfold: give either ids or --older-than, not both',
        "crossfold: option '--older-than <age>' argument 'long' is invalid. It must be a time as in 30d, 12h, 90m or 4w (days, hours, minutes, weeks).",
        '',
      ].join('\n'),
    );
  });

  it('watch ends with the code of the experiment', async () => {
    const world = fakeWorld();
    world.records.set('a', experimentRecord('a', { state: 'running' }));
    expect(await main(['watch', 'a', ...nats], world.context)).toBe(0);
    expect(world.out()).toBe('a: completed\n');
    expect(await main(['watch', 'z', ...nats], world.context)).toBe(ExitCode.usage);
  });
});

it('resolved experiments read like the file', async () => {
  await crossfold(['run', file, '--out', run]);
  expect(await readFile(join(run, 'experiment.yaml'), 'utf8')).toContain('threadsPerWorker: 2\n');
});

describe('--timeline', () => {
  it.each([[[]], [['--nats', 'nats://x']]])(
    'records from before the submission until the end, with %j',
    async (more) => {
      const words = ['run', file, '--out', run, '--timeline', 'trace.json', ...more];
      const { code, done, err } = await crossfold(words);
      expect(code).toBe(0);
      const steps = done
        .filter((step) => /^(record|submit|stop recording)/.test(step))
        .map((step) => step.split(' ')[0]);
      expect(steps).toEqual(['record', 'submit', 'stop']);
      expect(done).toContain(`record ${id} to trace.json`);
      expect(err()).toContain('timeline: trace.json (3 entries; clocks agree to 0.5 ms)');
    },
  );
});
