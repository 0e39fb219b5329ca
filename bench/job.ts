/**
 * The quick start's whole job, from command to report, beside the same loop in Keras and scikit-learn:
 * `npm run bench -- job [--peer keras] [--rounds N] [--json FILE]`. Start-up of both is included; each round runs one
 * after the other.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { Results } from '@crossfold/shared/results';
import { digitsFolder } from './support/digits.ts';
import { load, machine, median } from './support/machine.ts';
import type { InstalledPeer } from './support/peers.ts';
import { installPeer, root, runPeer } from './support/peers.ts';

interface Finished {
  readonly seconds: number;
  /** Mean validation accuracy over the folds. */
  readonly accuracy: number;
}

const workers = cpus().length;

async function ours(): Promise<Finished> {
  const folder = await mkdtemp(join(tmpdir(), 'crossfold-bench-job-'));
  const out = join(folder, 'run');
  const started = performance.now();
  const command = [join(root, 'coordinator/bin/crossfold.cjs'), 'run', join(root, 'examples/mnist-kfold.yaml')];
  const child = spawn(process.execPath, [...command, '--workers', String(workers), '--out', out], {
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  const [code] = (await once(child, 'exit')) as [number | null];
  const seconds = (performance.now() - started) / 1000;
  if (code !== 0) throw new Error(`crossfold run ended with ${code}`);
  const results = Results.parse(JSON.parse(await readFile(join(out, 'results.json'), 'utf8')));
  await rm(folder, { recursive: true, force: true });
  return { seconds, accuracy: results.trials[0]?.summary?.accuracy.mean ?? Number.NaN };
}

async function theirs(peer: InstalledPeer, stepsPerExecution: number, input: 'arrays' | 'dataset'): Promise<Finished> {
  const started = performance.now();
  const accuracies = (await runPeer(peer, 'keras_job.py', [
    digitsFolder(),
    String(stepsPerExecution),
    input,
  ])) as number[];
  const seconds = (performance.now() - started) / 1000;
  return { seconds, accuracy: accuracies.reduce((a, b) => a + b, 0) / accuracies.length };
}

const { values } = parseArgs({
  options: {
    peer: { type: 'string' },
    rounds: { type: 'string', default: '3' },
    json: { type: 'string' },
  },
});
if (values.peer !== undefined && values.peer !== 'keras') throw new Error(`--peer ${values.peer}: known is keras`);
const keras = values.peer === undefined ? undefined : await installPeer('keras');
const loads = [load()];
/** Who takes a turn in each round, ours first. */
const who: readonly (readonly [name: string, run: () => Promise<Finished>])[] = [
  [`crossfold run --workers ${workers}`, ours],
  ...(keras === undefined
    ? []
    : (
        [
          ['', 1, 'arrays'],
          [', 10 steps a call', 10, 'arrays'],
          [', 10 steps a call, no autotuner', 10, 'dataset'],
        ] as const
      ).map(([how, steps, input]) => [`keras and scikit-learn${how}`, () => theirs(keras, steps, input)] as const)),
];
const rounds: Finished[][] = [];
for (let round = 0; round < Number(values.rounds); round++) {
  const finished: Finished[] = [];
  for (const [, run] of who) finished.push(await run());
  rounds.push(finished);
  loads.push(load());
}
console.log(machine());
console.log(`load of the machine before, and after each round: ${loads.map((value) => value.toFixed(1)).join(', ')}\n`);
console.log('5-fold cross-validation of 12,800 digits, 3 epochs, from command to report; medians over the rounds');
who.forEach(([name], i) => {
  const seconds = median(rounds.map((round) => round[i]?.seconds ?? Number.NaN));
  const ratio = median(rounds.map((round) => (round[0]?.seconds ?? Number.NaN) / (round[i]?.seconds ?? Number.NaN)));
  const beside = i === 0 ? '' : `; ours takes ${ratio.toFixed(2)} of it`;
  console.log(`${name.padEnd(56)} ${seconds.toFixed(1)} s, accuracy ${rounds[0]?.[i]?.accuracy.toFixed(4)}${beside}`);
});
const json = `${JSON.stringify({ machine: machine(), peers: keras?.versions ?? null, load: loads, who: who.map(([name]) => name), rounds })}\n`;
if (values.json === undefined) process.stdout.write(`\n${json}`);
else await writeFile(values.json, json);
