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
export async function serverStorageLimit(monitor: string): Promise<number> {
  const response = await fetch(new URL('/jsz', monitor), { signal: AbortSignal.timeout(waitMs), redirect: 'error' });
  if (!response.ok || response.body === null) throw new Error(`${monitor}/jsz answered ${response.status}`);
  const parts: Uint8Array[] = [];
  let bytes = 0;
  for await (const part of response.body as AsyncIterable<Uint8Array>) {
    bytes += part.byteLength;
    if (bytes > maxBytes) throw new Error(`${monitor}/jsz answered more than ${maxBytes} bytes`);
    parts.push(part);
  }
  return JetStreamStatus.parse(JSON.parse(Buffer.concat(parts).toString('utf8'))).config.max_storage;
}

/** The most that the broker may store for this account, bytes: the account's own limit, else the server's, if it is asked. */
export async function storageLimit(
  { nats }: Pick<Broker, 'nats'>,
  monitor: string | undefined,
): Promise<number | undefined> {
  const { limits } = await (await nats.jetstreamManager()).getAccountInfo();
  // -1 stands for none.
  if (limits.max_storage >= 0) return limits.max_storage;
  return monitor === undefined ? undefined : serverStorageLimit(monitor);
}
