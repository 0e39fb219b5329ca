import { afterAll, beforeAll, describe, it } from 'vitest';
import { BrokerCluster } from '../support/broker-cluster.ts';

describe('a broker of three servers', () => {
  let cluster: BrokerCluster;
  beforeAll(async () => {
    cluster = await BrokerCluster.start();
  });
  afterAll(() => cluster?.stop());

  it.each([0, 1, 2])('loses nothing with server %i, and goes on without it', async (n) => {
    await cluster.loses(n);
    await cluster.servers[n]?.restart();
    await cluster.healthy();
  });
});
