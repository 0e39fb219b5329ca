import type { NatsConnection } from 'nats';
import { ErrorCode, headers, NatsError } from 'nats';
import { z } from 'zod';

/** Records must fit into a message. */
export const leastPayload = 64 * 1024;

/** Told of messages that no handler could take, with the reason. */
export type OnUnreadable = (why: string) => void;

type Decode = (bytes: Uint8Array) => ReturnType<typeof headers>;
const HeadersClass = z.custom<{ decode: Decode }>(
  (value) => typeof (value as { decode?: unknown })?.decode === 'function',
);
const Internals = z.object({
  protocol: z.custom<{ processMsg: (...message: unknown[]) => void }>(
    (value) => typeof (value as { processMsg?: unknown })?.processMsg === 'function',
  ),
});

/** Connections that hear of headers that are none: the client reads headers apart from the connection. */
const listeners = new Set<OnUnreadable>();
let hardened = false;

/**
 * Keeps a connection reading whatever is sent to it. The client (nats 2.29) reads a message's headers where they are
 * first looked at, throws where one has a name that is no token, and stops reading the connection for good when anything
 * throws there: one such message, which the server passes on as it is, would cut a process off. Here headers that cannot
 * be read are none, and what a handler throws concerns its message alone.
 */
export function harden(nats: NatsConnection, onUnreadable: OnUnreadable): void {
  hardenHeaders();
  listeners.add(onUnreadable);
  void nats.closed().then(() => listeners.delete(onUnreadable));
  const { protocol } = Internals.parse(nats);
  const process = protocol.processMsg;
  protocol.processMsg = function (...message) {
    try {
      process.apply(this, message);
    } catch (error) {
      onUnreadable(isTooLarge(error) ? tooLarge(nats) : `it could not be taken: ${reasonOf(error)}`);
    }
  };
}

function hardenHeaders(): void {
  if (hardened) return;
  hardened = true;
  const all = HeadersClass.parse(headers().constructor);
  const decode = all.decode;
  all.decode = (bytes) => {
    try {
      return decode.call(all, bytes);
    } catch (error) {
      for (const tell of listeners) tell(`its headers cannot be read: ${reasonOf(error)}`);
      return headers();
    }
  };
}

/** An answer that the broker, as it is now, would not take: the message that asked for it is none to blame. */
const isTooLarge = (error: unknown): boolean =>
  error instanceof NatsError && error.code === ErrorCode.MaxPayloadExceeded;
const tooLarge = ({ info }: NatsConnection): string =>
  `the answer is too large: the broker now takes messages of at most ${info?.max_payload} bytes (max_payload); set it to at least ${leastPayload}`;

const reasonOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));
