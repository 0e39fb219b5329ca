import type { NatsConnection } from 'nats';
import { connect, ErrorCode, Events, NatsError } from 'nats';
import { UnreachableError } from '../errors.ts';

/** How long a broker may take to answer before it counts as not there. */
export const connectTimeoutMs = 5000;
export const defaultBrokerUrl = 'nats://127.0.0.1:4222';

/**
 * Connects to the broker. A user and password, or a token, may stand in the URL (`nats://user:password@host:4222`,
 * `nats://token@host:4222`); several servers are separated by commas. Once connected the client reconnects without
 * end; what was asked meanwhile fails by its own bound.
 *
 * @throws UnreachableError where no server answers within `connectTimeoutMs` or the credentials are refused; its
 * message names the server without the credentials.
 */
export async function connectBroker(url: string, name: string): Promise<NatsConnection> {
  const servers = url.split(',').map(parseServer);
  const shown = servers.map((s) => s.server).join(', ');
  const { user, pass, token } = servers[0] ?? {};
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new UnreachableError(unreachable(shown, 'it does not answer'))), connectTimeoutMs);
  });
  const attempt = connect({
    servers: servers.map((s) => s.server),
    name,
    ...(user === undefined ? {} : { user }),
    ...(pass === undefined ? {} : { pass }),
    ...(token === undefined ? {} : { token }),
    timeout: connectTimeoutMs,
    maxReconnectAttempts: -1,
    reconnectTimeWait: 250,
    reconnectJitter: 100,
    pingInterval: 5000,
    maxPingOut: 2,
    ignoreClusterUpdates: false,
  });
  try {
    return await Promise.race([attempt, late]);
  } catch (error) {
    // A connection that comes up after we gave up must not keep the process alive.
    attempt.then((c) => c.close()).catch(() => undefined);
    if (error instanceof UnreachableError) throw error;
    if (error instanceof NatsError && error.code === ErrorCode.AuthorizationViolation)
      throw new UnreachableError(
        `the broker at ${shown} refused the credentials; set CROSSFOLD_NATS_URL with the right ones`,
      );
    const reason = error instanceof Error ? error.message : String(error);
    throw new UnreachableError(unreachable(shown, reason), { cause: error });
  } finally {
    clearTimeout(timer);
  }
}

/** Calls back with every loss of the broker, and with its return, until the connection is closed for good. */
export function followConnection(nats: NatsConnection, onChange: (connected: boolean) => void): void {
  void (async () => {
    for await (const { type } of nats.status()) {
      if (type === Events.Disconnect) onChange(false);
      if (type === Events.Reconnect) onChange(true);
    }
  })();
}

const unreachable = (shown: string, reason: string): string =>
  `cannot reach the broker at ${shown}: ${reason}; start one, or name another with --nats or CROSSFOLD_NATS_URL`;

interface Server {
  readonly server: string;
  readonly user?: string;
  readonly pass?: string;
  readonly token?: string;
}

function parseServer(text: string): Server {
  let url: URL;
  try {
    url = new URL(text.includes('://') ? text.trim() : `nats://${text.trim()}`);
  } catch {
    throw new UnreachableError(`${JSON.stringify(text)} is not a broker's address; one looks like nats://host:4222`);
  }
  const server = `${url.hostname}:${url.port === '' ? '4222' : url.port}`;
  const user = decodeURIComponent(url.username);
  if (user === '') return { server };
  if (url.password === '') return { server, token: user };
  return { server, user, pass: decodeURIComponent(url.password) };
}
