import type { NatsConnection } from 'nats';
import { JSONCodec } from 'nats';
import type { Presence } from '../jobs/records.ts';
import { Presence as PresenceSchema } from '../jobs/records.ts';
import { followConnection } from './connection.ts';
import { allPresence, presenceSubject } from './subjects.ts';

export const presenceEveryMs = 400;
/** A worker not heard of for this long is taken to be gone. */
export const presenceLostMs = 1600;

const codec = JSONCodec<unknown>();

/** Publishes this worker's sign of life until the signal aborts, and at once when `touch` is called. */
export function announce(nats: NatsConnection, read: () => Presence, signal: AbortSignal): { touch(): void } {
  const publish = (): void => {
    if (!nats.isClosed()) nats.publish(presenceSubject(read().worker), codec.encode(read()));
  };
  const timer = setInterval(publish, presenceEveryMs);
  signal.addEventListener('abort', () => clearInterval(timer), { once: true });
  publish();
  return { touch: publish };
}

/**
 * Who is alive, as far as this process can tell. Silence is counted only while this process itself was awake and
 * connected: after it was stopped, or cut off, everyone gets the full time again.
 */
export class Roster {
  readonly #heard = new Map<string, { presence: Presence; at: number }>();
  readonly #now: () => number;
  #ticked: number;
  #attentiveSince: number;
  #connected = true;

  constructor(nats: NatsConnection, signal: AbortSignal, now: () => number) {
    this.#now = now;
    this.#ticked = now();
    this.#attentiveSince = now();
    const subscription = nats.subscribe(allPresence, {
      callback: (error, message) => {
        if (error !== null) return;
        const presence = PresenceSchema.safeParse(decode(message.data));
        if (presence.success && message.subject === presenceSubject(presence.data.worker))
          this.#heard.set(presence.data.worker, { presence: presence.data, at: this.#now() });
      },
    });
    const timer = setInterval(() => this.#tick(), presenceEveryMs / 2);
    followConnection(nats, (connected) => {
      this.#connected = connected;
      if (connected) this.#attentiveSince = this.#now();
    });
    signal.addEventListener(
      'abort',
      () => {
        clearInterval(timer);
        if (!nats.isClosed()) subscription.unsubscribe();
      },
      { once: true },
    );
  }

  /** Those heard of lately. */
  alive(): Presence[] {
    const now = this.#now();
    const alive: Presence[] = [];
    for (const [worker, { presence, at }] of this.#heard) {
      if (now - at < presenceLostMs) alive.push(presence);
      else if (now - at > 60_000) this.#heard.delete(worker);
    }
    return alive;
  }

  /** Whether a worker has surely been silent for too long; `since` is when it should have begun to speak. */
  isLost(worker: string, since: number): boolean {
    if (!this.#connected) return false;
    const heard = Math.max(this.#heard.get(worker)?.at ?? 0, this.#attentiveSince, since);
    return this.#now() - heard >= presenceLostMs;
  }

  #tick(): void {
    const now = this.#now();
    if (now - this.#ticked > presenceLostMs / 2) this.#attentiveSince = now;
    this.#ticked = now;
  }
}

function decode(data: Uint8Array): unknown {
  try {
    return data.length <= 4096 ? codec.decode(data) : undefined;
  } catch {
    return undefined;
  }
}
