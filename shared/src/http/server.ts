import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer } from 'node:http';
import { isIP, Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import type { Border } from '../border.ts';
import { unwatchedBorder } from '../border.ts';
import type { Endpoint } from '../endpoint.ts';
import { listenAt, showEndpoint } from '../endpoint.ts';
import type { Health } from '../health.ts';
import type { Logger } from '../logger.ts';
import { EventStreams } from './event-streams.ts';
import type { Action, Page, Site } from './site.ts';
import type { WriteToken } from './write-token.ts';

export interface HttpOptions {
  readonly listen: Endpoint;
  readonly health: Health;
  /** What `/metrics` shows. */
  readonly metrics: { read(): Promise<{ readonly text: string; readonly type: string }> };
  /** What is served beside probes and metrics. */
  readonly site?: Site;
  /** What whoever sends a request to change something has to show; without it there is no such request. */
  readonly token?: WriteToken | undefined;
  readonly logger: Logger;
  /** Told of requests that would change something, or are none. */
  readonly border?: Border;
  /** How long a request may take to come; `requestMs` where not given. */
  readonly withinMs?: number;
}

export interface HttpServer {
  /** `http://host:port`, as it is reached on this machine. */
  readonly url: string;
  close(): Promise<void>;
}

const requestMs = 5000;
/** A scraper, a few probes and a person or two. */
const maxConnections = 64;
const maxHeaderBytes = 8192;
/** What is asked for says little. */
const maxBodyBytes = 1024;

/**
 * The HTTP side of a service, for probes and scrapers: `/livez` (it runs: answered for as long as the process turns,
 * whatever it computes or waits for), `/readyz` (it can do its work, or 503 and what stands in the way), `/metrics`; and
 * for people a site's pages, where it has one. GET and HEAD only, and nothing that is sent is read, but for a site's
 * actions: POST, with the token as `Authorization: Bearer`, which no other site's page can send.
 *
 * @throws ConfigError where the address is not one of this machine's.
 */
export async function startHttp({
  listen,
  health,
  metrics,
  site,
  token,
  logger,
  border = unwatchedBorder,
  withinMs = requestMs,
}: HttpOptions): Promise<HttpServer> {
  const pages: Readonly<Record<string, () => Page | Promise<Page>>> = {
    '/livez': () => ({ status: 200, type: plain, text: 'ok\n' }),
    '/readyz': () => {
      const { obstacles } = health;
      return obstacles.length === 0
        ? { status: 200, type: plain, text: 'ready\n' }
        : { status: 503, type: plain, text: `not ready: ${obstacles.join(', ')}\n` };
    },
    '/metrics': async () => ({ status: 200, ...(await metrics.read()) }),
    ...(site === undefined ? { '/': () => ({ status: 200, type: plain, text: '/metrics\n/livez\n/readyz\n' }) } : {}),
  };
  const act = async (request: IncomingMessage, action: Action): Promise<Page> => {
    const { authorization } = request.headers;
    if (token === undefined || !token.allows(authorization)) {
      const why = token === undefined ? 'read-only' : authorization === undefined ? 'no token' : 'wrong token';
      border.refused('http', whoAsks(request.socket), `POST of ${request.url?.slice(0, 200)}: ${why}`);
      return token === undefined ? readOnly : unauthorized;
    }
    const body = await jsonBody(request);
    return body === undefined ? badBody : action(body.value);
  };
  const answer = async (request: IncomingMessage): Promise<Page> => {
    // An unlisted path must not find what every object has.
    const path = (request.url ?? '').split('?', 1)[0] ?? '';
    const action = request.method === 'POST' ? site?.action?.(path) : undefined;
    if (action !== undefined) return act(request, action);
    if (request.method !== 'GET' && request.method !== 'HEAD') {
      border.refused('http', whoAsks(request.socket), `${request.method} of ${request.url?.slice(0, 200)}`);
      return { status: 405, type: plain, text: 'only GET and HEAD\n', headers: { allow: 'GET, HEAD' } };
    }
    const page = Object.hasOwn(pages, path) ? pages[path] : undefined;
    return (
      (await (page?.() ?? site?.page(path))) ?? {
        status: 404,
        type: plain,
        text: 'there are /metrics, /livez and /readyz\n',
      }
    );
  };
  const isOwnName = (host: string | undefined): boolean =>
    !isLoopback(listen.host) || host === undefined || isLocal(host);
  const streams = new EventStreams();
  const server = createServer(
    {
      requestTimeout: withinMs,
      headersTimeout: withinMs,
      keepAliveTimeout: withinMs,
      connectionsCheckingInterval: withinMs,
      maxHeaderSize: maxHeaderBytes,
    },
    (request, response) => {
      if (!isOwnName(request.headers.host)) {
        border.refused('http', whoAsks(request.socket), `asked for as ${request.headers.host?.slice(0, 200)}`);
        send(response, request, elsewhere);
        return;
      }
      const [path = '', query = ''] = (request.url ?? '').split('?', 2);
      const stream = site !== undefined && request.method === 'GET' ? site.stream(path, query) : undefined;
      if (stream !== undefined && streams.open(response, stream)) return;
      void (stream === undefined ? answer(request) : Promise.resolve(tooMany))
        .catch((error: unknown): Page => {
          logger.warn({ err: error, path: request.url?.slice(0, 200) }, 'a request could not be answered');
          return { status: 500, type: plain, text: 'see the log\n' };
        })
        .then((page) => send(response, request, page));
    },
  );
  server.maxConnections = maxConnections;
  server.on('drop', (dropped) =>
    border.refused('http', dropped?.remoteAddress ?? '', `${maxConnections} connections are open already`),
  );
  server.on('clientError', (error: NodeJS.ErrnoException, socket) => {
    // A client that is gone has not asked for anything; one that has been answered has been counted.
    if (socket.writable && (error.code?.startsWith('HPE_') || error.code === tooSlow))
      border.refused('http', whoAsks(socket), error.message);
    if (socket.writable)
      socket.end(`HTTP/1.1 ${badRequests[error.code ?? ''] ?? '400 Bad Request'}\r\nConnection: close\r\n\r\n`);
    else socket.destroy();
  });
  const port = await listenAt(server, listen, (wanted, got) =>
    logger.warn({ wanted: showEndpoint(wanted), got }, 'the port for HTTP is taken; a free one is used'),
  );
  const url = `http://${showEndpoint({ host: anyHost.get(listen.host) ?? listen.host, port })}`;
  logger.info({ url }, 'metrics and probes are served');
  return {
    url,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

const whoAsks = (socket: Duplex): string => (socket instanceof Socket ? (socket.remoteAddress ?? '') : '');

const tooSlow = 'ERR_HTTP_REQUEST_TIMEOUT';
/** As Node answers where nobody listens to what clients do wrong. */
const badRequests: Readonly<Record<string, string>> = {
  HPE_HEADER_OVERFLOW: '431 Request Header Fields Too Large',
  HPE_CHUNK_EXTENSIONS_OVERFLOW: '413 Payload Too Large',
  [tooSlow]: '408 Request Timeout',
};

const isLoopback = (host: string): boolean => ['localhost', '::1'].includes(host) || /^127\./.test(host);

/**
 * Whether a request names this machine as one asks for it from this machine. A page of elsewhere, whose name was made to
 * point here, asks for it by that name, and would be let read what it gets.
 */
const isLocal = (host: string): boolean => {
  const name = host.replace(/:\d*$/, '').toLowerCase();
  return name === 'localhost' || name.endsWith('.localhost') || isIP(name.replace(/^\[|\]$/g, '')) !== 0;
};

/** What a request says, in JSON; undefined where it is too long or no JSON. Nothing stands for an empty object. */
async function jsonBody(request: IncomingMessage): Promise<{ readonly value: unknown } | undefined> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  // Where it is too long, the connection is still to carry an answer.
  for await (const chunk of request.iterator({ destroyOnReturn: false })) {
    bytes += chunk.length;
    if (bytes > maxBodyBytes) return undefined;
    chunks.push(chunk);
  }
  const text = Buffer.concat(chunks).toString('utf8');
  try {
    return { value: text.trim() === '' ? {} : JSON.parse(text) };
  } catch {
    return undefined;
  }
}

const plain = 'text/plain; charset=utf-8';
const readOnly: Page = {
  status: 403,
  type: plain,
  text: 'this coordinator was given no token for it: its pages are read-only\n',
};
const unauthorized: Page = {
  status: 401,
  type: plain,
  text: 'that is not the token\n',
  headers: { 'www-authenticate': 'Bearer' },
};
const elsewhere: Page = {
  status: 403,
  type: plain,
  text: 'this is served to this machine alone: ask for it as localhost, or by an address (Host header)\n',
};
const badBody: Page = { status: 400, type: plain, text: `a body must be JSON of at most ${maxBodyBytes} bytes\n` };
const tooMany: Page = {
  status: 503,
  type: plain,
  text: 'too many pages are open already; this one shows no changes by itself\n',
};
/** Where a server on every interface is reached from here. */
const anyHost = new Map([
  ['0.0.0.0', '127.0.0.1'],
  ['::', '::1'],
]);

function send(response: ServerResponse, request: IncomingMessage, { status, type, text, headers }: Page): void {
  const body = Buffer.from(text);
  response.writeHead(status, {
    'content-type': type,
    'content-length': body.length,
    'cache-control': 'no-store',
    'x-content-type-options': 'nosniff',
    ...headers,
  });
  response.end(request.method === 'HEAD' ? undefined : body);
  // What a body would hold was not read: the connection is of no further use.
  if (!request.complete && request.method !== 'GET' && request.method !== 'HEAD')
    response.once('finish', () => request.socket.destroy());
}
