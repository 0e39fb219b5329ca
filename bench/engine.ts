/**
 * How fast a worker trains, beside Keras and PyTorch: `npm run bench -- engine [--peer keras,torch] [--rounds N]
 * [--seconds S] [--json FILE]`. Each figure comes from processes of its own; all take their turns in every round, and
 * medians over the rounds are compared. `wall` is what a clock shows, `cpu` counts only the time that the process had a
 * core: on a machine that others use as well the second says more.
 */
import { execFile } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { cpus } from 'node:os';
import { join } from 'node:path';
import { parseArgs, promisify } from 'node:util';
import { digitsFolder } from './support/digits.ts';
import { load, machine, median, pinnedTo } from './support/machine.ts';
import type { InstalledPeer, Peer } from './support/peers.ts';
import { installPeer, peerNames, runPeer } from './support/peers.ts';
import type { Run, Speed } from './support/train.ts';

/** One row of the table: a way to train a net, which one or more processes take at the same time. */
interface Way {
  readonly place: string;
  readonly net: Run['net'];
  readonly batch: number;
  readonly who: string;
  readonly measure: (seconds: number) => Promise<Speed[]>;
}

interface Row extends Omit<Way, 'measure'> {
  /** Images a second. */
  readonly wall: number;
  readonly cpu: number;
  readonly phases: Speed['phases'];
  readonly waiting: Speed['waiting'];
  readonly peakMiB: number;
}

const cores = cpus().length;
const everything = { rounds: 3, seconds: 5 };

function ours(
  place: string,
  net: Run['net'],
  batch: number,
  microBatches: number,
  pins: readonly (readonly string[])[],
  threads: number,
  augmented = false,
): Way {
  const script = join(import.meta.dirname, 'support', 'train.js');
  const one = async (pin: readonly string[], seconds: number): Promise<Speed> => {
    const run: Run = { net, batch, microBatches, threads, seconds, augmented };
    const [command = '', ...args] = [...pin, process.execPath, script, JSON.stringify(run)];
    return JSON.parse((await promisify(execFile)(command, args)).stdout) as Speed;
  };
  const measure = (seconds: number): Promise<Speed[]> => Promise.all(pins.map((pin) => one(pin, seconds)));
  return {
    place,
    net,
    batch,
    who: `crossfold, ${microBatches} slice${microBatches > 1 ? 's' : ''}${augmented ? ', augmented' : ''}`,
    measure,
  };
}

/** Ways in which a peer is used: as it comes, and those that make it faster. */
const variantsOf = (peer: Peer): readonly (readonly [how: string, options: object])[] =>
  peer === 'keras'
    ? [
        ['', { stepsPerExecution: 1, autotune: true }],
        [', 10 steps a call', { stepsPerExecution: 10, autotune: true }],
        [', 10 steps a call, no autotuner', { stepsPerExecution: 10, autotune: false }],
      ]
    : [['', {}]];

function theirs(
  place: string,
  net: Run['net'],
  batch: number,
  peers: readonly InstalledPeer[],
  pin: readonly string[],
  threads: number,
): Way[] {
  return peers.flatMap((peer) => {
    return variantsOf(peer.name).map(([how, variant]): Way => {
      const measure = async (seconds: number): Promise<Speed[]> => {
        const run = { net, batch, threads, seconds, digits: digitsFolder(), ...variant };
        return [(await runPeer(peer, `${peer.name}_train.py`, [JSON.stringify(run)], pin)) as Speed];
      };
      return { place, net, batch, who: `${peer.name}${how}`, measure };
    });
  });
}

function ways(peers: readonly InstalledPeer[]): Way[] {
  const first = pinnedTo(0);
  const each = Array.from({ length: cores }, (_, core) => pinnedTo(core));
  const all = `${cores} cores`;
  return [
    ours('1 core', 'mnist-convnet', 64, 1, [first], 1),
    ours('1 core', 'mnist-convnet', 64, 4, [first], 1),
    ...theirs('1 core', 'mnist-convnet', 64, peers, first, 1),
    ours('1 core', 'mnist-convnet', 16, 1, [first], 1),
    ...theirs('1 core', 'mnist-convnet', 16, peers, first, 1),
    ours(`${all}, a worker each`, 'mnist-convnet', 64, 4, each, 1),
    ours(all, 'mnist-convnet', 64, 4, [[]], cores),
    ...theirs(all, 'mnist-convnet', 64, peers, [], cores),
    ours('1 core', 'cats-dogs-baseline', 20, 1, [first], 1),
    ours('1 core', 'cats-dogs-baseline', 20, 4, [first], 1),
    ...theirs('1 core', 'cats-dogs-baseline', 20, peers, first, 1),
    // Not pinned: pictures are varied on another core than the engine's.
    ours(`1 thread, ${all}`, 'cats-dogs-baseline', 20, 4, [[]], 1, true),
  ];
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      peer: { type: 'string', default: '' },
      rounds: { type: 'string', default: String(everything.rounds) },
      seconds: { type: 'string', default: String(everything.seconds) },
      json: { type: 'string' },
    },
  });
  const asked = values.peer.split(',').filter((name) => name !== '');
  const unknown = asked.find((name) => !peerNames.includes(name as Peer));
  if (unknown !== undefined) throw new Error(`--peer ${unknown}: known are ${peerNames.join(', ')}`);
  const peers: InstalledPeer[] = [];
  for (const name of asked) peers.push(await installPeer(name as Peer));

  const all = ways(peers);
  const speeds = new Map<Way, Speed[][]>(all.map((way) => [way, []]));
  const loads = [load()];
  for (let round = 0; round < Number(values.rounds); round++) {
    for (const way of all) speeds.get(way)?.push(await way.measure(Number(values.seconds)));
    loads.push(load());
    console.error(`round ${round + 1} of ${values.rounds} done`);
  }
  const rows = all.map((way) => rowOf(way, speeds.get(way) ?? []));
  const about = {
    machine: machine(),
    peers: peers.map(({ versions }) => versions),
    load: loads.map((value) => Number(value.toFixed(1))),
    rounds: Number(values.rounds),
    seconds: Number(values.seconds),
  };
  print(rows, about);
  const json = `${JSON.stringify({ ...about, rows: rows.map((row) => ({ ...row })) })}\n`;
  if (values.json === undefined) process.stdout.write(`\n${json}`);
  else await writeFile(values.json, json);
}

function rowOf({ place, net, batch, who }: Way, rounds: readonly Speed[][]): Row {
  const summed = (time: 'wallMs' | 'cpuMs'): number =>
    median(rounds.map((processes) => processes.reduce((sum, s) => sum + (1000 * s.images) / s[time], 0)));
  const every = rounds.flat();
  return {
    place,
    net,
    batch,
    who,
    wall: summed('wallMs'),
    // Of many threads the time of all is counted: no measure of how fast they are together.
    cpu: place === `${cores} cores` ? Number.NaN : summed('cpuMs'),
    phases: every.at(-1)?.phases,
    waiting: every.at(-1)?.waiting,
    peakMiB: Math.max(...every.map(({ peakMiB }) => peakMiB)),
  };
}

/** The best of the peers in the same place, on the same net. */
function bestPeer(rows: readonly Row[], row: Row, time: 'wall' | 'cpu'): number {
  const place = row.place.split(',')[0] ?? '';
  const same = rows.filter(
    (other) =>
      other.place === place && other.net === row.net && other.batch === row.batch && !other.who.startsWith('crossfold'),
  );
  return Math.max(...same.map((other) => other[time]).filter((value) => !Number.isNaN(value)));
}

function print(
  rows: readonly Row[],
  about: { machine: string; load: readonly number[]; peers: readonly string[] },
): void {
  console.log(`${about.machine}${about.peers.length > 0 ? `\nbeside ${about.peers.join('; ')}` : ''}`);
  console.log(`load of the machine before, and after each round: ${about.load.join(', ')}\n`);
  console.log("images a second; ratios to the best of the peers; a step's phases in ms: data, gradient, update;");
  console.log('last, the share of the time in which the engine waited for a batch');
  const number = (value: number): string => (Number.isFinite(value) ? value.toFixed(0) : '-');
  const ratio = (value: number): string => (Number.isFinite(value) && value > 0 ? `${value.toFixed(2)}x` : '');
  const line = (cells: readonly string[]): void =>
    console.log(
      cells
        .map((cell, i) => (i < 2 ? cell.padEnd([36, 38][i] ?? 0) : cell.padStart([0, 0, 7, 6, 7, 6, 9][i] ?? 0)))
        .join(' '),
    );
  line(['', '', 'wall', '', 'cpu', '', 'peak MiB']);
  for (const row of rows) {
    const own = row.who.startsWith('crossfold');
    const { phases, waiting = 0 } = row;
    line([
      `${row.net}, batch ${row.batch}, ${row.place}`,
      row.who,
      number(row.wall),
      own ? ratio(row.wall / bestPeer(rows, row, 'wall')) : '',
      number(row.cpu),
      own ? ratio(row.cpu / bestPeer(rows, row, 'cpu')) : '',
      number(row.peakMiB),
      phases === undefined
        ? ''
        : `  ${phases.data.toFixed(2)} ${phases.gradient.toFixed(2)} ${phases.update.toFixed(2)}  ${(100 * waiting).toFixed(1)} %`,
    ]);
  }
}

await main();
