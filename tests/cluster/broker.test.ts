import type { Broker } from '@crossfold/shared/broker/broker';
import { openBroker } from '@crossfold/shared/broker/broker';
import { LeaseKeeper, leaseKey, leaseMs } from '@crossfold/shared/broker/lease';
import { DamagedDataError, UnreachableError } from '@crossfold/shared/errors';
import { takeSeat } from '@crossfold/shared/jobs/transitions';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { TestBroker } from '../support/broker.ts';
import { someSeat, startBroker } from '../support/broker.ts';
import { aJob } from '../support/records.ts';

let server: TestBroker;
let broker: Broker;
beforeAll(async () => {
  server = await startBroker();
  broker = await openBroker(server.url, 'test');
});
afterAll(async () => {
  await broker.close();
  await server.stop();
});

describe('a broker that is not there', () => {
  it('is an error that names the server, without its password', async () => {
    const attempt = openBroker('nats://me:secret@127.0.0.1:9', 'test');
    await expect(attempt).rejects.toThrow(UnreachableError);
    await expect(attempt).rejects.toThrow(/127\.0\.0\.1:9/);
    await expect(attempt).rejects.not.toThrow(/secret/);
  });
});

describe('records', () => {
  it('are created once, and changed only by who has seen the last change', async () => {
    const job = aJob({ id: 'records.train.0.0.0' });
    expect(await broker.jobs.create(job.id, job)).toBe(true);
    expect(await broker.jobs.create(job.id, job)).toBe(false);
    const seen = await broker.jobs.get(job.id);
    expect(seen?.value).toEqual(job);
    expect(await broker.jobs.update(job.id, { ...job, attempts: 1 }, seen?.revision ?? 0)).toBe(true);
    expect(await broker.jobs.update(job.id, { ...job, attempts: 2 }, seen?.revision ?? 0)).toBe(false);
    expect((await broker.jobs.get(job.id))?.value.attempts).toBe(1);
  });

  it('are none where something else lies in their place, unless it says that it is that record', async () => {
    const job = aJob({ id: 'displaced.train.0.0.0' });
    const { nats, jobs } = broker;
    nats.publish('$JS.API.STREAM.INFO.KV_crossfold_jobs', undefined, { reply: `$KV.crossfold_jobs.${job.id}` });
    await expect.poll(() => jobs.keys('displaced.>')).toEqual([job.id]);
    await expect(jobs.get(job.id)).rejects.toThrow(`record ${job.id} is not as it should be`);
    await expect(jobs.transition(job.id, (there) => there)).rejects.toThrow('is not as it should be');
    expect(await jobs.create(job.id, job)).toBe(true);
    expect((await jobs.get(job.id))?.value).toEqual(job);
    // As a later version may have written it.
    await nats.jetstream().publish(`$KV.crossfold_jobs.${job.id}`, JSON.stringify({ ...job, schema: 2 }));
    expect(await jobs.create(job.id, job)).toBe(false);
    await jobs.delete(job.id);
  });

  it('take transitions from many at once, each exactly once', async () => {
    const job = aJob({ id: 'crowd.train.0.0.0', seats: 8 });
    await broker.jobs.create(job.id, job);
    const stamp = { now: 1, secret: '' };
    const takers = Array.from({ length: 12 }, (_, i) =>
      broker.jobs.transition(job.id, (current) => takeSeat(current, { worker: `w${i}`, address: null }, stamp)),
    );
    const taken = (await Promise.all(takers)).filter((record) => record !== undefined);
    expect(taken).toHaveLength(8);
    const after = (await broker.jobs.get(job.id))?.value;
    expect(new Set(after?.members.map((m) => m.worker)).size).toBe(8);
    expect(after).toMatchObject({ state: 'running', generation: 1 });
  });

  it('are watched from what is there on, in order, up to the newest', async () => {
    const stop = new AbortController();
    const seen: number[] = [];
    const third = deferred();
    const job = aJob({ id: 'watched.train.0.0.0' });
    await broker.jobs.create(job.id, job);
    await broker.jobs.watch(
      'watched.>',
      stop.signal,
      ({ value }) => {
        seen.push(value.attempts);
        if (value.attempts === 2) third.resolve(undefined);
      },
      () => undefined,
    );
    expect(seen).toEqual([0]);
    for (const attempts of [1, 2]) await broker.jobs.transition(job.id, (current) => ({ ...current, attempts }));
    await third.promise;
    // Revisions in between may be left out: the broker keeps the newest.
    expect([
      [0, 2],
      [0, 1, 2],
    ]).toContainEqual(seen);
    stop.abort();
  });
});

describe('blobs', () => {
  it('come back by their digest, and only whole', async () => {
    const bytes = new Uint8Array(300_000).map((_, i) => i % 251);
    const digest = await broker.artifacts.put(bytes);
    expect(await broker.artifacts.put(bytes)).toBe(digest);
    expect(Buffer.compare(await broker.artifacts.get(digest, 300_000), bytes)).toBe(0);
    await expect(broker.artifacts.get(digest, 299_999)).rejects.toThrow(DamagedDataError);
    await expect(broker.artifacts.get('0'.repeat(64), 10)).rejects.toThrow(DamagedDataError);
    await broker.artifacts.remove(digest);
    expect(await broker.artifacts.has(digest)).toBe(false);
  });
});

describe('seats', () => {
  it('go to one worker of the right identity and are gone once acknowledged', async () => {
    const [mine, others] = [broker.seats.line('mine'), broker.seats.line('others')];
    await broker.seats.offer('mine', 'a.train.0.0.0');
    expect(await others.next(1000)).toBeUndefined();
    const seat = await someSeat(mine);
    expect(seat.job).toBe('a.train.0.0.0');
    expect(await broker.seats.waiting()).toEqual(new Map([['mine', 1]]));
    seat.acknowledge();
    await expect.poll(() => broker.seats.waiting()).toEqual(new Map());
    expect(await mine.next(1000)).toBeUndefined();
  });
});

describe('the lease', () => {
  it('has one holder; another takes over once the holder has been silent', async () => {
    let now = 0;
    const first = new LeaseKeeper(broker.leases, 'first', () => now);
    const second = new LeaseKeeper(broker.leases, 'second', () => now);
    expect(await first.poll()).toBe(true);
    expect(await second.poll()).toBe(false);
    now += leaseMs / 2;
    expect(await first.poll()).toBe(true);
    now += leaseMs * 0.9;
    expect(await second.poll()).toBe(false);
    now += leaseMs;
    expect(first.held).toBe(false);
    expect(await second.poll()).toBe(true);
    expect(await first.poll()).toBe(false);
    await second.release();
    expect(await first.poll()).toBe(true);
    await first.release();
  });

  it('is taken at first sight where it was left before', async () => {
    expect(await new LeaseKeeper(broker.leases, 'killed', () => 0).poll()).toBe(true);
    expect(await new LeaseKeeper(broker.leases, 'early', () => 0).poll()).toBe(false);
    const age = (): Promise<number> => broker.leases.ageMs(leaseKey);
    await expect.poll(age, { timeout: 4 * leaseMs }).toBeGreaterThanOrEqual(leaseMs);
    expect(await new LeaseKeeper(broker.leases, 'restarted', () => 0).poll()).toBe(true);
  });
});

function deferred(): { promise: Promise<unknown>; resolve: (value: unknown) => void } {
  let resolve: (value: unknown) => void = () => undefined;
  const promise = new Promise<unknown>((r) => {
    resolve = r;
  });
  return { promise, resolve };
}
