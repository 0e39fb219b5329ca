import { once } from 'node:events';
import { request } from 'node:http';
import { connect } from 'node:net';
import { Health } from '@crossfold/shared/health';
import type { HttpServer } from '@crossfold/shared/http/server';
import { startHttp } from '@crossfold/shared/http/server';
import type { Site } from '@crossfold/shared/http/site';
import { tokenCheck } from '@crossfold/shared/http/write-token';
import { createLogger } from '@crossfold/shared/logger';
import { createMetrics } from '@crossfold/shared/metrics/registry';
import { afterEach, describe, expect, it } from 'vitest';

const servers: HttpServer[] = [];
const lines: Record<string, unknown>[] = [];
const logger = createLogger({ service: 'test', to: { write: (line) => lines.push(JSON.parse(line)) }, env: {} });
const loopback = { host: '127.0.0.1', port: 0 };

afterEach(async () => {
  for (const server of servers.splice(0)) await server.close();
  lines.length = 0;
});

async function serve(health = new Health(), listen = loopback, metrics: Readable = createMetrics('worker')) {
  const server = await startHttp({ listen, health, metrics, logger });
  servers.push(server);
  return server.url;
}
type Readable = Parameters<typeof startHttp>[0]['metrics'];

const get = async (url: string, method = 'GET') => {
  const response = await fetch(url, { method, headers: { connection: 'close' } });
  return { status: response.status, text: await response.text(), headers: response.headers };
};

describe('the HTTP side of a service', () => {
  it('is ready only while nothing stands in the way, and lives in any case', async () => {
    const health = new Health();
    health.set('starting', true);
    health.set('no broker', true);
    const url = await serve(health);
    expect(await get(`${url}/readyz`)).toMatchObject({ status: 503, text: 'not ready: starting, no broker\n' });
    expect(await get(`${url}/livez`)).toMatchObject({ status: 200, text: 'ok\n' });
    health.set('starting', false);
    health.set('no broker', false);
    expect(await get(`${url}/readyz?verbose`)).toMatchObject({ status: 200, text: 'ready\n' });
    expect((await get(`${url}/livez`, 'HEAD')).text).toBe('');
  });

  it('shows the metrics in Prometheus’ format, the process’s own included', async () => {
    const { status, text, headers } = await get(`${await serve()}/metrics`);
    expect(status).toBe(200);
    expect(headers.get('content-type')).toContain('text/plain; version=0.0.4');
    expect(text).toContain('# TYPE crossfold_step_duration_seconds histogram');
    expect(text).toContain('crossfold_gradient_bytes_total{direction="in",transport="nats"} 0');
    expect(text).toMatch(/^process_resident_memory_bytes \d+/m);
    expect(text).toMatch(/^nodejs_eventloop_lag_p99_seconds /m);
  });

  it.each([
    ['POST', '/metrics', 405],
    ['DELETE', '/livez', 405],
    ['GET', '/nothing', 404],
    ['GET', '/constructor', 404],
    ['GET', '/../etc/passwd', 404],
  ])('%s %s is answered with %i', async (method, path, status) => {
    const url = new URL(await serve());
    const sent = request({ host: url.hostname, port: url.port, method, path, agent: false }).end();
    const [response] = (await once(sent, 'response')) as [import('node:http').IncomingMessage];
    response.resume();
    expect(response.statusCode).toBe(status);
  });

  it('refuses headers without end', async () => {
    const url = new URL(await serve());
    const socket = connect(Number(url.port), url.hostname);
    socket.on('error', () => undefined);
    socket.write(`GET /livez HTTP/1.1\r\nx: ${'y'.repeat(20_000)}`);
    const [answer] = (await once(socket, 'data')) as [Buffer];
    expect(answer.toString()).toContain('431');
    if (!socket.closed) await once(socket, 'close');
  });

  describe('counts what it refuses', () => {
    const refused: string[] = [];
    const border = {
      dropped: () => undefined,
      refused: (kind: string, _: string, why: string) => refused.push(`${kind}: ${why}`),
    };
    const start = async (listen = loopback, within = {}): Promise<URL> => {
      refused.length = 0;
      const parts = { listen, health: new Health(), metrics: createMetrics('worker'), logger, border };
      const server = await startHttp({ ...parts, ...within });
      servers.push(server);
      return new URL(server.url);
    };
    const asked = async (url: URL, host: string): Promise<number | undefined> => {
      const sent = request({
        host: url.hostname,
        port: url.port,
        path: '/livez',
        headers: { host },
        agent: false,
      }).end();
      const [response] = (await once(sent, 'response')) as [import('node:http').IncomingMessage];
      response.resume();
      return response.statusCode;
    };

    it('a name that is not this machine’s, where it serves this machine alone', async () => {
      const url = await start();
      for (const host of ['localhost:9470', '127.0.0.1', '[::1]:80', '192.0.2.7:1', 'a.localhost'])
        expect(await asked(url, host)).toBe(200);
      expect(refused).toEqual([]);
      for (const host of ['rebound.example', 'localhost.rebound.example:9470', '127.0.0.1.example'])
        expect(await asked(url, host)).toBe(403);
      expect(refused).toHaveLength(3);
      expect(refused[0]).toBe('http: asked for as rebound.example');
      expect(await asked(await start({ host: '0.0.0.0', port: 0 }), 'coordinator.example')).toBe(200);
    });

    it('connections that are too many, and requests that take too long or have headers without end', async () => {
      const dial = ({ port, hostname }: URL) => connect(Number(port), hostname).on('error', () => undefined);
      const slow = dial(await start(loopback, { withinMs: 100 }));
      slow.write('GET /livez HTTP/1.1\r\nhost: localh');
      const [late] = (await once(slow, 'data')) as [Buffer];
      expect(late.toString()).toMatch(/^HTTP\/1.1 408 /);
      expect(refused).toEqual(['http: Request timeout']);
      const long = dial(await start());
      long.write(`GET /livez HTTP/1.1\r\nx: ${'y'.repeat(20_000)}`);
      await once(long, 'data');
      expect(refused).toEqual(['http: Parse Error: Header overflow']);
      const url = await start();
      const many = Array.from({ length: 65 }, () => dial(url));
      await Promise.all(
        many.map((socket) =>
          once(
            socket.on('error', () => undefined),
            'connect',
          ),
        ),
      );
      await expect.poll(() => refused).toEqual(['http: 64 connections are open already']);
      await expect.poll(() => many.filter((socket) => socket.resume().closed).length).toBe(1);
      for (const socket of many) socket.destroy();
      await expect.poll(async () => (await get(`${url.origin}/livez`).catch(() => undefined))?.status).toBe(200);
    });
  });

  it('falls to a free port where its own is taken, and says so', async () => {
    const first = new URL(await serve());
    const second = new URL(await serve(new Health(), { host: '127.0.0.1', port: Number(first.port) }));
    expect(second.port).not.toBe(first.port);
    expect((await get(`${second.origin}/livez`)).status).toBe(200);
    expect(lines).toContainEqual(
      expect.objectContaining({ level: 'warn', wanted: first.host, got: Number(second.port) }),
    );
  });

  it('names an address that is not this machine’s', async () => {
    await expect(serve(new Health(), { host: '192.0.2.1', port: 9470 })).rejects.toThrow(
      /^cannot listen on 192\.0\.2\.1:9470: /,
    );
  });

  describe('with a site that does things', () => {
    const token = 'a-token-of-some-length';
    const done: unknown[] = [];
    const refused: string[] = [];
    const site: Site = {
      page: () => Promise.resolve(undefined),
      stream: () => undefined,
      action: (path) =>
        path === '/do'
          ? (body) => {
              done.push(body);
              return Promise.resolve({ status: 200, type: 'text/plain', text: 'done\n' });
            }
          : undefined,
    };
    const border = {
      dropped: () => undefined,
      refused: (kind: string, _: string, why: string) => refused.push(`${kind}: ${why}`),
    };
    const post = async (isOpen: boolean, headers: Record<string, string>, body = '{}', path = '/do') => {
      const writing = isOpen ? { token: tokenCheck(token) } : {};
      const server = await startHttp({
        listen: loopback,
        health: new Health(),
        metrics: createMetrics('worker'),
        logger,
        site,
        border,
        ...writing,
      });
      servers.push(server);
      done.length = 0;
      refused.length = 0;
      const response = await fetch(`${server.url}${path}`, { method: 'POST', headers, body });
      return {
        status: response.status,
        text: await response.text(),
        authenticate: response.headers.get('www-authenticate'),
      };
    };

    it('does what is asked for with the token', async () => {
      const answer = await post(true, { authorization: `Bearer ${token}` }, '{"trial": 3}');
      expect(answer).toMatchObject({ status: 200, text: 'done\n' });
      expect(done).toEqual([{ trial: 3 }]);
      expect(refused).toEqual([]);
    });

    it.each([
      ['without a token', {}, 'no token'],
      ['with a wrong one', { authorization: `Bearer ${token}x` }, 'wrong token'],
      ['with a part of it', { authorization: `Bearer ${token.slice(0, -1)}` }, 'wrong token'],
      ['with none after all', { authorization: 'Bearer ' }, 'wrong token'],
      ['with another scheme', { authorization: `Basic ${btoa(`user:${token}`)}` }, 'wrong token'],
      // What a browser sends by itself is no proof.
      ['with a cookie', { cookie: `token=${token}`, 'content-type': 'text/plain' }, 'no token'],
    ])('refuses, and counts, a request %s', async (_, headers, why) => {
      expect(await post(true, headers)).toMatchObject({ status: 401, authenticate: 'Bearer' });
      expect(done).toEqual([]);
      expect(refused).toEqual([`http: POST of /do: ${why}`]);
      expect(JSON.stringify(lines)).not.toContain(token);
    });

    it('is read-only where it was given no token', async () => {
      expect(await post(false, { authorization: `Bearer ${token}` })).toMatchObject({ status: 403 });
      expect(done).toEqual([]);
      expect(refused).toEqual(['http: POST of /do: read-only']);
    });

    it.each([
      ['no JSON', '{'],
      ['too long', JSON.stringify('x'.repeat(2000))],
    ])('refuses a body that is %s', async (_, body) => {
      expect(await post(true, { authorization: `Bearer ${token}` }, body)).toMatchObject({ status: 400 });
      expect(done).toEqual([]);
    });

    it('does nothing at other paths', async () => {
      expect(await post(true, { authorization: `Bearer ${token}` }, '{}', '/livez')).toMatchObject({ status: 405 });
    });
  });

  it('keeps what went wrong to its log', async () => {
    const broken = { read: () => Promise.reject(new Error('secret')) };
    const answer = await get(`${await serve(new Health(), loopback, broken)}/metrics`);
    expect(answer).toMatchObject({ status: 500, text: 'see the log\n' });
    expect(lines.at(-1)).toMatchObject({ level: 'warn', path: '/metrics', err: { message: 'secret' } });
  });
});
