import type { NatsConnection } from 'nats';
import { ErrorCode, headers, NatsError } from 'nats';
import { z } from 'zod';
import { DamagedDataError } from '../errors.ts';

/** Records must fit into a message. */
export const leastPayload = 64 * 1024;

/** Told of messages that no handler could take, with the reason. */
export type OnUnreadable = (why: string) => void;

type Decode = (bytes: Uint8Array) => ReturnType<typeof headers>;
const HeadersClass = z.custom<{ decode: Decode }>(
  (value) => typeof (value as { decode?: unknown })?.decode === 'function',
);
interface Protocol {
  processMsg(...message: unknown[]): void;
  publish(subject: string, payload: unknown, options?: { readonly reply?: string }): void;
  subscribe(subscription: { readonly subject: string; readonly queue?: string }): unknown;
}
const Internals = z.object({
  protocol: z.custom<Protocol>((value) =>
    (['processMsg', 'publish', 'subscribe'] as const).every(
      (name) => typeof (value as Partial<Protocol>)?.[name] === 'function',
    ),
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
 *
 * It also writes whatever it is given for a subject into the line that it sends. Some subjects are made of what others have
 * written: with a line break in one of those they would say what they like by this process's permissions, with a space they
 * would have the server end the connection. Here such a subject is refused with a DamagedDataError.
 */
export function harden(nats: NatsConnection, onUnreadable: OnUnreadable): void {
  hardenHeaders();
  listeners.add(onUnreadable);
  void nats.closed().then(() => listeners.delete(onUnreadable));
  const { protocol } = Internals.parse(nats);
  const { processMsg: process, publish, subscribe } = protocol;
  protocol.publish = function (subject, payload, options) {
    checkSubjects(subject, options?.reply);
    return publish.call(this, subject, payload, options);
  };
  protocol.subscribe = function (subscription) {
    checkSubjects(subscription.subject, subscription.queue);
    return subscribe.call(this, subscription);
  };
  protocol.processMsg = function (...message) {
    try {
      process.apply(this, message);
    } catch (error) {
      onUnreadable(isTooLarge(error) ? tooLarge(nats) : `it could not be taken: ${reasonOf(error)}`);
    }
  };
}

function checkSubjects(...subjects: readonly (string | undefined)[]): void {
  for (const subject of subjects)
    if (subject !== undefined && notInSubjects.test(subject))
      throw new DamagedDataError(`${JSON.stringify(subject.slice(0, 200))} can be no subject`);
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
const notInSubjects = /[\s\u0000-\u001f\u007f]/;

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
