import { mkdtemp, stat, utimes } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join as joinPath } from 'node:path';
import type { Endpoint } from '@crossfold/shared/endpoint';
import { ConfigError } from '@crossfold/shared/errors';
import type { PeerAddress } from '@crossfold/worker/exchange/listener';
import { DirectListener } from '@crossfold/worker/exchange/listener';
import type { NatsConnection } from 'nats';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { TestBroker } from '../support/broker.ts';
import { startBroker } from '../support/broker.ts';
import type { TestGroup } from '../support/exchange-group.ts';
import { expectedSum, openGroup, sameBits } from '../support/exchange-group.ts';
import type { TcpProxy } from '../support/tcp-proxy.ts';
import { tcpProxy } from '../support/tcp-proxy.ts';

let server: TestBroker;
const toClose: { close(): Promise<void> }[] = [];
beforeAll(async () => {
  server = await startBroker();
});
afterAll(() => server.stop());
afterEach(async () => {
  for (const thing of toClose.splice(0).reverse()) await thing.close();
});

function later<T extends { close(): Promise<void> }>(thing: T): T {
  toClose.push(thing);
  return thing;
}

type Mode = 'auto' | 'direct';
interface Listening {
  readonly options: {
    readonly mode: Mode;
    readonly listener?: DirectListener;
    readonly onLink?: () => void;
    readonly onUnreached?: (worker: string, why: string) => void;
  };
  readonly address: PeerAddress | null;
}

/** Over TCP where not said otherwise: by its socket in the file system a member would be reached past any proxy. */
async function listening(mode: Mode, listen?: Endpoint, local = false): Promise<Listening> {
  const listener = later(await DirectListener.open({ local, ...(listen === undefined ? {} : { listen }) }));
  return { options: { mode, listener }, address: listener.address };
}

/** Until all are connected, or it is clear who cannot be: members begin after a second, whoever is there by then. */
const expectTransports = (group: TestGroup, transports: readonly string[]): Promise<void> =>
  expect.poll(() => group.members.map((m) => m.exchange.transport)).toEqual(transports);

async function expectSums(group: TestGroup, step: number, length: number): Promise<void> {
  const expected = expectedSum(group.slices, step, length);
  for (const sum of await group.allReduce(step, length)) expect(sameBits(sum, expected)).toBe(true);
}

const ipv6: Endpoint = { host: '::1', port: 0 };

describe('groups over connections between peers', () => {
  it.each([
    ['auto', 2, undefined, false],
    ['auto', 3, undefined, true],
    ['direct', 3, ipv6, false],
    ['direct', 4, undefined, false],
    ['direct', 2, undefined, true],
    ['auto', 1, undefined, true],
  ] as const)('%s, %i members, listening on %o (nearby: %s): the bits of one', async (mode, size, listen, local) => {
    const overBroker = new Array<number>(size).fill(0);
    const wrap = (nats: NatsConnection, rank: number): NatsConnection =>
      new Proxy(nats, {
        get(target, property) {
          if (property === 'publish') overBroker[rank] = (overBroker[rank] ?? 0) + 1;
          const value = Reflect.get(target, property);
          return typeof value === 'function' ? value.bind(target) : value;
        },
      });
    // Nobody asks for what is merely late on a busy machine.
    const options = { askAfterMs: 60_000 };
    const group = later(
      await openGroup(server.url, size, { options, wrap, listen: () => listening(mode, listen, local) }),
    );
    await expectTransports(group, new Array(size).fill(size === 1 ? 'none' : 'direct'));
    for (const [step, length] of [93_326, 10, 1, 700_001, 93_326].entries()) await expectSums(group, step, length);
    for (const { exchange } of group.members) {
      expect(exchange.transport).toBe(size === 1 ? 'none' : 'direct');
      expect(exchange.counters()).toMatchObject({ badFrames: 0, resent: 0 });
    }
    expect(overBroker).toEqual(new Array(size).fill(0));
  });

  it('blobs', async () => {
    const group = later(await openGroup(server.url, 2, { listen: () => listening('direct') }));
    const blob = Uint8Array.from({ length: 1_000_001 }, (_, i) => (i * 13) & 255);
    group.members[0]?.exchange.serve(() => blob);
    const got = await group.members[1]?.exchange.fetch('state', 0, blob.length, new AbortController().signal);
    expect(Buffer.compare(got ?? new Uint8Array(0), blob)).toBe(0);
  });

  it('only one of two listens: it is dialed, whichever it is', async () => {
    for (const listens of [0, 1]) {
      const listen = async (rank: number): Promise<Listening> =>
        rank === listens ? listening('direct') : { options: { mode: 'direct' }, address: null };
      const group = later(await openGroup(server.url, 2, { listen, job: `e.train.0.0.${listens}` }));
      await expectSums(group, 0, 1000);
      expect(group.members[0]?.exchange.transport).toBe('direct');
    }
  });
});

it('how a sum travelled does not change when a peer that is done with it goes', async () => {
  const gone: string[] = [];
  const options = { onLink: (worker: string, why: string | undefined) => why !== undefined && gone.push(worker) };
  const group = later(await openGroup(server.url, 2, { options, listen: () => listening('auto') }));
  await expectTransports(group, ['direct', 'direct']);
  const [first, second] = group.members.map((m) => m.exchange);
  expect(first?.travelled).toBe('none');
  await expectSums(group, 0, 1000);
  await second?.close();
  // As a member that leaves does, or is narrowed away, while its peer is still busy with what follows from the sum.
  await expect.poll(() => gone).toContain('worker-1');
  expect(first?.transport).toBe('nats');
  expect(first?.travelled).toBe('direct');
});

describe('auto, where peers cannot be reached', () => {
  it('goes over the broker when nobody listens', async () => {
    const unreached: string[] = [];
    const listen = async (rank: number): Promise<Listening> => ({
      options: {
        mode: 'auto',
        onUnreached: (worker, why) => unreached.push(`${rank} ${worker.slice(-1)}: ${why}`),
      },
      address: null,
    });
    const group = later(await openGroup(server.url, 3, { listen }));
    await expectSums(group, 0, 1000);
    expect(group.members.map((m) => m.exchange.transport)).toEqual(['nats', 'nats', 'nats']);
    expect(group.members.map((m) => m.exchange.travelled)).toEqual(['nats', 'nats', 'nats']);
    expect(unreached.sort()).toEqual(
      ['0 1', '0 2', '1 0', '1 2', '2 0', '2 1'].map((of) => `${of}: neither of the two listens`),
    );
  });

  it('reaches some directly and the rest over the broker', async () => {
    // Nothing listens where ranks 0 and 1 are said to.
    const nowhere = { options: { mode: 'auto' }, address: { host: '127.0.0.1', port: 9 } } as const;
    const listen = async (rank: number): Promise<Listening> => (rank < 2 ? nowhere : listening('auto'));
    const group = later(await openGroup(server.url, 3, { listen }));
    for (let step = 0; step < 3; step++) await expectSums(group, step, 200_000);
    await expectTransports(group, ['nats', 'nats', 'direct']);
  });

  describe.each(['cut', 'swallow'] as const)('connections are %s in the middle of a step', (how) => {
    it('loses no step, and comes back to them when they are whole again', async () => {
      const proxies: TcpProxy[] = [];
      const changes: (string | undefined)[] = [];
      // Rank 0 is dialed, and dials, through proxies alone.
      const listen = async (): Promise<Listening> => {
        const { options, address } = await listening('auto');
        const proxy = later(await tcpProxy(address ?? { host: '', port: 0 }));
        proxies.push(proxy);
        const onLink = (_worker?: string, gone?: string): void => void changes.push(gone);
        return { options: { ...options, onLink }, address: { host: '127.0.0.1', port: proxy.port } };
      };
      const group = later(await openGroup(server.url, 3, { listen }));
      await expectTransports(group, ['direct', 'direct', 'direct']);
      await expectSums(group, 0, 500_000);
      for (const proxy of proxies) proxy.failAfter(500_000, how);
      for (let step = 1; step < 4; step++) await expectSums(group, step, 500_000);
      expect(group.members.map((m) => m.exchange.transport)).toContain('nats');
      expect(group.members.map((m) => m.exchange.counters().badFrames)).toEqual([0, 0, 0]);
      for (const proxy of proxies) proxy.heal();
      await expectTransports(group, ['direct', 'direct', 'direct']);
      await expectSums(group, 4, 500_000);
      expect(changes.filter((gone) => gone !== undefined).length).toBeGreaterThan(0);
    });
  });

  it('one of the two connections of a pair is cut in the middle of a step: the other carries on', async () => {
    let proxy: TcpProxy | undefined;
    const listen = async (rank: number): Promise<Listening> => {
      const { options, address } = await listening('direct');
      if (rank !== 0 || address === null) return { options, address };
      proxy = later(await tcpProxy(address));
      return { options, address: { host: '127.0.0.1', port: proxy.port } };
    };
    const group = later(await openGroup(server.url, 2, { listen }));
    await expectSums(group, 0, 500_000);
    proxy?.failAfter(500_000, 'cut');
    for (let step = 1; step < 4; step++) await expectSums(group, step, 500_000);
    expect(group.members.map((m) => m.exchange.transport)).toEqual(['direct', 'direct']);
    await expect.poll(() => proxy?.connections).toBeGreaterThan(1);
  });
});

describe('direct only', () => {
  it('says why it waits for a peer that cannot be reached, and gets on once it can', async () => {
    let proxy: TcpProxy | undefined;
    const listen = async (rank: number): Promise<Listening> => {
      const { options, address } = await listening('direct');
      if (rank !== 0 || address === null) return { options: { mode: 'direct' }, address: null };
      proxy = later(await tcpProxy(address));
      proxy.failAfter(0, 'cut');
      return { options, address: { host: '127.0.0.1', port: proxy.port } };
    };
    const group = later(await openGroup(server.url, 2, { listen }));
    const sums = expectSums(group, 3, 1000);
    const waiting = () => group.members[1]?.exchange.waitingFor();
    await expect.poll(waiting).toMatchObject({
      members: ['worker-0'],
      what: expect.stringMatching(/^sums of slices 0-1 of step 3 \(127\.0\.0\.1:\d+: .+\)$/),
    });
    proxy?.heal();
    await sums;
  });
});

describe('a listener', () => {
  const join = (listener: DirectListener, onPeer: () => void = () => undefined): void => {
    listener.join({ group: 'aa', rank: 0, size: 2, secret: 'secret', onPeer });
  };

  it('takes nobody who does not know the secret', async () => {
    const mine = later(await DirectListener.open());
    const others = later(await DirectListener.open());
    const listen = async (rank: number): Promise<Listening> => {
      const listener = rank === 0 ? mine : others;
      return { options: { mode: 'auto', listener }, address: listener.address };
    };
    const secrets = (rank: number): string => `secret ${rank}`;
    const group = later(await openGroup(server.url, 2, { listen, secrets }));
    await expectSums(group, 0, 1000);
    expect(group.members.map((m) => m.exchange.transport)).toEqual(['nats', 'nats']);
  });

  it('hangs up on what is not a peer', async () => {
    const listener = later(await DirectListener.open());
    let peers = 0;
    join(listener, () => {
      peers++;
    });
    const { local = '', host, port } = listener.address;
    for (const said of [Buffer.alloc(72), Buffer.from('GET / HTTP/1.1\r\n'.repeat(8)), Buffer.alloc(100_000, 1)])
      for (const where of [{ host, port }, { path: local }]) {
        const stranger = connect(where);
        stranger.on('error', () => undefined);
        stranger.write(said);
        stranger.resume();
        await new Promise((resolve) => stranger.once('close', resolve));
      }
    expect(peers).toBe(0);
  });

  it('takes peers of the same machine on a socket in the file system, and leaves none behind', async () => {
    const listener = await DirectListener.open();
    const { local = '' } = listener.address;
    expect((await stat(local)).isSocket()).toBe(true);
    expect((await stat(dirname(local))).mode & 0o077).toBe(0);
    await listener.close();
    await expect(stat(dirname(local))).rejects.toThrow(/ENOENT/);
  });

  it('removes what a process has left that was killed', async () => {
    const left = await mkdtemp(joinPath(tmpdir(), 'crossfold-peers-'));
    const hourAgo = Date.now() / 1000 - 3600;
    await utimes(left, hourAgo, hourAgo);
    later(await DirectListener.open());
    await expect(stat(left)).rejects.toThrow(/ENOENT/);
  });

  it('takes a free port where the one asked for is taken, and says so', async () => {
    const first = later(await DirectListener.open());
    const taken: [Endpoint, number][] = [];
    const second = later(
      await DirectListener.open({ listen: first.address, onTaken: (wanted, got) => taken.push([wanted, got]) }),
    );
    expect(second.address.port).not.toBe(first.address.port);
    expect(taken).toEqual([[first.address, second.address.port]]);
  });

  it('advertises what it is told to', async () => {
    const listener = later(await DirectListener.open({ advertise: { host: 'worker-3.example', port: 0 } }));
    expect(listener.address.host).toBe('worker-3.example');
    expect(listener.address.port).toBeGreaterThan(0);
  });

  it('refuses an address that is not of this machine', async () => {
    await expect(DirectListener.open({ listen: { host: '192.0.2.1', port: 0 } })).rejects.toThrow(ConfigError);
  });
});
