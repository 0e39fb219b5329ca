import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { resolve } from 'node:path';
import { brokerMonitors } from '@crossfold/coordinator/cli/options';
import { RefusedLogins, serverStorageLimit } from '@crossfold/coordinator/metrics/broker-monitor';
import { expect, it } from 'vitest';
import { parse } from 'yaml';
import { fakeWorld } from '../support/fake-client.ts';

it.each<[string, number, string, number | RegExp]>([
  [
    'its limit',
    200,
    '{"memory":0,"storage":5,"config":{"max_memory":1,"max_storage":123456789},"streams":3}',
    123456789,
  ],
  ['that JetStream is off', 200, '{"disabled":true}', /config/],
  ['no JSON', 200, '<html>', /JSON/],
  ['an error', 503, '{}', /503/],
  ['far too much', 200, ' '.repeat(2 ** 20 + 1), /more than 1048576 bytes/],
])('a server’s monitoring port that says %s', async (_what, status, text, expected) => {
  const asked: (string | undefined)[] = [];
  const server = createServer((request, response) => {
    asked.push(request.url);
    response.writeHead(status).end(text);
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  try {
    const read = serverStorageLimit(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
    if (typeof expected === 'number') expect(await read).toBe(expected);
    else await expect(read).rejects.toThrow(expected);
    expect(asked).toEqual(['/jsz']);
  } finally {
    server.closeAllConnections();
    server.close();
    await once(server, 'close');
  }
});

it('connections of a server that was started again are others, whatever their numbers', async () => {
  const closed = (cid: number) => ({ cid, ip: '10.0.0.1', reason: 'Authentication Failure' });
  const answers = [
    { server_id: 'A', connections: [closed(1)] },
    { server_id: 'A', connections: [closed(2), { cid: 3, reason: 'Client Closed' }, closed(1)] },
    { server_id: 'B', connections: [closed(1)] },
  ];
  const server = createServer((_, response) => response.end(JSON.stringify(answers.shift()))).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const counts: number[] = [];
  let told = 0;
  const border = { dropped: () => undefined, refused: () => void told++ };
  const logins = new RefusedLogins([`http://127.0.0.1:${(server.address() as AddressInfo).port}`], border);
  try {
    while (answers.length > 0) {
      await logins.look();
      counts.push(told);
    }
  } finally {
    server.closeAllConnections();
    server.close();
  }
  expect(counts).toEqual([0, 1, 2]);
});

it('is an address in the environment', () => {
  const of = (text?: string) =>
    brokerMonitors(fakeWorld({ env: text === undefined ? {} : { CROSSFOLD_BROKER_MONITOR: text } }).context);
  expect(of()).toEqual([]);
  expect(of('')).toEqual([]);
  expect(of('http://nats:8222')).toEqual(['http://nats:8222']);
  expect(of('http://a:8222, https://b:8222')).toEqual(['http://a:8222', 'https://b:8222']);
  for (const bad of ['nats:8222', 'http://a:8222,', 'http://a:8222 http://b:8222', 'file:///etc/passwd', 'what'])
    expect(() => of(bad)).toThrow(/CROSSFOLD_BROKER_MONITOR/);
});

it('is where compose has it', () => {
  const compose = readFileSync(resolve(import.meta.dirname, '../../docker-compose.yml'), 'utf8');
  const { services } = parse(compose, { merge: true }) as {
    services: Record<string, { environment?: Record<string, string>; healthcheck?: unknown }>;
  };
  const monitor = new URL(services.coordinator?.environment?.CROSSFOLD_BROKER_MONITOR ?? '');
  expect(services).toHaveProperty(monitor.hostname);
  expect(JSON.stringify(services[monitor.hostname]?.healthcheck)).toContain(`:${monitor.port}/`);
});
