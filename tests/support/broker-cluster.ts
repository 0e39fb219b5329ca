import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Broker } from '@crossfold/shared/broker/broker';
import { openBroker } from '@crossfold/shared/broker/broker';
import { Buckets, recordStream } from '@crossfold/shared/broker/subjects';
import { expect, vi } from 'vitest';
import type { TestBroker } from './broker.ts';
import { someSeat, startBroker } from './broker.ts';
import { aJob } from './records.ts';

/** More than an election takes: a server waits 4 to 9 s for its leader before it stands, and may have to twice. */
const patienceMs = 30_000;

/** Three real servers that keep copies of each other's streams, and a connection to whichever are there. */
export class BrokerCluster {
  readonly servers: readonly TestBroker[];
  readonly broker: Broker;
  readonly #folder: string;

  private constructor(servers: readonly TestBroker[], broker: Broker, folder: string) {
    this.servers = servers;
    this.broker = broker;
    this.#folder = folder;
  }

  static async start(): Promise<BrokerCluster> {
    const folder = await mkdtemp(join(tmpdir(), 'crossfold-broker-cluster-'));
    const ports = await Promise.all([freePort(), freePort(), freePort()]);
    const routes = ports.map((port) => `nats://127.0.0.1:${port}`).join(', ');
    const servers = await Promise.all(
      ports.map(async (port, n) => {
        const config = join(folder, `${n}.conf`);
        const cluster = `cluster { name: crossfold, listen: "127.0.0.1:${port}", routes: [${routes}] }`;
        await writeFile(config, `server_name: s${n}\nhttp: "127.0.0.1:-1"\n${cluster}\n`);
        return startBroker({ config });
      }),
    );
    const url = servers.map((server) => server.url).join(',');
    try {
      const broker = await openBroker(url, 'test', { replicas: 'auto', patienceMs });
      const cluster = new BrokerCluster(servers, broker, folder);
      await cluster.healthy();
      return cluster;
    } catch (error) {
      await Promise.all(servers.map((server) => server.stop()));
      throw error;
    }
  }

  /**
   * Resolves once every server is current with what the others know, of the streams and of the cluster itself: only then
   * can any one of them be done without. By their own word, which is what Kubernetes goes by.
   */
  async healthy(): Promise<void> {
    const health = (): Promise<string[]> =>
      Promise.all(
        this.servers.map(async ({ monitor }) => {
          const answer = await fetch(`${monitor}/healthz`).catch(() => undefined);
          return (await answer?.text()) ?? 'no answer';
        }),
      );
    const well = this.servers.map(() => '{"status":"ok"}');
    await vi.waitFor(async () => expect(await health()).toEqual(well), { timeout: 60_000, interval: 100 });
  }

  /** The server that takes the writes of the jobs' records. */
  async leader(): Promise<number> {
    const manager = await this.broker.nats.jetstreamManager();
    const info = await manager.streams.info(recordStream(Buckets.jobs));
    return Number(info.cluster?.leader?.slice(1));
  }

  /** Kills a server in the middle of everything: nothing is lost, and all that can be asked is done without it. */
  async loses(n: number): Promise<void> {
    const { broker } = this;
    const job = aJob({ id: `lost.train.0.0.${n}` });
    expect(await broker.jobs.create(job.id, job)).toBe(true);
    const bytes = new Uint8Array(400_000).fill(n + 1);
    const before = await broker.artifacts.put(bytes);
    const seen = new Set<number>();
    const stop = new AbortController();
    await broker.jobs.watch(
      job.id,
      stop.signal,
      ({ value }) => seen.add(value.attempts),
      () => undefined,
    );
    await this.servers[n]?.kill();

    await broker.jobs.transition(job.id, (current) => ({ ...current, attempts: 7 }));
    expect((await broker.jobs.get(job.id))?.value.attempts).toBe(7);
    expect(Buffer.compare(await broker.artifacts.get(before, bytes.length), bytes)).toBe(0);
    const after = await broker.artifacts.put(new Uint8Array(400_000).fill(n + 100));
    expect(await broker.artifacts.has(after)).toBe(true);
    await broker.seats.offer('engine', job.id);
    // Seats are given out at least once: one from before may come again.
    const line = broker.seats.line('engine');
    for (let taken = ''; taken !== job.id; ) {
      const seat = await someSeat(line);
      seat.acknowledge();
      taken = seat.job;
    }
    await expect.poll(() => seen.has(7)).toBe(true);
    stop.abort();
  }

  async stop(): Promise<void> {
    await this.broker.close();
    await Promise.all(this.servers.map((server) => server.stop()));
    await rm(this.#folder, { recursive: true, force: true });
  }
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  if (address === null || typeof address === 'string') throw new Error('no port');
  return address.port;
}
