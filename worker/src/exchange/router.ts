import { type ExchangeMode, eachTransport, type TransportName, type Travel } from '@crossfold/shared/config/exchange';
import { aborted, pause } from '@crossfold/shared/wait';
import type { NatsConnection } from 'nats';
import type { BufferPool } from './buffers.ts';
import type { ExchangeCounters, ExchangeOptions, GroupView } from './exchange.ts';
import type { Header } from './frame.ts';
import type { Receive, Transport } from './transport.ts';
import { DirectTransport } from './transport-direct.ts';
import type { GroupSubject } from './transport-nats.ts';
import { NatsTransport } from './transport-nats.ts';

/** What a mode uses: a transport that always works, one that is faster where it does, or both. */
const ways: Readonly<Record<ExchangeMode, { readonly sure?: 'nats'; readonly fast?: 'direct' }>> = {
  auto: { sure: 'nats', fast: 'direct' },
  nats: { sure: 'nats' },
  direct: { fast: 'direct' },
};

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
  readonly #onBadFrame: ExchangeOptions['onBadFrame'];
  readonly #onUnreached: ((rank: number, why: string) => void) | undefined;
  readonly #now: () => number;
  readonly #sure: Transport | undefined;
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
    this.#onBadFrame = options.onBadFrame;
    this.#onUnreached = (rank, why) => options.onUnreached?.(nameOf(view, rank), why);
    this.#now = now;
    if (this.#peers.length === 0) return;
    const { receive, onUncertain } = events;
    const onBadFrame = (why: string): void => this.drop(why);
    const { sure, fast } = ways[options.mode];
    if (sure !== undefined) {
      const place = { rank: view.rank, size: view.members.length };
      this.#sure = new NatsTransport(options.nats, subject, place, receive, onBadFrame);
    }
    if (fast !== undefined) {
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
    const opened = Promise.all([this.#sure && this.#subscribed(signal), this.#direct?.open(directWithinMs)]);
    await Promise.race([opened, aborted(signal)]);
    signal.throwIfAborted();
    if (this.#hasFallback)
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

  get transport(): Travel {
    if (this.#peers.length === 0) return 'none';
    return this.#direct?.reachesAll === true ? 'direct' : this.sure;
  }

  /** The transport of what does not go directly; `direct` where there is no other. */
  get sure(): TransportName {
    return this.#sure?.name ?? 'direct';
  }

  /** Whether there is a second way to a peer that does not answer on the first. */
  get #hasFallback(): boolean {
    return this.#sure !== undefined && this.#direct !== undefined;
  }

  /** Why a peer cannot be reached at all, as things are. */
  problem(rank: number): string | undefined {
    return this.#sure === undefined && this.#direct?.reaches(rank) === false ? this.#direct.problem(rank) : undefined;
  }

  /**
   * @param surely the way that always works, where there is one
   * @returns whether anything of it did not go directly
   */
  send(to: number | 'all', header: Header, payload: Uint8Array, surely = false): boolean {
    const direct = surely && this.#sure !== undefined ? undefined : this.#direct;
    if (to === 'all' && direct !== undefined && !direct.reachesAll && this.#peers.some((p) => direct.reaches(p))) {
      return this.#peers.map((peer) => this.send(peer, header, payload, surely)).includes(true);
    }
    const there = direct !== undefined && (to === 'all' ? direct.reachesAll : direct.reaches(to));
    (there ? direct : this.#sure)?.send(to, header, payload);
    return !there && this.#sure !== undefined;
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
    const byTransport = eachTransport((name) => {
      const used = [this.#sure, this.#direct].find((transport) => transport?.name === name);
      return { in: used?.bytesIn ?? 0, out: used?.bytesOut ?? 0 };
    });
    const all = Object.values(byTransport);
    return {
      bytesOut: all.reduce((sum, { out }) => sum + out, 0),
      bytesIn: all.reduce((sum, traffic) => sum + traffic.in, 0),
      byTransport,
    };
  }

  /** Lets what is queued leave, within a bound, unless `abrupt`. */
  async close(abrupt: boolean): Promise<void> {
    await Promise.all([this.#sure?.close(), this.#direct?.close(abrupt)]);
  }
}

const nameOf = ({ members }: GroupView, rank: number): string => members[rank]?.worker ?? `rank ${rank}`;
