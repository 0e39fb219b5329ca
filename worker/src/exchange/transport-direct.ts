import { once } from 'node:events';
import { existsSync } from 'node:fs';
import type { BufferPool } from './buffers.ts';
import type { GroupView } from './exchange.ts';
import type { Header } from './frame.ts';
import { maxRequestBytes } from './frame.ts';
import { greet, groupDigest, handshakeMs } from './handshake.ts';
import { Inlet } from './inlet.ts';
import { Link } from './link.ts';
import type { DirectListener, PeerAddress } from './listener.ts';
import type { Receive, Transport } from './transport.ts';

const redialMs = { first: 200, most: 5000 };
/** How long what is queued may take to leave when the exchange ends. */
const lingerMs = 500;

export interface DirectEvents {
  readonly receive: Receive;
  readonly onBadFrame: (why: string) => void;
  /** A peer is reached, or is not any more; `reason` says why. */
  readonly onChange: (rank: number, reason: string | undefined) => void;
  /** A connection went, and with it what was on its way, though there is another. */
  readonly onLoss: (rank: number) => void;
}

interface Peer {
  /** The connection that this member has made, and the one that the peer has made. */
  dialed: Link | undefined;
  taken: Link | undefined;
  /** Where it is dialed; undefined where it does not listen. */
  readonly address: PeerAddress | undefined;
  /** Whether one of the two listens. */
  readonly possible: boolean;
  failures: number;
  redial: NodeJS.Timeout | undefined;
  lastSent: number;
  problem: string;
}

type Way = 'dialed' | 'taken';

/**
 * Carries frames over connections between peers. Every member dials all that listen, and takes frames from any
 * connection; it sends on the one that the peer has made, because who has dialed reads without copying (see Inlet). A
 * connection that is lost is dialed again until the generation is over.
 */
export class DirectTransport implements Transport {
  readonly name = 'direct';
  readonly #view: GroupView;
  readonly #group: Buffer;
  readonly #buffers: BufferPool;
  readonly #maxPayload: number;
  readonly #events: DirectEvents;
  readonly #peers = new Map<number, Peer>();
  readonly #leave: (() => void) | undefined;
  readonly #now: () => number;
  #closed = false;
  #ended = { bytesOut: 0, bytesIn: 0 };
  #onUp: (() => void) | undefined;

  constructor(
    view: GroupView,
    listener: DirectListener | undefined,
    buffers: BufferPool,
    blockBytes: number,
    now: () => number,
    events: DirectEvents,
  ) {
    this.#view = view;
    this.#group = groupDigest(view.job, view.generation);
    this.#buffers = buffers;
    this.#maxPayload = Math.max(blockBytes, maxRequestBytes);
    this.#now = now;
    this.#events = events;
    const mine = view.members[view.rank]?.address ?? undefined;
    view.members.forEach(({ address }, rank) => {
      if (rank === view.rank) return;
      const possible = address !== null || mine !== undefined;
      this.#peers.set(rank, {
        dialed: undefined,
        taken: undefined,
        address: address ?? undefined,
        failures: 0,
        redial: undefined,
        lastSent: 0,
        possible,
        problem: possible ? 'not connected yet' : 'neither of the two listens',
      });
    });
    this.#leave = listener?.join({
      group: this.#group.toString('hex'),
      rank: view.rank,
      size: view.members.length,
      secret: view.secret,
      onPeer: (rank, inlet) => this.#connected(rank, 'taken', inlet),
    });
    for (const rank of this.#peers.keys()) this.#dial(rank);
  }

  get bytesOut(): number {
    return this.#count('bytesOut');
  }

  get bytesIn(): number {
    return this.#count('bytesIn');
  }

  reaches(rank: number): boolean {
    const peer = this.#peers.get(rank);
    return peer !== undefined && isReached(peer);
  }

  get reachesAll(): boolean {
    return [...this.#peers.values()].every(isReached);
  }

  /** Why a peer is not reached. */
  problem(rank: number): string {
    return this.#peers.get(rank)?.problem ?? 'no such member';
  }

  /** When something was last handed to the connection to a peer. */
  lastSent(rank: number): number {
    return this.#peers.get(rank)?.lastSent ?? 0;
  }

  send(to: number | 'all', header: Header, payload: Uint8Array): void {
    for (const [rank, peer] of this.#peers) {
      if (to !== 'all' && to !== rank) continue;
      peer.lastSent = this.#now();
      (peer.taken ?? peer.dialed)?.send(header, payload);
    }
  }

  /** Whether bytes of this buffer are on their way into a connection. */
  holds(buffer: ArrayBufferLike): boolean {
    return [...this.#peers.values()].flatMap(linksOf).some((link) => link.holds(buffer));
  }

  /** Takes connections for dead that do not deliver; they are dialed again. */
  distrust(rank: number): void {
    const peer = this.#peers.get(rank);
    for (const link of [peer?.taken, peer?.dialed]) link?.end('it did not deliver');
  }

  /** Resolves when every peer is reached that can be (one of the two listens), or after `ms`. */
  async open(ms: number): Promise<void> {
    if (this.#settled) return;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, ms);
      this.#onUp = () => {
        if (!this.#settled && !this.#closed) return;
        clearTimeout(timer);
        resolve();
      };
    });
    this.#onUp = undefined;
  }

  async close(abrupt = false): Promise<void> {
    this.#closed = true;
    this.#leave?.();
    this.#onUp?.();
    for (const { redial } of this.#peers.values()) clearTimeout(redial);
    const links = [...this.#peers.values()].flatMap(linksOf);
    await Promise.all(links.map((link) => link.finish(abrupt ? 0 : lingerMs)));
  }

  get #settled(): boolean {
    return [...this.#peers.values()].every((peer) => isReached(peer) || !peer.possible);
  }

  #dial(rank: number): void {
    const peer = this.#peers.get(rank);
    if (peer?.address === undefined || this.#closed) return;
    const { host, port, local } = peer.address;
    const nearby = local !== undefined && existsSync(local);
    this.#reach(rank, nearby ? { path: local } : { host, port })
      .catch((error: unknown) => (nearby ? this.#reach(rank, { host, port }) : Promise.reject(error)))
      .then(
        (inlet) => {
          peer.failures = 0;
          this.#connected(rank, 'dialed', inlet);
        },
        (error: unknown) => {
          peer.problem = `${host}:${port}: ${error instanceof Error ? error.message : String(error)}`;
          const wait = Math.min(redialMs.most, redialMs.first * 2 ** peer.failures++);
          if (!this.#closed) peer.redial = setTimeout(() => this.#dial(rank), wait);
        },
      );
  }

  /** A connection to a peer over which the two have greeted each other. */
  async #reach(rank: number, where: Parameters<typeof Inlet.dial>[0]): Promise<Inlet> {
    const inlet = Inlet.dial(where);
    const { socket } = inlet;
    const late = setTimeout(() => socket.destroy(new Error(`no answer within ${handshakeMs} ms`)), handshakeMs);
    try {
      await once(socket, 'connect');
      socket.on('error', () => socket.destroy());
      await greet(inlet, { from: this.#view.rank, to: rank, group: this.#group }, this.#view.secret);
      return inlet;
    } catch (error) {
      socket.destroy();
      throw error;
    } finally {
      clearTimeout(late);
    }
  }

  #connected(rank: number, way: Way, inlet: Inlet): void {
    const peer = this.#peers.get(rank);
    if (peer === undefined || this.#closed) {
      inlet.socket.destroy();
      return;
    }
    const before = peer[way];
    const reached = isReached(peer);
    const link: Link = new Link(inlet, this.#buffers, this.#maxPayload, {
      onFrame: (header, payload) => {
        if (header.sender === rank) this.#events.receive(header, payload, 'direct');
        else this.#events.onBadFrame(`a frame of rank ${header.sender} on the connection to rank ${rank}`);
      },
      onNoFrame: () => this.#events.onBadFrame(`what rank ${rank} sent is no frame`),
      onEnd: (reason) => this.#lost(rank, way, link, reason),
    });
    peer[way] = link;
    link.start();
    before?.end('the peer has dialed again');
    if (!reached) this.#events.onChange(rank, undefined);
    this.#onUp?.();
  }

  #lost(rank: number, way: Way, link: Link, reason: string): void {
    this.#ended = {
      bytesOut: this.#ended.bytesOut + link.bytesOut,
      bytesIn: this.#ended.bytesIn + link.bytesIn,
    };
    const peer = this.#peers.get(rank);
    if (peer?.[way] !== link) return;
    peer[way] = undefined;
    if (this.#closed) return;
    if (isReached(peer)) this.#events.onLoss(rank);
    else {
      peer.problem = reason;
      this.#events.onChange(rank, reason);
    }
    if (way === 'dialed') peer.redial = setTimeout(() => this.#dial(rank), redialMs.first);
  }

  #count(bytes: 'bytesOut' | 'bytesIn'): number {
    const links = [...this.#peers.values()].flatMap(linksOf);
    return links.reduce((sum, link) => sum + link[bytes], this.#ended[bytes]);
  }
}

const linksOf = (peer: Peer): Link[] => [peer.taken, peer.dialed].filter((link) => link !== undefined);
const isReached = (peer: Peer): boolean => peer.taken !== undefined || peer.dialed !== undefined;
