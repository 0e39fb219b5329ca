import type { NatsConnection } from 'nats';
import { ErrorCode, JSONCodec, NatsError } from 'nats';
import type { Border } from '../border.ts';
import { unwatchedBorder } from '../border.ts';
import type { Decoded } from '../decode.ts';
import { decodeJson } from '../decode.ts';
import type { Presence } from '../jobs/records.ts';
import { Presence as PresenceSchema } from '../jobs/records.ts';
import { followConnection } from './connection.ts';
import { aliveSubject, allPresence, presenceSubject } from './subjects.ts';

export const presenceEveryMs = 400;
/** A worker not heard of for this long is taken to be gone. */
export const presenceLostMs = 1600;
/**
 * The same for one that the broker has no connection of: a process that is killed leaves none, at once, one that merely
 * reconnects has another before.
 */
export const presenceGoneMs = 1000;
/** Whoever has missed a sign of life is asked for, this often. */
const askAfterMs = presenceEveryMs + 100;
const askEveryMs = 150;
/** Answers that there is no connection, this far apart at least, are no moment of reconnecting. */
const goneForMs = askEveryMs;
/** One not heard of for this long is forgotten. */
const forgottenMs = 60_000;
/** More than any cluster has: names cost memory. */
const mostWorkers = 10_000;
/** Whoever has had no answer from the broker for this long cannot say who is silent. */
const attentionMs = presenceLostMs / 2;

const codec = JSONCodec<unknown>();

/** Publishes this worker's sign of life until the signal aborts, and at once when `touch` is called. */
export function announce(nats: NatsConnection, read: () => Presence, signal: AbortSignal): { touch(): void } {
  const publish = (): void => {
    if (!nats.isClosed()) nats.publish(presenceSubject(read().worker), codec.encode(read()));
  };
  const timer = setInterval(publish, presenceEveryMs);
  const alive = nats.subscribe(aliveSubject(read().worker), { callback: () => undefined });
  const end = (): void => {
    clearInterval(timer);
    if (!nats.isClosed()) alive.unsubscribe();
  };
  signal.addEventListener('abort', end, { once: true });
  publish();
  return { touch: publish };
}

/** The parts of a connection that a roster needs. */
export type RosterConnection = Pick<NatsConnection, 'subscribe' | 'status' | 'isClosed' | 'flush' | 'request'>;

/** What the broker has answered about one that is silent. */
interface Absence {
  askedAt: number;
  /** First and last time that it said that there is no connection; undefined where it has not, or there is one. */
  gone: { readonly since: number; readonly until: number } | undefined;
}

/**
 * Who is alive, as far as this process can tell. Silence is counted only while this process itself was awake and
 * certain to hear: the broker's answers to its own pings say so, and come after all that the broker had passed on
 * before. After it was stopped, or cut off, everyone gets the full time again.
 */
export class Roster {
  readonly #heard = new Map<string, { presence: Presence; at: number }>();
  readonly #listeners = new Set<() => void>();
  readonly #absences = new Map<string, Absence>();
  readonly #nats: RosterConnection;
  readonly #now: () => number;
  #ticked: number;
  #answeredAt: number;
  #pinging = false;
  #attentiveSince: number;
  #connected = true;

  /** @param now monotonic clock, milliseconds */
  constructor(nats: RosterConnection, signal: AbortSignal, now: () => number, border: Border = unwatchedBorder) {
    this.#nats = nats;
    this.#now = now;
    this.#ticked = now();
    this.#answeredAt = now();
    this.#attentiveSince = now();
    const subscription = nats.subscribe(allPresence, {
      callback: (error, message) => {
        if (error !== null) return;
        const presence = decodePresence(message.data, message.subject);
        if ('why' in presence) border.dropped('presence', message.subject, presence.why);
        else this.#hear(presence.value);
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

  /** Calls back whenever a worker appears, or says that it does something else, until the signal aborts. */
  onChange(listener: () => void, signal: AbortSignal): void {
    this.#listeners.add(listener);
    signal.addEventListener('abort', () => this.#listeners.delete(listener), { once: true });
  }

  #hear(presence: Presence): void {
    const before = this.#heard.get(presence.worker)?.presence;
    if (before === undefined && this.#heard.size >= mostWorkers) return;
    this.#heard.set(presence.worker, { presence, at: this.#now() });
    this.#absences.delete(presence.worker);
    if (before?.state !== presence.state || before.job !== presence.job)
      for (const listener of this.#listeners) listener();
  }

  /** For how long this process has been certain to hear whoever speaks, in milliseconds. */
  get attentiveMs(): number {
    return this.#isAttentive() ? this.#now() - this.#attentiveSince : 0;
  }

  /** What a worker has said of itself last. */
  presenceOf(worker: string): Presence | undefined {
    return this.#heard.get(worker)?.presence;
  }

  /** Those heard of lately. */
  alive(): Presence[] {
    const now = this.#now();
    const alive: Presence[] = [];
    for (const { presence, at } of this.#heard.values()) if (now - at < presenceLostMs) alive.push(presence);
    return alive;
  }

  /**
   * Whether a job has surely lost a member: it has been silent for too long, or says that it does something else (it
   * could not tell the record that it has given up, or is another process by the same name).
   *
   * @param since when it should have begun to speak
   */
  isLost(worker: string, job: string, since: number): boolean {
    if (!this.#isAttentive()) return false;
    const now = this.#now();
    const heard = this.#heard.get(worker);
    const silentMs = now - Math.max(heard?.at ?? 0, this.#attentiveSince, since);
    if (silentMs >= presenceLostMs) return true;
    if (silentMs >= askAfterMs && this.#isGone(worker, now) && silentMs >= presenceGoneMs) return true;
    const begun = Math.max(this.#attentiveSince, since);
    return heard !== undefined && heard.presence.job !== job && heard.at - begun >= presenceLostMs;
  }

  /**
   * Whether the broker has had no connection of a worker for a while; asks it, again and again. Whoever has only just come
   * back itself does not say so: others may be on their way.
   */
  #isGone(worker: string, now: number): boolean {
    if (now - this.#attentiveSince < 2 * presenceLostMs) return false;
    const absence = this.#absences.get(worker) ?? { askedAt: Number.NEGATIVE_INFINITY, gone: undefined };
    this.#absences.set(worker, absence);
    if (now - absence.askedAt >= askEveryMs) {
      absence.askedAt = now;
      // Nobody answers this: that there is somebody who could is all that is asked.
      this.#nats.request(aliveSubject(worker), undefined, { timeout: presenceEveryMs }).catch((error: unknown) => {
        const nobody = error instanceof NatsError && error.code === ErrorCode.NoResponders;
        absence.gone = nobody ? { since: absence.gone?.since ?? now, until: now } : undefined;
      });
    }
    const { gone } = absence;
    return gone !== undefined && gone.until - gone.since >= goneForMs;
  }

  #isAttentive(): boolean {
    return this.#connected && this.#now() - this.#answeredAt < attentionMs;
  }

  #tick(): void {
    const now = this.#now();
    // Stopped, or without an answer from the broker: what was said meanwhile may have gone by.
    if (now - this.#ticked > attentionMs || now - this.#answeredAt > attentionMs) this.#attentiveSince = now;
    this.#ticked = now;
    for (const [worker, { at }] of this.#heard)
      if (now - at > forgottenMs) {
        this.#heard.delete(worker);
        this.#absences.delete(worker);
      }
    if (this.#pinging || !this.#connected || this.#nats.isClosed()) return;
    this.#pinging = true;
    this.#nats
      .flush()
      .then(() => {
        const at = this.#now();
        if (at - this.#answeredAt > attentionMs) this.#attentiveSince = at;
        this.#answeredAt = at;
      })
      .catch(() => undefined)
      .finally(() => {
        this.#pinging = false;
      });
  }
}

const maxPresenceBytes = 16_384;

/** What a worker says of itself: on its own subject alone, which its credentials do not keep from others. */
export function decodePresence(data: Uint8Array, subject: string): Decoded<Presence> {
  const decoded = decodeJson(PresenceSchema, data, maxPresenceBytes);
  if ('why' in decoded || subject === presenceSubject(decoded.value.worker)) return decoded;
  return { why: `it says that it is of ${decoded.value.worker}` };
}
