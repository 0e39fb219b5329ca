import { allStreams } from '@crossfold/shared/broker/permissions';
import { takeSeat } from '@crossfold/shared/jobs/transitions';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { BrokerCluster } from '../support/broker-cluster.ts';
import { aJob } from '../support/records.ts';

describe('a broker of three servers', () => {
  let cluster: BrokerCluster;
  beforeAll(async () => {
    cluster = await BrokerCluster.start();
  }, 120_000);
  afterAll(() => cluster?.stop());

  it('keeps three copies of everything', async () => {
    const manager = await cluster.broker.nats.jetstreamManager();
    for (const stream of allStreams) expect((await manager.streams.info(stream)).config.num_replicas).toBe(3);
  });

  it('takes transitions of one record from many at once, each exactly once', async () => {
    const { jobs } = cluster.broker;
    const job = aJob({ id: 'crowd.train.0.0.0', seats: 8 });
    await jobs.create(job.id, job);
    const stamp = { now: 1, secret: '' };
    const takers = Array.from({ length: 12 }, (_, i) =>
      jobs.transition(job.id, (current) => takeSeat(current, { worker: `w${i}`, address: null }, stamp)),
    );
    expect((await Promise.all(takers)).filter((record) => record !== undefined)).toHaveLength(8);
    const after = (await jobs.get(job.id))?.value;
    expect(new Set(after?.members.map((m) => m.worker)).size).toBe(8);
  });

  // Any one of them, one after another: tests/long.
  it('loses nothing with the one that takes the writes, and goes on without it', async () => {
    await cluster.loses(await cluster.leader());
  }, 120_000);
});
