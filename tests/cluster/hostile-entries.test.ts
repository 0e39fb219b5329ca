import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { BrokerUser } from '@crossfold/coordinator/deploy/broker-users';
import { brokerUsers, renderAuthorization } from '@crossfold/coordinator/deploy/broker-users';
import { unwatchedBorder } from '@crossfold/shared/border';
import type { Broker } from '@crossfold/shared/broker/broker';
import { openBroker } from '@crossfold/shared/broker/broker';
import { createUserKey } from '@crossfold/shared/broker/keys';
import { Stores } from '@crossfold/shared/broker/subjects';
import { sha256 } from '@crossfold/shared/data/digest';
import { DamagedDataError } from '@crossfold/shared/errors';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { TestBroker } from '../support/broker.ts';
import { startBroker } from '../support/broker.ts';
import { experimentRecord } from '../support/fake-client.ts';
import type { Service } from '../support/processes.ts';
import { Services } from '../support/processes.ts';

// A client says what it likes of objects in the store, on a real server with the permissions that deployments get.
let folder: string;
let server: TestBroker;
let services: Services;
let coordinator: Service;
let client: Broker;
let worker: Broker;
const dropped: string[] = [];
const urlOf = (user: BrokerUser): string =>
  `${server.url}?credentials=${encodeURIComponent(join(folder, `${user}.nk`))}`;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'crossfold-entries-'));
  const keys = new Map<BrokerUser, string>();
  for (const user of brokerUsers) {
    const { seed, publicKey } = createUserKey();
    await writeFile(join(folder, `${user}.nk`), seed, { mode: 0o600 });
    keys.set(user, publicKey);
  }
  const config = join(folder, 'nats.conf');
  await writeFile(
    config,
    renderAuthorization((user) => keys.get(user) ?? ''),
  );
  server = await startBroker({ config });
  services = await Services.in(() => urlOf('coordinator'));
  coordinator = services.coordinator('coordinator-0');
  await coordinator.says('ready');
  const border = {
    ...unwatchedBorder,
    dropped: (kind: string, where: string) => void dropped.push(`${kind} ${where}`),
  };
  client = await openBroker(urlOf('client'), 'client', { role: 'client' });
  worker = await openBroker(urlOf('worker'), 'worker', { role: 'worker', border });
}, 60_000);
afterAll(async () => {
  await services?.close();
  await Promise.all([client, worker].map((broker) => broker?.close()));
  await server?.stop();
  await rm(folder, { recursive: true, force: true });
});

const place = (store: string, name: string): string =>
  `$O.${store}.M.${Buffer.from(name).toString('base64').replaceAll('+', '-').replaceAll('/', '_')}`;

/** An entry in which something is not as the store's own client writes it. */
const entry = (name: string, changes: object): string =>
  JSON.stringify({
    name,
    nuid: 'N1abc',
    size: 10,
    chunks: 1,
    digest: `SHA-256=${'A'.repeat(43)}=`,
    deleted: false,
    ...changes,
  });
const say = (store: string, name: string, text: string): Promise<unknown> =>
  client.nats.jetstream().publish(place(store, name), text);

const notThere: Record<string, (name: string) => string> = {
  'a size that is a list of its own length': (name) => entry(name, { size: { length: 3e7 } }),
  'a size that is text': (name) => entry(name, { size: '7' }),
  'a size below nothing': (name) => entry(name, { size: -1 }),
  'a size that no number holds': (name) => entry(name, { size: 2 ** 60 }),
  'a count of pieces that is none': (name) => entry(name, { chunks: { valueOf: 1 } }),
  'a digest that is a number': (name) => entry(name, { digest: 7 }),
  'pieces of everybody': (name) => entry(name, { nuid: '>' }),
  'another name': () => entry('b'.repeat(64), {}),
  nothing: () => 'null',
  'no JSON': () => '{{',
};
const damaged: Record<string, (name: string) => string> = {
  'pieces that are not there': (name) => entry(name, {}),
  'itself as where it lies': (name) => entry(name, { options: { link: { bucket: Stores.artifacts, name } } }),
};

describe('what a client says of an object', () => {
  const cases = [
    ...Object.entries(notThere).map(([how, made]) => ({ how, made, why: 'is not in the store' })),
    ...Object.entries(damaged).map(([how, made]) => ({ how, made, why: 'is damaged or incomplete' })),
  ].map((one) => ({ ...one, digest: sha256(one.how) }));

  it('is believed by no worker, and counted', async () => {
    dropped.length = 0;
    for (const { digest, made, why } of cases) {
      await say(Stores.data, digest, made(digest));
      const read = worker.data.get(digest, 2 ** 30);
      await expect(read).rejects.toThrow(DamagedDataError);
      await expect(read).rejects.toThrow(why);
      expect(await worker.data.has(digest)).toBe(why !== 'is not in the store');
    }
    for (const how of Object.keys(notThere))
      expect(dropped.filter((one) => one === `entry ${place(Stores.data, sha256(how))}`)).toHaveLength(2);
  });

  it('ends the experiment that refers to it, each with its reason, while the coordinator goes on', async () => {
    for (const { digest, made } of cases) await say(Stores.artifacts, digest, made(digest));
    // More than its entry says, and a document that is whole and no experiment: the last, behind all the others.
    const long = await client.artifacts.put(new Uint8Array(300_000));
    const huge = await client.artifacts.put(new TextEncoder().encode(`[${'[],'.repeat(500_000)}[]]`));
    const other = await client.artifacts.put(new TextEncoder().encode('{}'));
    const [chunk] = (await client.artifacts.list()).filter(({ digest }) => digest === long);
    expect(chunk?.bytes).toBe(300_000);
    const store = await client.nats.jetstream().views.os(Stores.artifacts);
    const { nuid } = (await store.info(long)) ?? {};
    await say(Stores.artifacts, long, entry(long, { nuid, size: 150_000, chunks: 3 }));
    const expected = new Map([
      ...cases.map(({ digest, why }) => [digest, why] as const),
      [long, 'is damaged or incomplete'],
      [huge, 'where at most 1048576 were expected'],
      [other, 'is not as it should be'],
    ]);
    let n = 0;
    for (const digest of expected.keys()) {
      const id = `evil-${n++}`;
      const record = experimentRecord(id, {
        state: 'submitted',
        spec: { digest, bytes: 2 ** 28 },
        startedAt: null,
        finishedAt: null,
        jobs: 0,
        createdAt: n,
      });
      expect(await client.experiments.create(id, record)).toBe(true);
    }
    const ends = async (): Promise<(string | null | undefined)[]> =>
      (await client.experiments.list('>')).map(({ error }) => error);
    await expect.poll(ends, { timeout: 60_000 }).not.toContain(null);
    n = 0;
    for (const [digest, why] of expected) {
      const { value } = (await client.experiments.get(`evil-${n++}`)) ?? {};
      expect(value).toMatchObject({ state: 'failed', error: expect.stringContaining(why) });
      expect(value?.error).toContain(digest.slice(0, 12));
    }
    await coordinator.says(/^a message is not what it should be/, ({ kind }) => kind === 'entry');
    expect(coordinator.running).toBe(true);
  }, 90_000);

  it('stops no list of data sets', async () => {
    for (const [how, made] of Object.entries(notThere)) {
      const name = `dataset.${sha256(how).slice(0, 8)}`;
      await say(Stores.data, name, made(name));
    }
    const told: string[] = [];
    expect(await worker.datasets.list((_, { message }) => void told.push(message))).toEqual([]);
    expect(told).toHaveLength(Object.keys(notThere).length);
    for (const message of told) expect(message).toContain('its entry is not one');
  });

  it('is in nobody’s way: what it stands for is written anew', async () => {
    const bytes = new Uint8Array(300_000).fill(7);
    const digest = sha256(bytes);
    for (const made of Object.values(notThere)) {
      await say(Stores.artifacts, digest, made(digest));
      expect(await worker.artifacts.put(bytes)).toBe(digest);
      expect(Buffer.from(await worker.artifacts.get(digest, bytes.length)).equals(bytes)).toBe(true);
    }
  });
});
