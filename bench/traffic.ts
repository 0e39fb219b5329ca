/**
 * What a broker carries: `npm run bench -- traffic [--workers N,N,...] [--epochs N] [--json FILE]`. Read from the
 * server's own monitoring (`/varz`, `/connz`, `/jsz`), with a real coordinator and real workers as processes: at rest, and
 * while one job of the MNIST net is trained by all of them, over each transport. The same job is trained for one epoch and
 * for more: the difference is what its steps cost, the rest what a job costs.
 */
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { setTimeout as pause } from 'node:timers/promises';
import { connectClient } from '@crossfold/coordinator/client/client';
import type { ExperimentClient } from '@crossfold/coordinator/client/types';
import { Experiment } from '@crossfold/shared/config/experiment';
import { z } from 'zod';
import { machine, option, table, withBroker } from './support/cluster.ts';
import { digitsFolder } from './support/digits.ts';
import { service } from './support/service.ts';

const Varz = z.object({
  connections: z.number(),
  in_msgs: z.number(),
  out_msgs: z.number(),
  in_bytes: z.number(),
  out_bytes: z.number(),
  mem: z.number(),
});
const Connz = z.object({ connections: z.array(z.object({ subscriptions: z.number() })) });
const Jsz = z.object({ streams: z.number(), consumers: z.number(), bytes: z.number() });

/** Messages and bytes that came to the server and left it. */
interface Carried {
  readonly inMessages: number;
  readonly outMessages: number;
  readonly inBytes: number;
  readonly outBytes: number;
}

interface Row {
  readonly workers: number;
  readonly transport: string;
  readonly connections: number;
  /** The most that one connection has. */
  readonly subscriptions: number;
  readonly streams: number;
  readonly consumers: number;
  /** In JetStream, and in the server's memory, bytes, when all jobs were done. */
  readonly stored: number;
  readonly memory: number;
  /** A second, nothing being trained. */
  readonly rest: Carried;
  /** A train step of the group, without what is carried at rest. */
  readonly step: Carried;
  /** A job without its steps: record, seats, checkpoint, result, and who follows it. */
  readonly job: Carried;
}

const restSeconds = 10;
const samples = 2560;
const batchSize = 64;
const stepsPerEpoch = (0.8 * samples) / batchSize;

/** `a * x + b * y`, figure by figure. */
const combine = (a: number, x: Carried, b: number, y: Carried): Carried => ({
  inMessages: a * x.inMessages + b * y.inMessages,
  outMessages: a * x.outMessages + b * y.outMessages,
  inBytes: a * x.inBytes + b * y.inBytes,
  outBytes: a * x.outBytes + b * y.outBytes,
});

async function ask<T>(monitor: string, path: string, schema: z.ZodType<T>): Promise<T> {
  const response = await fetch(`${monitor}/${path}`, { signal: AbortSignal.timeout(10_000) });
  return schema.parse(await response.json());
}

async function carried(monitor: string): Promise<Carried & { at: number }> {
  const v = await ask(monitor, 'varz', Varz);
  const at = performance.now() / 1000;
  return { at, inMessages: v.in_msgs, outMessages: v.out_msgs, inBytes: v.in_bytes, outBytes: v.out_bytes };
}

async function main(): Promise<void> {
  const sizes = (option('workers') ?? '1,2,4').split(',').map(Number);
  const epochs = Math.max(2, Number(option('epochs') ?? 4));
  const rows: Row[] = [];
  for (const workers of sizes)
    for (const transport of workers === 1 ? (['none'] as const) : (['direct', 'nats'] as const))
      await withBroker(async (url, _, monitor) => {
        rows.push(await measure({ url, monitor, workers, transport, epochs }));
      });
  const file = option('json');
  if (file !== undefined) await writeFile(file, `${JSON.stringify({ machine: machine(), rows }, null, 2)}\n`);
  const kb = (bytes: number): string => (bytes / 1000).toFixed(1);
  const four = ({ inMessages, outMessages, inBytes, outBytes }: Carried): string[] => [
    `${inMessages.toFixed(1)}/${outMessages.toFixed(1)}`,
    `${kb(inBytes)}/${kb(outBytes)}`,
  ];
  console.log('Messages and kB as in/out: to the server, from the server.');
  console.log(
    table(
      [
        'workers',
        'exchange',
        'connections',
        'subscriptions',
        'streams',
        'consumers',
        'rest: messages/s',
        'kB/s',
        'step: messages',
        'kB',
        'job: messages',
        'kB',
        'stored kB',
        'memory MB',
      ],
      rows.map((row) => [
        row.workers,
        row.transport,
        row.connections,
        row.subscriptions,
        row.streams,
        row.consumers,
        ...four(row.rest),
        ...four(row.step),
        ...four(row.job),
        kb(row.stored),
        (row.memory / 1e6).toFixed(0),
      ]),
    ),
  );
}

interface Measured {
  readonly url: string;
  readonly monitor: string;
  readonly workers: number;
  readonly transport: 'none' | 'direct' | 'nats';
  readonly epochs: number;
}

async function measure({ url, monitor, workers, transport, epochs }: Measured): Promise<Row> {
  const started = [service(['coordinator', '--nats', url, '--http', 'off'])];
  for (let i = 0; i < workers; i++)
    started.push(service(['worker', '--nats', url, '--http', 'off', '--listen', '127.0.0.1:0']));
  const services = await Promise.all(started);
  const client = await connectClient(url);
  try {
    // The first one brings the data set to every worker.
    await train(client, experiment(workers, transport, 1), 'warm-up');
    const before = await carried(monitor);
    await pause(restSeconds * 1000);
    const after = await carried(monitor);
    const rest = combine(1 / (after.at - before.at), after, -1 / (after.at - before.at), before);
    const cost = async (count: number): Promise<Carried> => {
      const from = await carried(monitor);
      await train(client, experiment(workers, transport, count), `epochs-${count}`);
      const to = await carried(monitor);
      return combine(1, combine(1, to, -1, from), from.at - to.at, rest);
    };
    const short = await cost(1);
    const long = await cost(epochs);
    const steps = (epochs - 1) * stepsPerEpoch;
    const step = combine(1 / steps, long, -1 / steps, short);
    const [varz, connz, jsz] = await Promise.all([
      ask(monitor, 'varz', Varz),
      ask(monitor, 'connz', Connz),
      ask(monitor, 'jsz', Jsz),
    ]);
    return {
      workers,
      transport,
      connections: varz.connections,
      subscriptions: Math.max(...connz.connections.map(({ subscriptions }) => subscriptions)),
      streams: jsz.streams,
      consumers: jsz.consumers,
      stored: jsz.bytes,
      memory: varz.mem,
      rest,
      step,
      job: combine(1, short, -stepsPerEpoch, step),
    };
  } finally {
    await client.close();
    for (const one of services) {
      one.kill();
      if (one.exitCode === null && one.signalCode === null) await once(one, 'exit');
    }
  }
}

async function train(client: ExperimentClient, wanted: Experiment, id: string): Promise<void> {
  await client.submit(wanted, digitsFolder(), id, { fresh: true });
  for await (const _ of client.follow(id, AbortSignal.timeout(600_000)));
  const { record } = await client.outcome(id, { models: false });
  if (record.state !== 'completed') throw new Error(`the experiment ${record.state}: ${record.error}`);
}

const experiment = (workersPerJob: number, transport: Measured['transport'], epochs: number): Experiment =>
  Experiment.parse({
    name: 'bench',
    dataset: { path: '.', limit: samples },
    evaluation: { method: 'holdout', validation: 0.2 },
    model: { preset: 'mnist-convnet' },
    training: { epochs, batchSize, optimizer: { name: 'rmsprop', learningRate: 0.001 } },
    workersPerJob,
    ...(transport === 'none' ? {} : { exchange: transport }),
  });

await main();
