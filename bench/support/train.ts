/**
 * A process that trains for some seconds and says how fast: `node train.js '<Run as JSON>'`. Everything a step does in a
 * job of one worker is included: gathering the batch, the way to the engine's thread and back, gradient, sums, update.
 */
import { AugmentSpec } from '@crossfold/shared/config/augment';
import { TrainingSpec } from '@crossfold/shared/config/training';
import { planModel } from '@crossfold/shared/model/plan';
import { EngineThread } from '@crossfold/worker/engine/remote';
import { digits, noise } from './digits.ts';

export interface Run {
  readonly net: 'mnist-convnet' | 'cats-dogs-baseline';
  readonly batch: number;
  readonly microBatches: number;
  readonly threads: number;
  readonly seconds: number;
  /** Whether pictures are varied as the cats-dogs-augmented preset's example does, which a thread of its own does ahead. */
  readonly augmented?: boolean;
}

export interface Speed {
  readonly images: number;
  readonly wallMs: number;
  readonly cpuMs: number;
  /** Medians of a step, milliseconds: batches made ready, gradient, update. */
  readonly phases?: { readonly data: number; readonly gradient: number; readonly update: number };
  /** Share of the time in which the engine had no batch and waited for one, 0 to 1. */
  readonly waiting?: number;
  /** Largest resident size, MiB. */
  readonly peakMiB: number;
}

const asInTheBook = { rotation: 40, widthShift: 0.2, heightShift: 0.2, shear: 0.2, zoom: 0.2, horizontalFlip: true };

const median = (values: number[]): number => values.toSorted((a, b) => a - b)[values.length >> 1] ?? 0;

async function main(run: Run): Promise<Speed> {
  const mnist = run.net === 'mnist-convnet';
  const loss = mnist ? 'categoricalCrossentropy' : 'binaryCrossentropy';
  const image = mnist ? { height: 28, width: 28, channels: 1 } : { height: 150, width: 150, channels: 3 };
  const data = mnist ? digits(12_800) : noise(400, 67_500);
  const model = planModel({ preset: run.net }, image, mnist ? 10 : 2, loss);
  const { batch: batchSize, microBatches } = run;
  const training = TrainingSpec.parse({ epochs: 1000, batchSize, microBatches, optimizer: { name: 'rmsprop' }, loss });
  const engine = await EngineThread.start({ threads: run.threads }, (program, reason) => {
    throw new Error(`${program}: ${reason}`);
  });
  const session = await engine.open({
    model,
    training,
    keys: { seed: 1, repeat: 0, fold: 0 },
    augment: run.augmented === true ? AugmentSpec.parse(asInTheBook) : undefined,
    data,
  });
  const stepsPerEpoch = Math.ceil(data.train.length / batchSize);
  const phases = { data: [] as number[], gradient: [] as number[], update: [] as number[] };
  let images = 0;
  const step = async (update: number): Promise<void> => {
    const at = { epoch: Math.floor(update / stepsPerEpoch), step: update % stepsPerEpoch, update };
    const started = performance.now();
    const { nodes, dataMs } = await session.gradient(at, { from: 0, to: microBatches });
    const between = performance.now();
    const [whole] = nodes;
    if (whole === undefined) throw new Error('no gradient');
    images += (await session.update(whole.vector, 0.001)).samples;
    phases.data.push(dataMs);
    phases.gradient.push(between - started - dataMs);
    phases.update.push(performance.now() - between);
  };
  // Enough for the compilers to have done their work.
  const warmUp = mnist ? 60 : 5;
  for (let i = 0; i < warmUp; i++) await step(i);
  images = 0;
  for (const values of Object.values(phases)) values.length = 0;
  const cpu = process.cpuUsage();
  const started = performance.now();
  for (let i = warmUp; performance.now() - started < run.seconds * 1000; i++) await step(i);
  const wallMs = performance.now() - started;
  const used = process.cpuUsage(cpu);
  await engine.stop();
  return {
    images,
    wallMs,
    cpuMs: (used.user + used.system) / 1000,
    phases: { data: median(phases.data), gradient: median(phases.gradient), update: median(phases.update) },
    waiting: phases.data.reduce((sum, ms) => sum + ms, 0) / wallMs,
    peakMiB: process.resourceUsage().maxRSS / 1024,
  };
}

process.stdout.write(JSON.stringify(await main(JSON.parse(process.argv[2] ?? '{}') as Run)));
