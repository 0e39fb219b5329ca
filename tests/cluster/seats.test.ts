import type { Broker } from '@crossfold/shared/broker/broker';
import { openBroker } from '@crossfold/shared/broker/broker';
import { Roster } from '@crossfold/shared/broker/presence';
import type { JobRecord } from '@crossfold/shared/jobs/records';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { TestBroker } from '../support/broker.ts';
import { startBroker } from '../support/broker.ts';
import type { Service } from '../support/processes.ts';
import { Services } from '../support/processes.ts';
import { aJob } from '../support/records.ts';

let server: TestBroker;
let broker: Broker;
let services: Services;
let worker: Service;
let identity: string;
let name: string;
const over = new AbortController();

beforeAll(async () => {
  server = await startBroker();
  broker = await openBroker(server.url, 'test');
  services = await Services.in(() => server.url);
  worker = services.worker('worker-0');
  const ready = await worker.says('ready for jobs');
  [identity, name] = [String(ready.identity), String(ready.worker)];
});
afterAll(async () => {
  over.abort();
  await services?.close();
  await broker?.close();
  await server?.stop();
});

const elsewhere = [{ worker: 'another', address: null }];

describe('a seat that is given out again', () => {
  it.each([
    ['is completed', { state: 'completed', finishedAt: 5 }],
    ['has failed', { state: 'failed', error: 'it diverged', finishedAt: 5 }],
    ['was cancelled', { state: 'cancelled', finishedAt: 5 }],
    ['was pruned', { state: 'pruned', finishedAt: 5 }],
    ['is paused', { state: 'paused', finishedAt: 5 }],
    ['has all its members', { state: 'running', generation: 3, seats: 1, members: elsewhere }],
  ] satisfies [string, Partial<JobRecord>][])('is dropped where the job %s', async (what, over) => {
    const job = aJob({ id: `again.train.0.0.${what.length}`, identity, ...over });
    await broker.jobs.create(job.id, job);
    const before = await broker.jobs.get(job.id);
    const from = worker.lines.length;
    for (let times = 0; times < 2; times++) await broker.seats.offer(identity, job.id);
    await expect.poll(() => broker.seats.waiting()).toEqual(new Map());
    expect(await broker.jobs.get(job.id)).toEqual(before);
    // It was not even opened: its plan, of which there is none, would have been missed.
    expect(worker.lines.slice(from).filter(({ level }) => level === 'warn' || level === 'error')).toEqual([]);
  });

  it('keeps its worker from nothing: it is there for the next', async () => {
    const roster = new Roster(broker.nats, over.signal, () => performance.now());
    await expect.poll(() => roster.alive().map(({ state }) => state)).toEqual(['idle']);
    const job = aJob({ id: 'next.train.0.0.0', identity });
    await broker.jobs.create(job.id, job);
    await broker.seats.offer(identity, job.id);
    // The plan is not there: an attempt that fails, which is on record.
    await expect.poll(async () => (await broker.jobs.get(job.id))?.value.failedOn).toEqual([name]);
  });
});
