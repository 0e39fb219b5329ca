/**
 * How fast a group sums a gradient, beside what the wire gives: `npm run bench -- exchange`. Each member is a process;
 * the wire is measured in the same run, between two processes that send each other the same bytes in turn (over TCP;
 * over the broker with the piece size that does best).
 */
import type { ChildProcess } from 'node:child_process';
import { fork, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { connect, createServer } from 'node:net';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { findBroker } from '@crossfold/coordinator/cluster/find-broker';
import { connectBroker } from '@crossfold/shared/broker/connection';
import type { GroupView } from '@crossfold/worker/exchange/exchange';
import { openExchange } from '@crossfold/worker/exchange/exchange';
import { DirectListener } from '@crossfold/worker/exchange/listener';
import { completeSubtrees, rankRange } from '@crossfold/worker/exchange/tree';
import type { NatsConnection } from 'nats';

/** Elements of the gradients of the MNIST net and of the cats-and-dogs net, both with their four trailing sums. */
const vectors = [
  { name: '373 KB', length: 93_326, rounds: 800 },
  { name: '13.8 MB', length: 3_453_125, rounds: 40 },
] as const;
const pieces = [64, 128, 256, 512, 1000].map((kilobytes) => kilobytes * 1024);

type Task =
  | { readonly role: 'member'; readonly mode: 'nats' | 'direct'; readonly length: number; readonly rounds: number }
  | { readonly role: 'tcp'; readonly bytes: number; readonly rounds: number; readonly port: number | undefined }
  | {
      readonly role: 'nats';
      readonly bytes: number;
      readonly rounds: number;
      readonly piece: number;
      readonly first: boolean;
    };
type Assignment = Task & { readonly url: string };

interface Place {
  readonly view: GroupView;
}

const median = (values: readonly number[]): number =>
  values.toSorted((a, b) => a - b)[values.length >> 1] ?? Number.NaN;

async function timed(rounds: number, round: (i: number) => Promise<void>): Promise<number> {
  const times: number[] = [];
  // Enough for the compiler to have done its work, and for buffers to have been used before.
  const warmUp = Math.max(20, Math.ceil(rounds / 5));
  for (let i = 0; i < rounds + warmUp; i++) {
    const start = performance.now();
    await round(i);
    if (i >= warmUp) times.push(performance.now() - start);
  }
  return median(times);
}

// ---- in the parent ----------------------------------------------------------------------------------------------

async function main(): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'crossfold-bench-'));
  const broker = spawn(await findBroker(process.env), ['-a', '127.0.0.1', '-p', '-1', '-sd', folder], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  try {
    const url = `nats://127.0.0.1:${await portOf(broker)}`;
    console.log(`${cpus().length} cores, ${cpus()[0]?.model}, Node ${process.version}; milliseconds, medians`);
    for (const { name, length, rounds } of vectors) {
      const bytes = 4 * length;
      const tcp = await pair(url, { role: 'tcp', bytes, rounds, port: undefined });
      const overBroker: { piece: number; ms: number }[] = [];
      for (const piece of pieces)
        overBroker.push({ piece, ms: await pair(url, { role: 'nats', bytes, rounds, piece, first: false }) });
      const best = overBroker.toSorted((a, b) => a.ms - b.ms)[0];
      console.log(
        `\n${name}: ping-pong over TCP ${tcp.toFixed(2)}, over the broker ${best?.ms.toFixed(2)} (in pieces of ${(best?.piece ?? 0) / 1024} KB)`,
      );
      console.log('members  transport  all-reduce  / ping-pong   MB/s a member');
      for (const mode of ['direct', 'nats'] as const)
        for (const size of [2, 3, 4]) {
          const ms = await group(url, size, { role: 'member', mode, length, rounds });
          const ratio = ms / (mode === 'direct' ? tcp : (best?.ms ?? Number.NaN));
          const rate = bytes / 1e6 / (ms / 1e3);
          console.log(
            [
              String(size).padStart(7),
              mode.padStart(10),
              ms.toFixed(2).padStart(11),
              ratio.toFixed(2).padStart(12),
              rate.toFixed(0).padStart(15),
            ].join(' '),
          );
        }
    }
  } finally {
    broker.kill();
    await once(broker, 'exit');
    await rm(folder, { recursive: true, force: true });
  }
}

async function portOf(broker: ChildProcess): Promise<number> {
  let log = '';
  for await (const text of broker.stderr ?? []) {
    log += String(text);
    const port = /Listening for client connections on [^\n]*:(\d+)/.exec(log)?.[1];
    if (port !== undefined && log.includes('Server is ready')) {
      // Not to be left unread: the pipe would fill up.
      broker.stderr?.resume();
      return Number(port);
    }
  }
  throw new Error(`nats-server ended: ${log}`);
}

function start(task: Assignment): ChildProcess {
  const child = fork(new URL(import.meta.url).pathname, ['member'], { stdio: 'inherit' });
  child.send(task);
  return child;
}

const heard = async <T>(child: ChildProcess): Promise<T> => {
  const ended = once(child, 'exit').then(([code]) => {
    throw new Error(`a process of the benchmark ended with ${code}`);
  });
  const [message] = await Promise.race([once(child, 'message'), ended]);
  return message as T;
};

async function group(url: string, size: number, task: Extract<Task, { role: 'member' }>): Promise<number> {
  const children = Array.from({ length: size }, () => start({ ...task, url }));
  const addresses = await Promise.all(children.map((child) => heard<{ host: string; port: number }>(child)));
  const view = {
    job: `bench.train.0.0.${performance.now().toFixed(0)}`,
    generation: 1,
    members: addresses.map((address, rank) => ({ worker: `worker-${rank}`, address })),
    slices: 4,
    secret: 'bench',
  };
  for (const [rank, child] of children.entries()) child.send({ view: { ...view, rank } } satisfies Place);
  const times = await Promise.all(children.map((child) => heard<number>(child)));
  await leave(children);
  return Math.max(...times);
}

async function pair(url: string, task: Extract<Task, { role: 'tcp' | 'nats' }>): Promise<number> {
  const second = start({ ...task, url });
  const port = await heard<number>(second);
  const first = start(task.role === 'tcp' ? { ...task, url, port } : { ...task, url, first: true });
  const ms = await heard<number>(first);
  await leave([first, second]);
  return ms;
}

async function leave(children: readonly ChildProcess[]): Promise<void> {
  await Promise.all(
    children.map(async (child) => {
      const gone = once(child, 'exit');
      child.disconnect();
      await gone;
    }),
  );
}

// ---- in its processes -------------------------------------------------------------------------------------------

const say = (message: unknown): void => {
  process.send?.(message as object);
};

async function child(): Promise<void> {
  process.once('disconnect', () => process.exit(0));
  const [task] = (await once(process, 'message')) as [Assignment];
  if (task.role === 'tcp')
    return task.port === undefined ? tcpPong(task.bytes) : tcpPing(task.port, task.bytes, task.rounds);
  const nats = await connectBroker(task.url, 'bench');
  if (task.role === 'nats') return natsPingPong(nats, task);
  const listener = await DirectListener.open();
  say(listener.address);
  const [{ view }] = (await once(process, 'message')) as [Place];
  const { signal } = new AbortController();
  const exchange = await openExchange(view, { nats, mode: task.mode, listener }, signal);
  const [node] = completeSubtrees(view.slices, rankRange(view.rank, view.members.length, view.slices));
  let vector: Float32Array = new Float32Array(task.length);
  const ms = await timed(task.rounds, async (i) => {
    vector = await exchange.allReduce(i, [{ from: 0, to: 0, ...node, vector }], task.length, signal);
  });
  say(ms);
}

async function tcpPong(bytes: number): Promise<void> {
  const server = createServer({ noDelay: true }, (socket) => {
    const reply = Buffer.alloc(bytes);
    let got = 0;
    socket.on('data', (part) => {
      got += part.length;
      if (got === bytes) {
        got = 0;
        socket.write(reply);
      }
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  say(typeof address === 'object' ? address?.port : undefined);
}

async function tcpPing(port: number, bytes: number, rounds: number): Promise<void> {
  const socket = connect({ host: '127.0.0.1', port, noDelay: true });
  await once(socket, 'connect');
  const message = Buffer.alloc(bytes);
  let got = 0;
  let back = (): void => undefined;
  socket.on('data', (part) => {
    got += part.length;
    if (got < bytes) return;
    got = 0;
    back();
  });
  say(
    await timed(
      rounds,
      () =>
        new Promise((resolve) => {
          back = resolve;
          socket.write(message);
        }),
    ),
  );
}

async function natsPingPong(nats: NatsConnection, task: Extract<Task, { role: 'nats' }>): Promise<void> {
  const { bytes, piece } = task;
  const message = new Uint8Array(bytes);
  const send = (to: string): void => {
    for (let at = 0; at < bytes; at += piece) nats.publish(to, message.subarray(at, at + piece));
  };
  let got = 0;
  let whole = (): void => send('bench.ping');
  nats.subscribe(task.first ? 'bench.ping' : 'bench.pong', {
    callback: (_error, part) => {
      got += part.data.length;
      if (got < bytes) return;
      got = 0;
      whole();
    },
  });
  await nats.flush();
  if (!task.first) {
    say(0);
    return;
  }
  say(
    await timed(
      task.rounds,
      () =>
        new Promise((resolve) => {
          whole = resolve;
          send('bench.pong');
        }),
    ),
  );
}

await (process.argv[2] === 'member' ? child() : main());
