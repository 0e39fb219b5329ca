/**
 * What a second worker is worth in one job: `npm run bench -- scaling [--net NAME] [--rounds N] [--steps N]
 * [--pause MS] [--peer torch] [--json FILE]`. Two processes with an engine each take train steps by themselves, side by side, and as a group over each
 * transport, in turns of a few steps in one run, so that whatever else the machine does falls on all of them alike.
 * Data are random: only sizes matter. `--peer torch` adds PyTorch's DistributedDataParallel on the MNIST net.
 */
import { writeFile } from 'node:fs/promises';
import { connectBroker } from '@crossfold/shared/broker/connection';
import { ModelSpec } from '@crossfold/shared/config/model';
import { TrainingSpec } from '@crossfold/shared/config/training';
import { noFaults } from '@crossfold/shared/faults';
import { planModel } from '@crossfold/shared/model/plan';
import { keyedRandom } from '@crossfold/shared/rng';
import { EngineThread } from '@crossfold/worker/engine/remote';
import type { EngineSession } from '@crossfold/worker/engine/session';
import type { GroupView } from '@crossfold/worker/exchange/exchange';
import { DirectListener } from '@crossfold/worker/exchange/listener';
import { openExchange } from '@crossfold/worker/exchange/open-exchange';
import { trainStep } from '@crossfold/worker/job/actions';
import { actionAt } from '@crossfold/worker/job/course';
import { Gradients } from '@crossfold/worker/job/gradients';
import { initialState } from '@crossfold/worker/job/state';
import type { SteppedFacts } from '@crossfold/worker/observe/observer';
import { observers } from '@crossfold/worker/observe/observer';
import { z } from 'zod';
import { Member, machine, median, option, say, table, tasks, withBroker } from './support/cluster.ts';
import { digitsFolder } from './support/digits.ts';
import { installPeer, runPeer } from './support/peers.ts';

const TorchRun = z.object({ images: z.number(), wallMs: z.number() });

interface Net {
  readonly model: unknown;
  readonly shape: readonly [number, number, number];
  readonly classes: number;
  readonly batchSize: number;
  readonly loss?: 'binaryCrossentropy';
  /** Steps of a turn, after one to warm up. */
  readonly steps: number;
  readonly rounds: number;
}

const tinyLayers = [
  { type: 'conv2d', filters: 4, kernelSize: 3, strides: 2, activation: 'relu' },
  { type: 'maxPooling2d' },
  { type: 'flatten' },
  { type: 'dense', units: 10, activation: 'softmax' },
];
const mnist = { model: { preset: 'mnist-convnet' }, shape: [28, 28, 1], classes: 10, steps: 20, rounds: 6 } as const;
const nets: Readonly<Record<string, Net>> = {
  mnist: { ...mnist, batchSize: 64 },
  'mnist-256': { ...mnist, batchSize: 256, steps: 8 },
  'mnist-16': { ...mnist, batchSize: 16 },
  tiny: { ...mnist, model: { layers: tinyLayers }, batchSize: 32, steps: 60 },
  'cats-dogs': {
    model: { preset: 'cats-dogs-baseline' },
    loss: 'binaryCrossentropy',
    shape: [150, 150, 3],
    classes: 2,
    batchSize: 32,
    steps: 3,
    rounds: 4,
  },
};
const slices = 4;
const warmUp = 1;
const course = { epochs: 1000, until: 1000, stepsPerEpoch: 1_000_000 };

type Way = 'alone' | 'side by side' | 'direct' | 'nats';
const ways: readonly Way[] = ['alone', 'side by side', 'direct', 'nats'];

interface Task {
  readonly kind: 'open' | 'turn';
  readonly url: string;
  readonly net: string;
  readonly steps: number;
  readonly mode: 'nats' | 'direct';
  readonly view: GroupView;
}

/** A step's time and its parts, milliseconds. */
interface Times {
  readonly step: number;
  readonly data: number;
  readonly compute: number;
  readonly exchange: number;
  readonly update: number;
}

// ---- in the parent ----------------------------------------------------------------------------------------------

async function main(): Promise<void> {
  const chosen = Object.entries(nets).filter(([name]) => (option('net') ?? name) === name);
  const report: Record<string, unknown>[] = [];
  console.log(
    `${machine().cores} cores, ${machine().cpu}, Node ${machine().node}; means over the middle half of the steps`,
  );
  await withBroker(async (url) => {
    for (const [name, net] of chosen) {
      const measured = await measure(url, name, net);
      const alone = typical(measured.alone).step;
      const rows = ways.map((way) => {
        const { step, ...parts } = typical(measured[way]);
        const rest = step - Object.values(parts).reduce((sum, ms) => sum + ms, 0);
        const images = (1000 * net.batchSize * (way === 'side by side' ? 2 : 1)) / step;
        const efficiency = way === 'alone' ? 1 : images / ((2000 * net.batchSize) / alone);
        report.push({
          net: name,
          batchSize: net.batchSize,
          way,
          imagesPerSecond: images,
          efficiency,
          step,
          rest,
          parts,
        });
        return [
          way,
          images.toFixed(0),
          `${(100 * efficiency).toFixed(0)} %`,
          ...[step, parts.data, parts.compute, parts.exchange, parts.update, rest].map((ms) => ms.toFixed(2)),
        ];
      });
      console.log(`\n${name}, batch ${net.batchSize}, ${slices} slices`);
      console.log(
        table(['', 'images/s', 'efficiency', 'step ms', 'data', 'compute', 'exchange', 'update', 'rest'], rows),
      );
    }
  });
  const ddp = option('peer') === 'torch' ? await torchTogether() : undefined;
  const file = option('json');
  if (file !== undefined)
    await writeFile(file, `${JSON.stringify({ machine: machine(), scaling: report, ddp }, undefined, 2)}\n`);
}

/** Images a second of two PyTorch processes on batches of 64 digits, the median of three runs. */
async function torchTogether(): Promise<number> {
  const peer = await installPeer('torch');
  const run = JSON.stringify({ batch: 64, steps: 400, digits: digitsFolder() });
  const runs: number[] = [];
  for (let i = 0; i < 3; i++) {
    const { images, wallMs } = TorchRun.parse(await runPeer(peer, 'torch_ddp.py', [run]));
    runs.push((1000 * images) / wallMs);
  }
  const speed = median(runs);
  console.log(`\nmnist, batch 64, torch DDP over gloo: ${speed.toFixed(0)} images/s (${peer.versions})`);
  return speed;
}

/** Means over the middle half of the steps, in order of their time: parts that add up, without what was disturbed. */
function typical(times: readonly Times[]): Times {
  const middle = times.toSorted((a, b) => a.step - b.step).slice(times.length >> 2, times.length - (times.length >> 2));
  const mean = (of: keyof Times): number => middle.reduce((sum, t) => sum + t[of], 0) / middle.length;
  return {
    step: mean('step'),
    data: mean('data'),
    compute: mean('compute'),
    exchange: mean('exchange'),
    update: mean('update'),
  };
}

async function measure(url: string, name: string, net: Net): Promise<Record<Way, Times[]>> {
  const members = [new Member(import.meta.url), new Member(import.meta.url)];
  const measured: Record<Way, Times[]> = { alone: [], 'side by side': [], direct: [], nats: [] };
  const rounds = Number(option('rounds') ?? net.rounds);
  const view: GroupView = {
    job: `bench.train.0.0.${Date.now()}`,
    generation: 0,
    rank: 0,
    members: [],
    slices,
    secret: 'bench',
  };
  const steps = Number(option('steps') ?? net.steps);
  const task = { url, net: name, steps, mode: 'nats', view } as const;
  try {
    for (const member of members) member.tell({ ...task, kind: 'open' } satisfies Task);
    const addresses = await Promise.all(members.map((m) => m.hear<{ host: string; port: number }>()));
    const pair = addresses.map((address, rank) => ({ worker: `worker-${rank}`, address }));
    let generation = 0;
    for (let round = 0; round < rounds; round++)
      for (const way of ways) {
        generation++;
        const together = way === 'direct' || way === 'nats';
        const turn = (member: Member, rank: number): Promise<Times[]> => {
          const place = together ? { rank, members: pair } : { rank: 0, members: pair.slice(rank, rank + 1) };
          const job = together ? view.job : `${view.job}${rank}`;
          member.tell({
            ...task,
            kind: 'turn',
            mode: way === 'direct' ? 'direct' : 'nats',
            view: { ...view, ...place, job, generation },
          } satisfies Task);
          return member.hear<Times[]>();
        };
        const [first] = await Promise.all(members.slice(0, way === 'alone' ? 1 : 2).map(turn));
        measured[way].push(...(first ?? []));
        await new Promise((resolve) => setTimeout(resolve, Number(option('pause') ?? 0)));
      }
  } finally {
    await Promise.all(members.map((m) => m.leave()));
  }
  return measured;
}

// ---- in its processes -------------------------------------------------------------------------------------------

async function member(): Promise<void> {
  const engine = await EngineThread.start({ threads: 1 }, (program, reason) =>
    console.error(`${program} runs eagerly: ${reason}`),
  );
  const listener = await DirectListener.open();
  let session: EngineSession | undefined;
  // A peer may still lack something of the last sum: a turn ends when the next one begins.
  let end = async (): Promise<void> => undefined;
  for await (const { kind, url, net: name, steps, mode, view } of tasks<Task>()) {
    const net = nets[name];
    if (net === undefined) throw new Error(`no net ${name}`);
    const training = TrainingSpec.parse({
      epochs: 1000,
      batchSize: net.batchSize,
      microBatches: slices,
      optimizer: { name: 'rmsprop' },
      loss: net.loss,
    });
    if (kind === 'open') {
      session = await engine.open({ ...options(net, training) });
      say(listener.address);
      continue;
    }
    if (session === undefined) throw new Error('no net is open');
    await end();
    // Members of a group must be at the same position, wherever they have been by themselves.
    let state = { ...initialState, position: view.generation * 1000 };
    const signal = new AbortController().signal;
    const nats = await connectBroker(url, 'bench');
    const exchange = await openExchange(view, { nats, mode, listener }, signal);
    const times: Times[] = [];
    const note = ({ times: t }: SteppedFacts): void => {
      times.push({
        step: 0,
        data: t.dataMs,
        compute: t.computed - t.started - t.dataMs,
        exchange: t.summed - t.computed,
        update: t.updated - t.summed,
      });
    };
    const now = (): number => performance.now();
    const place = {
      rank: view.rank,
      size: view.members.length,
      exchange,
      gradients: new Gradients(session),
      signal,
      now,
      faults: noFaults,
      observer: observers([{ stepped: note }]),
    };
    const took: number[] = [];
    for (let i = 0; i < steps + warmUp; i++) {
      const action = actionAt(course, state.position);
      if (action.kind !== 'step') throw new Error('an epoch has no end');
      const started = now();
      state = await trainStep(state, action, actionAt(course, state.position + 1), session, training, place);
      took.push(now() - started);
    }
    end = async () => {
      await exchange.close();
      await nats.close();
    };
    say(times.map((t, i) => ({ ...t, step: took[i] ?? Number.NaN })).slice(warmUp));
  }
}

function options(net: Net, training: TrainingSpec): Parameters<EngineThread['open']>[0] {
  const [height, width, channels] = net.shape;
  const sampleBytes = height * width * channels;
  const samples = 4 * net.batchSize;
  const pixels = new SharedArrayBuffer(samples * sampleBytes);
  const random = keyedRandom('bench');
  const pool = Uint8Array.from({ length: 65_521 }, () => random.below(256));
  new Uint8Array(pixels).forEach((_, i, all) => {
    all[i] = pool[i % pool.length] ?? 0;
  });
  const all = Uint32Array.from({ length: samples }, (_, i) => i);
  const labels = Int32Array.from(all, (i) => i % net.classes);
  const shape = { height, width, channels };
  return {
    model: planModel(ModelSpec.parse(net.model), shape, net.classes, training.loss),
    training,
    keys: { seed: 1, repeat: 0, fold: 0 },
    data: { pixels, sampleBytes, labels, train: all, validation: all.slice(0, 4) },
  };
}

await (process.argv[2] === 'member' ? member() : main());
