import type { NatsConnection } from 'nats';
import { connect, ErrorCode, Events, NatsError } from 'nats';
import type { Border } from '../border.ts';
import { unwatchedBorder } from '../border.ts';
import { ConfigError, UnreachableError } from '../errors.ts';
import { parseBrokerAddress } from './address.ts';
import { harden } from './harden.ts';
import type { Role } from './permissions.ts';
import { inboxPrefix } from './permissions.ts';

/** How long a broker may take to answer before it counts as not there. */
export const connectTimeoutMs = 5000;

/**
 * Connects to the broker at an address as `parseBrokerAddress` reads it; with a role, its answers go where that role's
 * permissions allow. Once connected the client reconnects without end; what was asked meanwhile fails by its own bound.
 *
 * @throws UnreachableError where no server answers within `connectTimeoutMs` or the credentials are refused; its
 * message names the server without the credentials. ConfigError where a file that the address names cannot be read.
 */
export async function connectBroker(
  url: string,
  name: string,
  role?: Role,
  border: Border = unwatchedBorder,
): Promise<NatsConnection> {
  const { servers, authenticator, tls } = parseBrokerAddress(url);
  const shown = servers.join(', ');
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    // A server that wants a certificate ends the connection without a word.
    const silent = tls === undefined ? 'it does not answer' : 'it does not answer, or does not take our certificate';
    timer = setTimeout(() => reject(new UnreachableError(unreachable(shown, silent))), connectTimeoutMs);
  });
  const attempt = connect({
    servers: [...servers],
    name,
    inboxPrefix: inboxPrefix(role),
    ...(authenticator === undefined ? {} : { authenticator }),
    ...(tls === undefined ? {} : { tls }),
    // Keys that are exchanged while this process lives: it comes back once both sides have the new ones.
    ignoreAuthErrorAbort: true,
    timeout: connectTimeoutMs,
    maxReconnectAttempts: -1,
    reconnectTimeWait: 250,
    reconnectJitter: 100,
    // A server that is stopped, or behind a cable that is cut, is noticed within some seconds.
    pingInterval: 2000,
    maxPingOut: 2,
    ignoreClusterUpdates: false,
  });
  try {
    const nats = await Promise.race([attempt, late]);
    harden(nats, (why) => border.dropped('headers', 'the broker', why));
    return nats;
  } catch (error) {
    // A connection that comes up after we gave up must not keep the process alive.
    attempt.then((c) => c.close()).catch(() => undefined);
    if (error instanceof UnreachableError || error instanceof ConfigError) throw error;
    if (error instanceof NatsError && error.code === ErrorCode.AuthorizationViolation)
      throw new UnreachableError(
        `the broker at ${shown} refused the credentials; set CROSSFOLD_NATS_URL with the right ones, or CROSSFOLD_NATS_CREDENTIALS to their file`,
      );
    throw new UnreachableError(unreachable(shown, reasonOf(error)), { cause: error });
  } finally {
    clearTimeout(timer);
  }
}

/** Of what is wrong with certificates the client says only that it is TLS; what it was lies within. */
function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const within = error instanceof NatsError ? error.chainedError?.message : undefined;
  return within === undefined || error.message.includes(within) ? error.message : `${error.message}: ${within}`;
}

/** Calls back with every loss of the broker, and with its return, until the connection is closed for good. */
export function followConnection(nats: Pick<NatsConnection, 'status'>, onChange: (connected: boolean) => void): void {
  void (async () => {
    for await (const { type } of nats.status()) {
      if (type === Events.Disconnect) onChange(false);
      if (type === Events.Reconnect) onChange(true);
    }
  })();
}

/** Calls back with everything that the broker refuses to a connection: subjects that it may not use, its credentials. */
export function followRefusals(
  nats: Pick<NatsConnection, 'status'>,
  onRefused: (what: string, why: string) => void,
): void {
  void (async () => {
    for await (const { type, data, permissionContext } of nats.status()) {
      if (type !== Events.Error || !refusals.has(String(data))) continue;
      const what = permissionContext === undefined ? 'to connect' : Object.values(permissionContext).join(' ');
      onRefused(what, String(data));
    }
  })();
}
const refusals: ReadonlySet<string> = new Set([ErrorCode.PermissionsViolation, ErrorCode.AuthorizationViolation]);

const unreachable = (shown: string, reason: string): string =>
  `cannot reach the broker at ${shown}: ${reason}; start one, or name another with --nats or CROSSFOLD_NATS_URL`;
