import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createConnection } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { BrokerUser } from '@crossfold/coordinator/deploy/broker-users';
import { brokerUsers, renderAuthorization } from '@crossfold/coordinator/deploy/broker-users';
import { RefusedLogins } from '@crossfold/coordinator/metrics/broker-monitor';
import { connectBroker } from '@crossfold/shared/broker/connection';
import { createUserKey } from '@crossfold/shared/broker/keys';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { TestBroker } from '../support/broker.ts';
import { startBroker } from '../support/broker.ts';
import { startTrainingCluster } from '../support/cluster.ts';

let folder: string;
let server: TestBroker;
const urlOf = (user: string): string => `${server.url}?credentials=${encodeURIComponent(join(folder, `${user}.nk`))}`;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'crossfold-logins-'));
  const keys = new Map<BrokerUser, string>();
  for (const user of brokerUsers) {
    const { seed, publicKey } = createUserKey();
    await writeFile(join(folder, `${user}.nk`), seed, { mode: 0o600 });
    keys.set(user, publicKey);
  }
  await writeFile(join(folder, 'stranger.nk'), createUserKey().seed);
  const config = join(folder, 'nats.conf');
  await writeFile(config, `http: "127.0.0.1:-1"\n${renderAuthorization((user) => keys.get(user) ?? '')}`);
  server = await startBroker({ config });
});
afterAll(async () => {
  await server?.stop();
  await rm(folder, { recursive: true, force: true });
});

it('whom the broker does not let in is told once, and nobody else', async () => {
  const told: string[] = [];
  const border = {
    dropped: () => undefined,
    refused: (...words: readonly string[]) => void told.push(words.join(' | ')),
  };
  const logins = new RefusedLogins([server.monitor], border);
  const refused = async (url: string): Promise<void> => expect(connectBroker(url, 'x')).rejects.toThrow('refused');
  const enterAndLeave = async (): Promise<void> => (await connectBroker(urlOf('client'), 'y', 'client')).close();
  /** Until the server has so many connections in its list: it writes one down once the socket is closed. */
  const closed = async (count: number): Promise<void> => {
    const total = async (): Promise<number> =>
      ((await (await fetch(`${server.monitor}/connz?state=closed`)).json()) as { total: number }).total;
    await expect.poll(total).toBe(count);
  };
  await refused(urlOf('stranger'));
  await closed(1);
  // What was before it began to look is not told.
  await logins.look();
  expect(told).toEqual([]);
  await enterAndLeave();
  await refused(urlOf('stranger'));
  await refused(server.url.replace('//', '//crossfold:wrong@'));
  await refused(server.url);
  await closed(5);
  await logins.look();
  expect(told).toEqual(Array.from({ length: 3 }, () => 'login | 127.0.0.1 | the broker: Authentication Failure'));
  await logins.look();
  expect(told).toHaveLength(3);
  // Who says nothing, and goes, tried nothing.
  const socket = createConnection(server.port, '127.0.0.1');
  socket.once('data', () => socket.destroy());
  await closed(6);
  await logins.look();
  expect(told).toHaveLength(3);
});

it('a cluster of `up` counts them, and names the first in the log', async () => {
  const { url, cluster, stop } = await startTrainingCluster({ workers: 0 });
  try {
    const metrics = `${cluster.http().get('coordinator')}/metrics`;
    const count = async (): Promise<number> => {
      // From when on it looks is its own affair.
      await expect(connectBroker(url.replace(/:[^:@]+@/, ':wrong@'), 'x')).rejects.toThrow('refused');
      return Number(/^crossfold_refused_total\{kind="login"\} (\d+)$/m.exec(await (await fetch(metrics)).text())?.[1]);
    };
    await expect.poll(count, { timeout: 60_000, interval: 500 }).toBeGreaterThan(0);
  } finally {
    await stop();
  }
}, 120_000);
