import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Broker } from '@crossfold/shared/broker/broker';
import { openBroker } from '@crossfold/shared/broker/broker';
import { Buckets, SeatStream, Stores, seatConsumer } from '@crossfold/shared/broker/subjects';
import { BrokerFullError, ConfigError, DamagedDataError, UnreachableError } from '@crossfold/shared/errors';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { TestBroker } from '../support/broker.ts';
import { someSeat, startBroker } from '../support/broker.ts';
import { aJob } from '../support/records.ts';

let server: TestBroker;
let broker: Broker;
let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'crossfold-broker-faults-'));
});
afterEach(async () => {
  await broker?.close();
  await server?.stop();
  await rm(folder, { recursive: true, force: true });
});

const filled = (length: number, value: number): Uint8Array => new Uint8Array(length).fill(value);

/** A server, with more in its configuration where given, and a patient broker. */
async function start(config?: string): Promise<void> {
  if (config !== undefined) await writeFile(join(folder, 'nats.conf'), config);
  server = await startBroker(config === undefined ? {} : { config: join(folder, 'nats.conf') });
  broker = await openBroker(server.url, 'test', { patienceMs: 20_000 });
}

describe('while the broker is away', () => {
  it('what is asked waits, and is done once it is back', async () => {
    await start();
    const job = aJob();
    await broker.jobs.create(job.id, job);
    const early = await broker.artifacts.put(filled(300_000, 1));
    await server.kill();
    const asked = Promise.all([
      broker.jobs.transition(job.id, (current) => ({ ...current, attempts: current.attempts + 1 })),
      broker.jobs.get(job.id),
      broker.artifacts.put(filled(300_000, 2)),
      broker.artifacts.get(early, 300_000),
      broker.seats.offer('engine', job.id),
      broker.jobs.keys('>'),
    ]);
    await server.restart();
    const [changed, , late, bytes, , keys] = await asked;
    expect(changed?.attempts).toBe(1);
    expect((await broker.jobs.get(job.id))?.value.attempts).toBe(1);
    expect(Buffer.compare(bytes, filled(300_000, 1))).toBe(0);
    expect(await broker.artifacts.has(late)).toBe(true);
    expect(keys).toEqual([job.id]);
    expect(await broker.seats.waiting()).toEqual(new Map([['engine', 1]]));
  });

  it('what takes too long is an error that says what was asked', async () => {
    server = await startBroker();
    broker = await openBroker(server.url, 'test', { patienceMs: 300 });
    await server.kill();
    const asked = broker.jobs.get('a.train.0.0.0');
    await expect(asked).rejects.toThrow(UnreachableError);
    await expect(asked).rejects.toThrow(/gave up waiting for the broker to read a\.train\.0\.0\.0: /);
  });

  it('is said, with what is waited for', async () => {
    server = await startBroker();
    const said: string[] = [];
    broker = await openBroker(server.url, 'test', { patienceMs: 4000, onWaiting: (message) => said.push(message) });
    await server.kill();
    await expect(broker.jobs.get('a.train.0.0.0')).rejects.toThrow(UnreachableError);
    expect(said).toEqual([expect.stringMatching(/^waiting for the broker to read a\.train\.0\.0\.0: /)]);
  });
});

describe('a watch', () => {
  const attempts = async (id: string, n: number): Promise<void> => {
    await broker.jobs.transition(id, (current) => ({ ...current, attempts: n }));
  };

  it('goes on after a restart, and brings what it has missed', async () => {
    await start();
    const watching = await watch();
    await broker.jobs.create('a.train.0.0.0', aJob({ id: 'a.train.0.0.0' }));
    await server.kill();
    const changed = attempts('a.train.0.0.0', 7);
    await server.restart();
    await changed;
    await watching.until('a.train.0.0.0', 7);
    await attempts('a.train.0.0.0', 8);
    await watching.until('a.train.0.0.0', 8);
    watching.stop();
  });

  it('goes on when the broker has lost what served it', async () => {
    await start();
    const watching = await watch();
    await broker.jobs.create('a.train.0.0.0', aJob({ id: 'a.train.0.0.0' }));
    await watching.until('a.train.0.0.0', 0);
    const manager = await broker.nats.jetstreamManager();
    const stream = `KV_${Buckets.jobs}`;
    for await (const consumer of manager.consumers.list(stream)) await manager.consumers.delete(stream, consumer.name);
    await attempts('a.train.0.0.0', 9);
    await watching.until('a.train.0.0.0', 9);
    watching.stop();
  });

  /** A watch of all jobs, and how to await what it brings. */
  async function watch() {
    const stop = new AbortController();
    const newest = new Map<string, number>();
    let wake: () => void = () => undefined;
    await broker.jobs.watch(
      '>',
      stop.signal,
      ({ key, value }) => {
        newest.set(key, value.attempts);
        wake();
      },
      () => undefined,
    );
    return {
      stop: () => stop.abort(),
      async until(key: string, n: number) {
        while (newest.get(key) !== n)
          await new Promise<void>((resolve) => {
            wake = resolve;
          });
      },
    };
  }
});

describe('the queue of seats', () => {
  it('serves on after a restart, and after it was forgotten who stands in line', async () => {
    await start();
    const line = broker.seats.line('engine');
    const given: string[] = [];
    // Seats are given out at least once: one from before may come again, whose acknowledgement the broker had not written
    // down when it was killed.
    const passes = async (job: string): Promise<void> => {
      await broker.seats.offer('engine', job);
      given.push(job);
      for (;;) {
        const seat = await someSeat(line);
        expect(given).toContain(seat.job);
        seat.acknowledge();
        if (seat.job === job) return;
      }
    };
    await passes('a.train.0.0.0');
    await server.restart();
    await passes('a.train.0.0.1');
    const manager = await broker.nats.jetstreamManager();
    await manager.consumers.delete(SeatStream, seatConsumer('engine'));
    await passes('a.train.0.0.2');
    await expect.poll(() => broker.seats.waiting()).toEqual(new Map());
  });

  it('gives a seat that is refused to another', async () => {
    await start();
    const [first, second] = [broker.seats.line('engine'), broker.seats.line('engine')];
    await broker.seats.offer('engine', 'a.train.0.0.0');
    (await someSeat(first)).refuse();
    expect((await someSeat(second)).job).toBe('a.train.0.0.0');
  });
});

describe('a broker without room', () => {
  it('is an error that says so; what it holds is intact, and there is more room once it is given', async () => {
    await start();
    const manager = await broker.nats.jetstreamManager();
    const stream = `OBJ_${Stores.artifacts}`;
    const kept = await broker.artifacts.put(filled(100_000, 1));
    await manager.streams.update(stream, { max_bytes: 200_000 });
    const impatient = await openBroker(server.url, 'impatient', { patienceMs: 500 });
    const refused = impatient.artifacts.put(filled(300_000, 2));
    await expect(refused).rejects.toThrow(BrokerFullError);
    await expect(refused).rejects.toThrow(/to store blob .*free space on its disk, .*raise its limits/);
    await impatient.close();
    expect(Buffer.compare(await broker.artifacts.get(kept, 100_000), filled(100_000, 1))).toBe(0);

    const waiting = broker.artifacts.put(filled(300_000, 3));
    await manager.streams.update(stream, { max_bytes: -1 });
    expect(Buffer.compare(await broker.artifacts.get(await waiting, 300_000), filled(300_000, 3))).toBe(0);
  });
});

describe('limits of the broker', () => {
  it('that are smaller than usual are kept to', async () => {
    await start('max_payload: 65536\n');
    const bytes = new Uint8Array(300_000).map((_, i) => i % 251);
    expect(Buffer.compare(await broker.artifacts.get(await broker.artifacts.put(bytes), 300_000), bytes)).toBe(0);
  });

  it('that are too small are an error with the remedy', async () => {
    await expect(start('max_payload: 4096\n')).rejects.toThrow(ConfigError);
    await expect(openBroker(server.url, 'test')).rejects.toThrow(/max_payload is 4096 bytes; set it to at least 65536/);
  });
});

describe('a damaged store', () => {
  it('is an error, not an endless wait', async () => {
    await start();
    const digest = await broker.artifacts.put(filled(300_000, 1));
    const manager = await broker.nats.jetstreamManager();
    await manager.streams.purge(`OBJ_${Stores.artifacts}`, { filter: `$O.${Stores.artifacts}.C.>` });
    await expect(broker.artifacts.get(digest, 300_000)).rejects.toThrow(DamagedDataError);
  });
});
