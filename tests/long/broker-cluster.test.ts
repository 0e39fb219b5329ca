import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Broker } from '@crossfold/shared/broker/broker';
import { openBroker } from '@crossfold/shared/broker/broker';
import { allStreams } from '@crossfold/shared/broker/permissions';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { TestBroker } from '../support/broker.ts';
import { startBroker } from '../support/broker.ts';
import { aJob } from '../support/records.ts';

// Three real servers with replicated streams: the loss of any one is a pause, and no loss.
let folder: string;
const servers: TestBroker[] = [];
let broker: Broker;

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  const address = server.address();
  await new Promise((resolve) => {
    server.close(resolve);
  });
  if (address === null || typeof address === 'string') throw new Error('no port');
  return address.port;
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'crossfold-broker-cluster-'));
  const ports = await Promise.all([freePort(), freePort(), freePort()]);
  const routes = ports.map((port) => `nats://127.0.0.1:${port}`).join(', ');
  const configs = await Promise.all(
    ports.map(async (port, n) => {
      const file = join(folder, `${n}.conf`);
      const cluster = `cluster { name: crossfold, listen: "127.0.0.1:${port}", routes: [${routes}] }`;
      await writeFile(file, `server_name: s${n}\n${cluster}\n`);
      return file;
    }),
  );
  servers.push(...(await Promise.all(configs.map((config) => startBroker({ config })))));
  const url = servers.map((server) => server.url).join(',');
  broker = await openBroker(url, 'test', { replicas: 'auto', patienceMs: 30_000 });
});
afterAll(async () => {
  await broker?.close();
  for (const server of servers) await server.stop();
  await rm(folder, { recursive: true, force: true });
});

describe('a broker of three servers', () => {
  it('keeps three copies of everything', async () => {
    const manager = await broker.nats.jetstreamManager();
    for (const stream of allStreams) expect((await manager.streams.info(stream)).config.num_replicas).toBe(3);
  });

  it.each([0, 1, 2])(
    'loses nothing with server %i, and goes on without it',
    async (n) => {
      const job = aJob({ id: `lost.train.0.0.${n}` });
      expect(await broker.jobs.create(job.id, job)).toBe(true);
      const bytes = new Uint8Array(400_000).fill(n + 1);
      const before = await broker.artifacts.put(bytes);
      const seen = new Set<number>();
      const stop = new AbortController();
      let wake: () => void = () => undefined;
      await broker.jobs.watch(
        job.id,
        stop.signal,
        ({ value }) => {
          seen.add(value.attempts);
          wake();
        },
        () => undefined,
      );
      await servers[n]?.kill();

      await broker.jobs.transition(job.id, (current) => ({ ...current, attempts: 7 }));
      expect((await broker.jobs.get(job.id))?.value.attempts).toBe(7);
      expect(Buffer.compare(await broker.artifacts.get(before, bytes.length), bytes)).toBe(0);
      const after = await broker.artifacts.put(new Uint8Array(400_000).fill(n + 100));
      expect(await broker.artifacts.has(after)).toBe(true);
      await broker.seats.offer('engine', job.id);
      const line = broker.seats.line('engine');
      let seat = await line.next(2000);
      while (seat === undefined) seat = await line.next(2000);
      expect(seat.job).toBe(job.id);
      seat.acknowledge();
      while (!seen.has(7))
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      stop.abort();
      await servers[n]?.restart();
    },
    120_000,
  );
});
