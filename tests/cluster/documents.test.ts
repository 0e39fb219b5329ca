import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parse, stringify } from 'yaml';
import { commandsElsewhere, elsewhere } from '../support/commands-elsewhere.ts';
import { documentedCommands, read, root } from '../support/documents.ts';
import { writeFiles } from '../support/pictures.ts';
import { unsettledJobs } from '../support/record-check.ts';
import { WatchedClusters } from '../support/watched-clusters.ts';

// The documents' commands as they stand there, in a folder that is the checkout but for its examples, which are small.
const unlisted = documentedCommands.filter(({ line }) => elsewhere(line) === undefined);
/** Nothing but what cannot harm the checkout is run. */
const isOurs = (line: string): boolean =>
  /^(npx crossfold |npm start$|npm run (setup|sbom|audit)$|npm config )/.test(line);
const here = unlisted.filter(({ line }) => isOurs(line));
const foreign = unlisted.filter(({ line }) => !isOurs(line));
const isCluster = (line: string): boolean => /^npx crossfold up\b/.test(line);
const isSubmit = (line: string): boolean => /^npx crossfold submit\b/.test(line);
const example = 'examples/mnist-kfold.yaml';
const interrupted = 'runs/interrupted';

/** For a busy machine; a command takes seconds. */
const patience = 240_000;

let folder: string;
/** The cluster that a document starts, its address, and the experiment that another document submits to it. */
let cluster: { readonly child: ChildProcess; readonly url: string };
let id = '';
let clusters: WatchedClusters;

/** A checkout whose examples train for moments. */
async function smallCheckout(): Promise<string> {
  const made = mkdtempSync(join(tmpdir(), 'crossfold documents '));
  for (const name of readdirSync(root))
    if (!['.git', 'examples', 'runs'].includes(name)) symlinkSync(join(root, name), join(made, name));
  mkdirSync(join(made, 'examples'));
  for (const name of readdirSync(join(root, 'examples'))) {
    if (!name.endsWith('.yaml'))
      cpSync(join(root, 'examples', name), join(made, 'examples', name), { recursive: true });
    else {
      const experiment = parse(readFileSync(join(root, 'examples', name), 'utf8')) as Record<string, unknown>;
      const dataset = experiment.dataset as Record<string, unknown>;
      const training = experiment.training as Record<string, unknown>;
      const small =
        dataset.path === undefined
          ? { ...experiment, dataset: { ...dataset, limit: 300 }, evaluation: { method: 'kfold', folds: 3 } }
          : { ...experiment, dataset: { ...dataset, path: '../photographs' } };
      const { stepsPerEpoch: _, ...asLong } = training;
      Object.assign(small, { training: { ...asLong, epochs: 1 } });
      writeFileSync(join(made, 'examples', name), stringify(small));
    }
  }
  const sides = { cats: [200, 120, 40], dogs: [40, 120, 200] } as const;
  for (const [name, rgb] of Object.entries(sides))
    for (const part of ['train', 'validation', 'test'])
      for (let n = 0; n < 4; n++)
        await writeFiles(join(made, 'photographs', part, name), { [`${n}.jpg`]: { rgb, size: 24 + n } });
  return made;
}

/** What stands for something in a command of a document, put in. */
const filledIn = (line: string): string =>
  line
    .replace(/nats:\/\/\S+/, `'${cluster?.url}'`)
    .replace('../shared/data/cats_and_dogs_small', 'photographs')
    .replace(/\bFILE\b/, example)
    .replace('runs/<id>', interrupted)
    .replace(/ ID\b/, ` ${id}`);

function start(line: string): ChildProcess {
  const env = {
    ...process.env,
    PATH: `${join(folder, 'node_modules', '.bin')}:${process.env.PATH}`,
    NO_COLOR: '1',
    // npm's settings of whoever runs the tests stay as they are.
    npm_config_userconfig: join(folder, '.npmrc of a user'),
    // Not every registry can be asked what is known of packages.
    ...(line === 'npm run audit' ? { npm_config_offline: 'true' } : {}),
    // What is asked of an experiment is asked of the cluster that has it.
    CROSSFOLD_NATS_URL: / ID\b/.test(line) ? cluster.url : '',
  };
  const command = `exec ${filledIn(line)}`;
  return spawn('bash', ['-c', command], { cwd: folder, env, stdio: ['ignore', 'pipe', 'pipe'], detached: true });
}

/** Runs a command to its end, or interrupts it when it says something. */
async function run(line: string, until?: RegExp): Promise<{ readonly code: unknown; readonly said: string }> {
  const child = start(line);
  let said = '';
  for (const stream of [child.stdout, child.stderr])
    stream?.on('data', (text) => {
      const before = said;
      said += text;
      if (until !== undefined && !until.test(before) && until.test(said)) interrupt(child);
    });
  const [code, signal] = await once(child, 'close');
  return { code: code ?? signal, said };
}

/** As Ctrl-C does: all processes of the terminal. npx ends by the signal, what it runs with a code. */
function interrupt({ pid }: ChildProcess): void {
  if (pid !== undefined) process.kill(-pid, 'SIGINT');
}

async function well(line: string): Promise<string> {
  const { code, said } = await run(line);
  expect({ code, said: code === 0 ? '' : said }).toEqual({ code: 0, said: '' });
  return said;
}

/** Starts a documented cluster and reads the address that it prints. */
async function startCluster(line: string): Promise<typeof cluster> {
  const child = start(`${line} --http 127.0.0.1:0`);
  let said = '';
  child.stderr?.on('data', (text) => {
    said += text;
  });
  const url = await new Promise<string>((resolve, reject) => {
    child.stdout?.on('data', (text) => {
      said += text;
      const found = /CROSSFOLD_NATS_URL='(.+)'/.exec(said)?.[1];
      if (found !== undefined) resolve(found);
    });
    child.once('close', (code) => reject(new Error(`${line} ended with ${code}: ${said}`)));
  });
  return { child, url };
}

beforeAll(async () => {
  folder = await smallCheckout();
  clusters = WatchedClusters.below(join(folder, 'runs'));
  const line = here.find((command) => isCluster(command.line))?.line ?? '';
  const submit = here.find((command) => isSubmit(command.line))?.line ?? '';
  cluster = await startCluster(line);
  id = (await well(submit)).trim().split('\n').at(-1) ?? '';
  const { code } = await run(`npx crossfold run ${example} --workers 1 --out ${interrupted}`, /fold 0/);
  expect([130, 'SIGINT']).toContain(code);
}, patience);
async function endCluster(): Promise<void> {
  if (cluster === undefined || cluster.child.exitCode !== null || cluster.child.signalCode !== null) return;
  interrupt(cluster.child);
  await once(cluster.child, 'close');
}
afterAll(async () => {
  await endCluster();
  await clusters?.close();
  rmSync(folder, { recursive: true, force: true });
});

describe('commands in the documents', () => {
  const others = here.filter(({ line }) => !isCluster(line) && !isSubmit(line));
  it.each(others)('$page: $line', { timeout: patience }, async ({ line }) => {
    await well(line);
  });

  it.each(here.filter(({ line }) => isCluster(line)).slice(1))(
    '$page: $line',
    { timeout: patience },
    async ({ line }) => {
      const { child } = await startCluster(`${line} --dir runs/another`);
      interrupt(child);
      const [code, signal] = await once(child, 'close');
      expect([130, 'SIGINT']).toContain(code ?? signal);
    },
  );

  it('leave every job of their clusters in exactly one final state', { timeout: patience }, async () => {
    await expect.poll(() => unsettledJobs(cluster.url), { timeout: patience / 2 }).toEqual([]);
    await endCluster();
    expect(await clusters.close()).toEqual([]);
  });

  it('are our own, or it is said where they are run (tests/support/commands-elsewhere.ts)', () => {
    expect(foreign).toEqual([]);
  });

  it('that are run elsewhere are in the documents, and what runs them is there', () => {
    for (const { commands, in: place } of commandsElsewhere) {
      expect(
        documentedCommands.some(({ line }) => commands.test(line)),
        String(commands),
      ).toBe(true);
      expect(place[1].test(read(place[0])), place[0]).toBe(true);
    }
  });
});
