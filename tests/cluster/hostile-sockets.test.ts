import { once } from 'node:events';
import type { Socket } from 'node:net';
import { connect } from 'node:net';
import { unwatchedBorder } from '@crossfold/shared/border';
import { Health } from '@crossfold/shared/health';
import { startHttp } from '@crossfold/shared/http/server';
import type { Site } from '@crossfold/shared/http/site';
import { createLogger } from '@crossfold/shared/logger';
import { createMetrics } from '@crossfold/shared/metrics/registry';
import { greet, groupDigest } from '@crossfold/worker/exchange/handshake';
import { Inlet } from '@crossfold/worker/exchange/inlet';
import { DirectListener } from '@crossfold/worker/exchange/listener';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { fuzzRuns, fuzzSeed, hostileBytes } from '../support/hostile.ts';

const atOnce = 16;
const text = new TextEncoder();

/** Connects, says something, in two parts, and is gone once the other side has hung up; what that has answered. */
async function say(port: number, bytes: Uint8Array, end: boolean): Promise<string> {
  const socket: Socket = connect(port, '127.0.0.1');
  let answer = '';
  socket.on('error', () => undefined);
  socket.on('data', (data) => {
    answer += data.toString('latin1');
  });
  const closed = once(socket, 'close');
  const half = bytes.length >> 1;
  socket.write(bytes.subarray(0, half));
  socket.write(bytes.subarray(half));
  if (end) socket.end();
  await closed;
  return answer;
}

async function allOf<T>(cases: readonly T[], act: (one: T) => Promise<void>): Promise<void> {
  const waiting = cases.values();
  await Promise.all(
    Array.from({ length: atOnce }, async () => {
      for (const one of waiting) await act(one);
    }),
  );
}

it('a worker takes only members of its group on, and counts all others', { timeout: 3_600_000 }, async () => {
  const refused: string[] = [];
  const listener = await DirectListener.open({ local: false, onRefused: (_from, why) => refused.push(why) });
  const group = groupDigest('exp.train.0.0.0', 3);
  const peers: number[] = [];
  const sockets: Socket[] = [];
  listener.join({
    group: group.toString('hex'),
    rank: 0,
    size: 2,
    secret: 'the secret',
    onPeer: (rank, inlet) => {
      peers.push(rank);
      sockets.push(inlet.socket);
    },
  });
  const { port } = listener.address;
  const hello = (from: number, to: number): Uint8Array => {
    const bytes = Buffer.alloc(72);
    bytes.writeUInt32LE(0x31445843, 0);
    bytes.writeUInt16LE(from, 4);
    bytes.writeUInt16LE(to, 6);
    group.copy(bytes, 8);
    return bytes;
  };
  // Hellos that are right, and then no proof, or a wrong one; those of who is no member; noise.
  const real = [hello(1, 0), Buffer.concat([hello(1, 0), Buffer.alloc(32, 7)]), hello(0, 0), hello(2, 0), hello(1, 1)];
  const runs = Math.max(100, Math.floor(fuzzRuns / 10));
  await allOf(fc.sample(hostileBytes(real, false), { numRuns: runs, seed: fuzzSeed }), async (bytes) => {
    await say(port, bytes, true);
  });
  await allOf([...real], async (bytes) => {
    await say(port, bytes, true);
  });
  // Who goes through the whole greeting with a wrong secret learns nothing and is not let in.
  const dial = (secret: string): Promise<void> =>
    greet(Inlet.dial({ host: '127.0.0.1', port }), { from: 1, to: 0, group }, secret);
  await expect(dial('another secret')).rejects.toThrow('does not know the secret');
  expect(peers).toEqual([]);
  // Who names another group is let wait for it a while.
  await expect.poll(() => refused.length, { timeout: 20_000 }).toBe(runs + real.length + 1);
  await dial('the secret');
  await expect.poll(() => peers).toEqual([1]);
  await listener.close();
});

it('HTTP answers whatever is asked, changes nothing and goes on', { timeout: 3_600_000 }, async () => {
  const refused: string[] = [];
  const site: Site = {
    page: async (path) => (path === '/' ? { status: 200, type: 'text/plain', text: 'list' } : undefined),
    stream: () => undefined,
  };
  const server = await startHttp({
    listen: { host: '127.0.0.1', port: 0 },
    health: new Health(),
    metrics: createMetrics('worker'),
    site,
    logger: createLogger({ service: 'test', to: { write: () => undefined }, env: {} }),
    border: { ...unwatchedBorder, refused: (kind, _from, why) => refused.push(`${kind}: ${why}`) },
  });
  const port = Number(new URL(server.url).port);
  const real = [
    'GET /metrics HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n',
    'GET /experiments/a%00b/../../events?shown=%zz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n',
    'POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 4294967295\r\nconnection: close\r\n\r\nabc',
    'GET /__proto__ HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\nffffffff\r\n',
  ].map((request) => text.encode(request));
  const cases = fc.sample(hostileBytes(real, false), {
    numRuns: Math.max(100, Math.floor(fuzzRuns / 10)),
    seed: fuzzSeed,
  });
  const statuses = new Set<string>();
  await allOf(cases, async (bytes) => {
    const answer = await say(port, bytes, true);
    statuses.add(/^HTTP\/1\.1 (\d+)/.exec(answer)?.[1] ?? 'none');
  });
  // No request makes it fail: what is no request is 400, what is asked for by a strange name 403, what is none of its pages 404, what would write 405.
  expect(
    [...statuses].filter((status) => !['none', '200', '400', '403', '404', '405', '413', '431'].includes(status)),
  ).toEqual([]);
  expect((await fetch(`${server.url}/livez`)).status).toBe(200);
  const before = refused.length;
  await say(port, real[2] ?? new Uint8Array(), true);
  expect(refused.slice(before)).toEqual(['http: POST of /']);
  expect(refused.some((why) => why.startsWith('http: Parse Error'))).toBe(true);
  await server.close();
});
