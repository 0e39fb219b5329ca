import type { MsgHdrs, NatsConnection, Subscription } from 'nats';

type Callback = (error: null, message: HubMessage) => void;
export interface HubMessage {
  readonly subject: string;
  readonly data: Uint8Array;
  readonly headers: MsgHdrs | undefined;
}

/**
 * What of a broker an exchange needs, within a process: messages come in order, a turn of the loop later. Subjects are
 * taken word by word.
 */
export class Hub {
  readonly #subscriptions = new Map<string, Set<Callback>>();

  /** A connection to it. */
  connect(): NatsConnection {
    const connection: Partial<NatsConnection> = {
      subscribe: (subject, options) => {
        const callback = options?.callback as unknown as Callback;
        const own = this.#subscriptions.get(subject) ?? new Set();
        this.#subscriptions.set(subject, own.add(callback));
        return { unsubscribe: () => own.delete(callback) } as unknown as Subscription;
      },
      publish: (subject, data, options) =>
        this.publish({ subject, data: data as Uint8Array, headers: options?.headers }),
      flush: () => Promise.resolve(),
      isClosed: () => false,
      isDraining: () => false,
    };
    return connection as NatsConnection;
  }

  /** Subjects that somebody listens to. */
  get subjects(): string[] {
    return [...this.#subscriptions.keys()];
  }

  publish(message: HubMessage): void {
    // The sender may use the memory again: a network would have its own copy.
    const own = { ...message, data: message.data.slice() };
    setImmediate(() => {
      for (const callback of this.#subscriptions.get(message.subject) ?? []) callback(null, own);
    });
  }
}
