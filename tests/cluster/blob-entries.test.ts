import { unwatchedBorder } from '@crossfold/shared/border';
import type { Broker } from '@crossfold/shared/broker/broker';
import { openBroker } from '@crossfold/shared/broker/broker';
import { Buckets, blobStream, recordStream, Stores } from '@crossfold/shared/broker/subjects';
import { sha256 } from '@crossfold/shared/data/digest';
import { DamagedDataError } from '@crossfold/shared/errors';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { TestBroker } from '../support/broker.ts';
import { startBroker } from '../support/broker.ts';
import { experimentRecord } from '../support/fake-client.ts';
import { rawPublisher } from '../support/garbage.ts';

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

const messagesIn = async (stream: string): Promise<number> =>
  (await (await broker.nats.jetstreamManager()).streams.info(stream)).state.messages;
const bytes = (n: number) => new Uint8Array(300_000).fill(n);

describe('a blob', () => {
  it('leaves nothing behind once it is removed', async () => {
    const digest = await broker.artifacts.put(bytes(1));
    expect(await broker.artifacts.list()).toMatchObject([{ digest, bytes: 300_000 }]);
    expect(await messagesIn(blobStream(Stores.artifacts))).toBe(4);
    expect(await broker.artifacts.remove(digest)).toBe(true);
    expect(await broker.artifacts.has(digest)).toBe(false);
    expect(await messagesIn(blobStream(Stores.artifacts))).toBe(0);
    expect(await broker.artifacts.remove(digest)).toBe(true);
    expect(await broker.artifacts.keep(digest)).toBe(false);
    expect(await broker.artifacts.list()).toEqual([]);
  });

  it('that somebody stores again, or keeps, is not removed by whoever saw it before', async () => {
    const digest = await broker.artifacts.put(bytes(2));
    const see = async () => (await broker.artifacts.list()).find((one) => one.digest === digest);
    const first = await see();
    expect(await broker.artifacts.put(bytes(2))).toBe(digest);
    expect(await broker.artifacts.remove(digest, first?.revision)).toBe(false);
    const second = await see();
    expect(await broker.artifacts.keep(digest)).toBe(true);
    expect(await broker.artifacts.remove(digest, second?.revision)).toBe(false);
    const third = await see();
    expect(third?.storedAt).toBeGreaterThan(first?.storedAt ?? Number.POSITIVE_INFINITY);
    // Nor do they leave more of it than there is.
    expect(await messagesIn(blobStream(Stores.artifacts))).toBe(4);
    expect(Buffer.from(await broker.artifacts.get(digest, 300_000)).equals(bytes(2))).toBe(true);
    expect(await broker.artifacts.remove(digest, third?.revision)).toBe(true);
    expect(await messagesIn(blobStream(Stores.artifacts))).toBe(0);
  });

  it('is removed whole, also where another client has only marked it as deleted', async () => {
    const other = await broker.nats.jetstream().views.os(Stores.artifacts);
    const [gone, back] = [await broker.artifacts.put(bytes(3)), await broker.artifacts.put(bytes(4))];
    for (const digest of [gone, back]) await other.delete(digest);
    expect(await messagesIn(blobStream(Stores.artifacts))).toBe(2);
    expect(await broker.artifacts.put(bytes(4))).toBe(back);
    expect(await broker.artifacts.tidy()).toBe(1);
    expect(await messagesIn(blobStream(Stores.artifacts))).toBe(4);
    expect(Buffer.from(await broker.artifacts.get(back, 300_000)).equals(bytes(4))).toBe(true);
  });

  it('is removed from a store that is full, which takes nothing more', async () => {
    const digest = await broker.checkpoints.put(bytes(5));
    const manager = await broker.nats.jetstreamManager();
    const stream = blobStream(Stores.checkpoints);
    const { config, state } = await manager.streams.info(stream);
    await manager.streams.update(stream, { ...config, max_bytes: state.bytes });
    expect(await broker.checkpoints.keep(digest)).toBe(true);
    const [seen] = await broker.checkpoints.list();
    expect(await broker.checkpoints.remove(digest, (seen?.revision ?? 0) + 1)).toBe(false);
    expect(await broker.checkpoints.remove(digest, seen?.revision)).toBe(true);
    expect(await messagesIn(stream)).toBe(0);
  });

  it('cannot name the pieces of others as its own', async () => {
    const store = Stores.artifacts;
    const name = 'f'.repeat(64);
    const info = { name, nuid: '*', bucket: store, size: 1, chunks: 1, deleted: true };
    const subject = `$O.${store}.M.${Buffer.from(name).toString('base64')}`;
    await broker.nats.jetstream().publish(subject, JSON.stringify(info));
    const before = (await broker.artifacts.list()).length;
    expect(before).toBeGreaterThan(0);
    await broker.artifacts.tidy();
    await broker.artifacts.remove(name);
    for (const { digest } of await broker.artifacts.list())
      expect((await broker.artifacts.get(digest, 300_000)).length).toBe(300_000);
  });
});

describe('an entry that somebody else has written', () => {
  const entryOf = async (nuid: string): Promise<string> => {
    const digest = sha256(bytes(9));
    const info = { name: digest, nuid, bucket: Stores.artifacts, size: 300_000, chunks: 1, digest: 'SHA-256=' };
    const subject = `$O.${Stores.artifacts}.M.${Buffer.from(digest).toString('base64')}`;
    await broker.nats.jetstream().publish(subject, JSON.stringify(info));
    return digest;
  };

  it.each([
    ['ends the line', 'x 0\r\n\r\nPUB $KV.crossfold_leases.owned 5\r\nhello\r\nPUB q'],
    ['has more words than there can be', 'x y z'],
    ['takes in others', '>'],
  ])('says nothing by this connection where its name %s, and is written anew', async (_, nuid) => {
    let interrupted = false;
    const stop = broker.link.onChange((connected) => {
      interrupted ||= !connected;
    });
    const digest = await entryOf(nuid);
    await expect(broker.artifacts.get(digest, 300_000)).rejects.toThrow(DamagedDataError);
    expect(await broker.leases.keys('>')).toEqual([]);
    expect(await broker.artifacts.put(bytes(9))).toBe(digest);
    expect(await broker.artifacts.get(digest, 300_000)).toEqual(bytes(9));
    expect(interrupted).toBe(false);
    stop();
    await broker.artifacts.remove(digest);
  });

  it('stops no list where it is none, also as the newest; is counted, and taken away like any other', async () => {
    const seen: string[] = [];
    const border = { ...unwatchedBorder, dropped: (kind: string, where: string) => seen.push(`${kind}: ${where}`) };
    const other = await openBroker(server.url, 'other', { border });
    const whole = (await other.artifacts.list()).map(({ digest }) => digest);
    const before = await messagesIn(blobStream(Stores.artifacts));
    seen.length = 0;
    const place = (name: string): string => `$O.${Stores.artifacts}.M.${Buffer.from(name).toString('base64url')}`;
    const raw = await rawPublisher(server.url);
    raw(place('headers'));
    await expect.poll(() => messagesIn(blobStream(Stores.artifacts))).toBe(before + 1);
    for (const data of ['', 'not JSON', '[]', '{"name":7}'])
      await other.nats.jetstream().publish(place(`garbage ${data}`), data);
    other.nats.publish('$JS.API.INFO', undefined, { reply: place('an answer') });
    await expect.poll(() => messagesIn(blobStream(Stores.artifacts))).toBe(before + 6);
    expect((await other.artifacts.list()).map(({ digest }) => digest)).toEqual(whole);
    expect(whole).not.toEqual([]);
    expect(seen).toEqual(expect.arrayContaining([`entry: ${place('an answer')}`, `entry: ${place('headers')}`]));
    expect(seen).toHaveLength(6);
    await other.artifacts.tidy();
    await other.artifacts.remove('an answer');
    expect(await messagesIn(blobStream(Stores.artifacts))).toBe(before + 5);
    await other.close();
  });

  it('is refused as a subject, wherever that is made', async () => {
    const subject = 'crossfold.seats.x 0\r\nPUB y 0\r\n';
    expect(() => broker.nats.publish(subject)).toThrow(DamagedDataError);
    expect(() => broker.nats.publish('fine', undefined, { reply: subject })).toThrow(DamagedDataError);
    expect(() => broker.nats.subscribe(subject)).toThrow(DamagedDataError);
    await expect(broker.nats.request(subject)).rejects.toThrow(DamagedDataError);
    await expect(broker.nats.flush()).resolves.toBeUndefined();
  });
});

describe('an upload', () => {
  it('is known to be under way until it is over, whatever comes of it', async () => {
    const seen: number[] = [];
    const work = broker.uploads.during(async () => {
      seen.push((await broker.uploads.list()).length);
      throw new Error('the file is gone');
    });
    await expect(work).rejects.toThrow('the file is gone');
    expect([...seen, (await broker.uploads.list()).length]).toEqual([1, 0]);
    expect(await broker.data.list()).toEqual([]);
    expect(await messagesIn(blobStream(Stores.data))).toBe(0);
  });
});

describe('a record', () => {
  it('is deleted at its revision alone; who watches is told, and the broker forgets it', async () => {
    const over = new AbortController();
    const deletions: string[] = [];
    let told: () => void = () => undefined;
    const deleted = new Promise<void>((resolve) => {
      told = resolve;
    });
    await broker.experiments.watch(
      '>',
      over.signal,
      () => undefined,
      () => undefined,
      (key) => {
        deletions.push(key);
        told();
      },
    );
    await broker.experiments.create('gone', experimentRecord('gone'));
    const first = await broker.experiments.get('gone');
    await broker.experiments.transition('gone', (record) => ({ ...record, priority: 1 }));
    expect(await broker.experiments.deleteAt('gone', first?.revision ?? 0)).toBe(false);
    const second = await broker.experiments.get('gone');
    expect(await broker.experiments.deleteAt('gone', second?.revision ?? 0)).toBe(true);
    await deleted;
    expect(deletions).toEqual(['gone']);
    expect(await broker.experiments.get('gone')).toBeUndefined();
    expect(await messagesIn(recordStream(Buckets.experiments))).toBe(1);
    await broker.experiments.forget('gone', second?.revision ?? 0);
    expect(await messagesIn(recordStream(Buckets.experiments))).toBe(1);
    await broker.experiments.forget('gone', (second?.revision ?? 0) + 1);
    expect(await messagesIn(recordStream(Buckets.experiments))).toBe(0);
    over.abort();
  });
});
