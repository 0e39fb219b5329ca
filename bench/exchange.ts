/**
 * How fast a group sums a gradient, beside what the wire gives: `npm run bench -- exchange [--vector 13.8] [--transport
 * direct|nats] [--members N] [--json FILE]`. Each member is a process;
 * the wire is measured in the same run, between two processes that send each other the same bytes in turn (over TCP;
 * over the broker with the piece size that does best).
 */
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { connect, createServer } from 'node:net';
import { connectBroker } from '@crossfold/shared/broker/connection';
import type { GroupView } from '@crossfold/worker/exchange/exchange';
import { DirectListener } from '@crossfold/worker/exchange/listener';
import { openExchange } from '@crossfold/worker/exchange/open-exchange';
import { completeSubtrees, rankRange } from '@crossfold/worker/exchange/tree';
import type { NatsConnection } from 'nats';
import { Member, machine, median, option, say, table, tasks, withBroker } from './support/cluster.ts';

/** Elements of the gradients of the MNIST net and of the cats-and-dogs net, both with their four trailing sums. */
const vectors = [
  { name: '373 KB', length: 93_326, rounds: 800 },
  { name: '13.8 MB', length: 3_453_125, rounds: 40 },
] as const;
const pieces = [64, 128, 256, 512, 1000].map((kilobytes) => kilobytes * 1024);

/** `direct` is what peers on one machine use, a socket in the file system; `direct, TCP` what others do. */
const ways = ['direct', 'direct, TCP', 'nats'] as const;
type Way = (typeof ways)[number];

type Task =
  | { readonly role: 'member'; readonly way: Way; readonly length: number; readonly rounds: number }
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
  const report: Record<string, unknown>[] = [];
  const wires: Record<string, unknown>[] = [];
  const { cores, cpu, node } = machine();
  console.log(`${cores} cores, ${cpu}, Node ${node}; milliseconds, medians`);
  await withBroker(async (url) => {
    for (const { name, length, rounds } of vectors.filter((v) => v.name.startsWith(option('vector') ?? ''))) {
      const bytes = 4 * length;
      const tcp = await pair(url, { role: 'tcp', bytes, rounds, port: undefined });
      const overBroker: { piece: number; ms: number }[] = [];
      for (const piece of pieces)
        overBroker.push({ piece, ms: await pair(url, { role: 'nats', bytes, rounds, piece, first: false }) });
      const best = overBroker.toSorted((a, b) => a.ms - b.ms)[0] ?? { piece: 0, ms: Number.NaN };
      wires.push({ vector: name, bytes, tcpPingPong: tcp, brokerPingPong: best.ms, piece: best.piece });
      console.log(
        `\n${name}: ping-pong over TCP ${tcp.toFixed(2)}, over the broker ${best.ms.toFixed(2)} (in pieces of ${best.piece / 1024} KB)`,
      );
      const rows: string[][] = [];
      for (const way of ways.filter((w) => w.startsWith(option('transport') ?? '')))
        for (const size of [2, 3, 4].filter((n) => n === Number(option('members') ?? n))) {
          const ms = await group(url, size, { role: 'member', way, length, rounds });
          const ratio = ms / (way === 'nats' ? best.ms : tcp);
          const megabytesPerSecond = bytes / 1e6 / (ms / 1e3);
          report.push({ vector: name, members: size, transport: way, ms, ratio, megabytesPerSecond });
          rows.push([String(size), way, ms.toFixed(2), ratio.toFixed(2), megabytesPerSecond.toFixed(0)]);
        }
      console.log(table(['members', 'transport', 'all-reduce', '/ ping-pong', 'MB/s a member'], rows));
    }
  });
  const file = option('json');
  if (file !== undefined)
    await writeFile(file, `${JSON.stringify({ machine: machine(), wires, exchange: report }, undefined, 2)}\n`);
}

async function group(url: string, size: number, task: Extract<Task, { role: 'member' }>): Promise<number> {
  const members = Array.from({ length: size }, () => new Member(import.meta.url));
  for (const member of members) member.tell({ ...task, url } satisfies Assignment);
  const addresses = await Promise.all(members.map((m) => m.hear<{ host: string; port: number }>()));
  const view = {
    job: `bench.train.0.0.${performance.now().toFixed(0)}`,
    generation: 1,
    members: addresses.map((address, rank) => ({ worker: `worker-${rank}`, address })),
    slices: 4,
    secret: 'bench',
  };
  for (const [rank, member] of members.entries()) member.tell({ view: { ...view, rank } } satisfies Place);
  const times = await Promise.all(members.map((m) => m.hear<number>()));
  await Promise.all(members.map((m) => m.leave()));
  return Math.max(...times);
}

async function pair(url: string, task: Extract<Task, { role: 'tcp' | 'nats' }>): Promise<number> {
  const [first, second] = [new Member(import.meta.url), new Member(import.meta.url)];
  second.tell({ ...task, url } satisfies Assignment);
  const port = await second.hear<number>();
  first.tell((task.role === 'tcp' ? { ...task, url, port } : { ...task, url, first: true }) satisfies Assignment);
  const ms = await first.hear<number>();
  await Promise.all([first.leave(), second.leave()]);
  return ms;
}

// ---- in its processes -------------------------------------------------------------------------------------------

async function member(): Promise<void> {
  const told = tasks<Assignment | Place>();
  const task = (await told.next()).value;
  if ('view' in task) throw new Error('a member is told first what it is to do');
  if (task.role === 'tcp')
    return task.port === undefined ? tcpPong(task.bytes) : tcpPing(task.port, task.bytes, task.rounds);
  const nats = await connectBroker(task.url, 'bench');
  if (task.role === 'nats') return natsPingPong(nats, task);
  const listener = await DirectListener.open({ local: task.way === 'direct' });
  say(listener.address);
  const place = (await told.next()).value;
  if (!('view' in place)) throw new Error('a member is told its place in the group');
  const { view } = place;
  const { signal } = new AbortController();
  const exchange = await openExchange(view, { nats, mode: task.way === 'nats' ? 'nats' : 'direct', listener }, signal);
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

await (process.argv[2] === 'member' ? member() : main());
