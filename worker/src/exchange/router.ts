import { aborted, pause } from '@crossfold/shared/wait';
import type { NatsConnection } from 'nats';
import type { BufferPool } from './buffers.ts';
import type { ExchangeCounters, ExchangeOptions, GroupView } from './exchange.ts';
import type { Header } from './frame.ts';
import type { Receive, TransportName } from './transport.ts';
import { DirectTransport } from './transport-direct.ts';
import type { GroupSubject } from './transport-nats.ts';
import { NatsTransport } from './transport-nats.ts';

/** How long a generation waits at its opening for direct connections before it begins over the broker. */
const directWithinMs = 1000;
/** A flush that fails (the broker is away) is tried again after this long. */
const flushAgainMs = 100;
/** What was handed to a connection this long ago should have arrived. */
const shouldHaveArrivedMs = 500;

/**
 * Which way frames go: to each peer directly where it is connected, over the broker otherwise. Frames are taken from
 * either, so the members need not agree on it, and a connection may come and go in the middle of a sum: what was lost
 * with it is asked for again.
 */
export class Router {
  badFrames = 0;
  readonly #peers: readonly number[];
  readonly #connection: NatsConnection;
  readonly #mode: ExchangeOptions['mode'];
  readonly #onBadFrame: ExchangeOptions['onBadFrame'];
  readonly #onUnreached: ((rank: number, why: string) => void) | undefined;
  readonly #now: () => number;
  readonly #nats: NatsTransport | undefined;
  readonly #direct: DirectTransport | undefined;

  constructor(
    view: GroupView,
    subject: GroupSubject,
    buffers: BufferPool,
    blockBytes: number,
    now: () => number,
    options: ExchangeOptions,
    events: { readonly receive: Receive; readonly onUncertain: (rank: number) => void },
  ) {
    this.#peers = view.members.map((_, rank) => rank).filter((rank) => rank !== view.rank);
    this.#connection = options.nats;
    this.#mode = options.mode;
    this.#onBadFrame = options.onBadFrame;
    this.#onUnreached = (rank, why) => options.onUnreached?.(nameOf(view, rank), why);
    this.#now = now;
    if (this.#peers.length === 0) return;
    const { receive, onUncertain } = events;
    const onBadFrame = (why: string): void => this.drop(why);
    if (options.mode !== 'direct') {
      const place = { rank: view.rank, size: view.members.length };
      this.#nats = new NatsTransport(options.nats, subject, place, receive, onBadFrame);
    }
    if (options.mode !== 'nats') {
      const onChange = (rank: number, reason: string | undefined): void => {
        options.onLink?.(nameOf(view, rank), reason);
        // What was on its way when a connection went is missing, either way: ask at once.
        onUncertain(rank);
      };
      this.#direct = new DirectTransport(view, options.listener, buffers, blockBytes, now, {
        receive,
        onBadFrame,
        onChange,
        onLoss: onUncertain,
      });
    }
  }

  /**
   * Resolves once frames of others can arrive: over the broker for certain, directly where that takes no longer than
   * `directWithinMs`.
   *
   * @throws the signal's reason when it aborts.
   */
  async open(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    const opened = Promise.all([this.#nats && this.#subscribed(signal), this.#direct?.open(directWithinMs)]);
    await Promise.race([opened, aborted(signal)]);
    signal.throwIfAborted();
    if (this.hasFallback)
      for (const rank of this.#peers)
        if (this.#direct?.reaches(rank) === false) this.#onUnreached?.(rank, this.#direct.problem(rank));
  }

  /** Resolves once the broker knows the subscriptions: a client that reconnects subscribes again by itself. */
  async #subscribed(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      try {
        return await this.#connection.flush();
      } catch (error) {
        if (this.#connection.isClosed()) throw error;
        await pause(flushAgainMs, signal);
      }
    }
  }

  /** Counts a frame that fits nothing. */
  drop(why: string): void {
    this.badFrames++;
    this.#onBadFrame?.(why);
  }

  get transport(): 'none' | TransportName {
    if (this.#peers.length === 0) return 'none';
    return this.#mode === 'direct' || this.#direct?.reachesAll === true ? 'direct' : 'nats';
  }

  /** Whether there is a second way to a peer that does not answer on the first. */
  get hasFallback(): boolean {
    return this.#nats !== undefined && this.#direct !== undefined;
  }

  /** Why a peer cannot be reached at all, as things are. */
  problem(rank: number): string | undefined {
    return this.#nats === undefined && this.#direct?.reaches(rank) === false ? this.#direct.problem(rank) : undefined;
  }

  /** @returns whether anything of it went over the broker */
  send(to: number | 'all', header: Header, payload: Uint8Array, via?: TransportName): boolean {
    const direct = via === 'nats' ? undefined : this.#direct;
    if (to === 'all' && direct !== undefined && !direct.reachesAll && this.#peers.some((p) => direct.reaches(p))) {
      return this.#peers.map((peer) => this.send(peer, header, payload, via)).includes(true);
    }
    const there = direct !== undefined && (to === 'all' ? direct.reachesAll : direct.reaches(to));
    (there ? direct : this.#nats)?.send(to, header, payload);
    return !there && this.#nats !== undefined;
  }

  /** Whether bytes of this buffer are on their way into a connection; what goes over the broker has been copied. */
  holds(buffer: ArrayBufferLike): boolean {
    return this.#direct?.holds(buffer) === true;
  }

  /**
   * Whether a peer's request is to be answered. One that came over the broker while the peer is connected directly says
   * that the connection does not deliver, unless what it lacks has only just left.
   */
  shouldAnswer(peer: number, via: TransportName): boolean {
    if (via === 'direct' || this.#direct?.reaches(peer) !== true) return true;
    if (this.#now() - this.#direct.lastSent(peer) < shouldHaveArrivedMs) return false;
    this.#direct.distrust(peer);
    return true;
  }

  counters(): Pick<ExchangeCounters, 'bytesOut' | 'bytesIn' | 'byTransport'> {
    const nats = { in: this.#nats?.bytesIn ?? 0, out: this.#nats?.bytesOut ?? 0 };
    const direct = { in: this.#direct?.bytesIn ?? 0, out: this.#direct?.bytesOut ?? 0 };
    return { bytesOut: nats.out + direct.out, bytesIn: nats.in + direct.in, byTransport: { nats, direct } };
  }

  /** Lets what is queued leave, within a bound, unless `abrupt`. */
  async close(abrupt: boolean): Promise<void> {
    await Promise.all([this.#nats?.close(), this.#direct?.close(abrupt)]);
  }
}

const nameOf = ({ members }: GroupView, rank: number): string => members[rank]?.worker ?? `rank ${rank}`;
