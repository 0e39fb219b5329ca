import type { Border } from '@crossfold/shared/border';
import type { Broker } from '@crossfold/shared/broker/broker';
import { z } from 'zod';

/** What a server's monitoring port says of JetStream; all else is left aside. */
const JetStreamStatus = z.object({ config: z.object({ max_storage: z.int().min(0) }) });
const waitMs = 2000;
const maxBytes = 2 ** 20;

/**
 * The most that a broker may store, bytes, as its monitoring port has it (`/jsz`): for accounts that have no limit of
 * their own, which share the server's.
 *
 * @param monitor `http://host:port` of one server
 * @throws Error where it does not answer with such a document, of at most 1 MiB, within two seconds
 */
export const serverStorageLimit = async (monitor: string): Promise<number> =>
  (await ask(monitor, '/jsz', JetStreamStatus, maxBytes)).config.max_storage;

/** @throws Error where it does not answer with such a document, of at most `most` bytes, within two seconds */
async function ask<T>(monitor: string, path: string, schema: z.ZodType<T>, most: number): Promise<T> {
  const response = await fetch(new URL(path, monitor), { signal: AbortSignal.timeout(waitMs), redirect: 'error' });
  if (!response.ok || response.body === null) throw new Error(`${monitor}${path} answered ${response.status}`);
  const parts: Uint8Array[] = [];
  let bytes = 0;
  for await (const part of response.body as AsyncIterable<Uint8Array>) {
    bytes += part.byteLength;
    if (bytes > most) throw new Error(`${monitor}${path} answered more than ${most} bytes`);
    parts.push(part);
  }
  return schema.parse(JSON.parse(Buffer.concat(parts).toString('utf8')));
}

/** Connections that a server has closed, those closed last first. */
const ClosedConnections = z.object({
  server_id: z.string(),
  connections: z.array(z.object({ cid: z.int(), ip: z.string().optional(), reason: z.string().optional() })),
});
/** As nats-server says that somebody did not come in. */
const notLetIn: ReadonlySet<string | undefined> = new Set([
  'Authentication Failure',
  'Authentication Timeout',
  'Credentials Revoked',
  'TLS Handshake Failure',
]);
/** Of connections that were closed between two looks at most so many, the last, are counted: some 5 KiB each at most. */
const closedAtOnce = 512;
const maxClosedBytes = 4 * 2 ** 20;

/**
 * Tells the border of everyone whom the broker's servers did not let in, as their monitoring ports have it (`/connz`): no
 * process of ours hears of them otherwise. What was there at the first look, and what a server that has been started again
 * has forgotten, is not told.
 */
export class RefusedLogins {
  readonly #monitors: readonly string[];
  readonly #border: Border;
  readonly #known = new Map<string, { readonly server: string; readonly cids: ReadonlySet<number> }>();

  /** @param monitors `http://host:port` of each server */
  constructor(monitors: readonly string[], border: Border) {
    this.#monitors = monitors;
    this.#border = border;
  }

  /** @throws Error where a server does not answer as it should; the others have been looked at all the same */
  async look(): Promise<void> {
    const looks = await Promise.allSettled(this.#monitors.map((monitor) => this.#lookAt(monitor)));
    for (const look of looks) if (look.status === 'rejected') throw look.reason;
  }

  async #lookAt(monitor: string): Promise<void> {
    const path = `/connz?state=closed&sort=stop&limit=${closedAtOnce}`;
    const { server_id: server, connections } = await ask(monitor, path, ClosedConnections, maxClosedBytes);
    const before = this.#known.get(monitor);
    this.#known.set(monitor, { server, cids: new Set(connections.map(({ cid }) => cid)) });
    if (before === undefined) return;
    for (const { cid, ip = '', reason = '' } of connections)
      if (notLetIn.has(reason) && !(before.server === server && before.cids.has(cid)))
        this.#border.refused('login', ip, `the broker: ${reason}`);
  }
}

/** The most that the broker may store for this account, bytes: the account's own limit, else the server's, if it is asked. */
export async function storageLimit(
  { nats }: Pick<Broker, 'nats'>,
  monitors: readonly string[],
): Promise<number | undefined> {
  const { limits } = await (await nats.jetstreamManager()).getAccountInfo();
  // -1 stands for none.
  if (limits.max_storage >= 0) return limits.max_storage;
  // Of several servers each keeps its share of copies: none of their limits is that of all.
  const [monitor, ...others] = monitors;
  return monitor === undefined || others.length > 0 ? undefined : serverStorageLimit(monitor);
}
