import type { Socket } from 'node:net';
import { connect } from 'node:net';
import type { Endpoint } from '@crossfold/shared/endpoint';
import type { BufferPool } from './buffers.ts';
import type { GroupView } from './exchange.ts';
import type { Header } from './frame.ts';
import { maxRequestBytes } from './frame.ts';
import { greet, groupDigest, handshakeMs } from './handshake.ts';
import { Link } from './link.ts';
import type { DirectListener } from './listener.ts';
import type { Receive, Transport } from './transport.ts';

const redialMs = { first: 200, most: 5000 };
/** How long what is queued may take to leave when the exchange ends. */
const lingerMs = 500;

export interface DirectEvents {
  readonly receive: Receive;
  readonly onBadFrame: () => void;
  /** A connection has come up or gone down; `reason` says why it went. */
  readonly onChange: (rank: number, reason: string | undefined) => void;
}

interface Peer {
  link: Link | undefined;
  /** Who dials; the others wait to be dialed. */
  readonly dial: Endpoint | undefined;
  /** Whether one of the two listens. */
  readonly possible: boolean;
  failures: number;
  redial: NodeJS.Timeout | undefined;
  lastSent: number;
  problem: string;
}

/**
 * Carries frames over TCP between peers. Of two members the one with the lower rank is dialed if it listens, else the
 * other; a connection that is lost is dialed again until the generation is over.
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
    view.members.forEach((member, rank) => {
      if (rank === view.rank) return;
      const mine = view.members[view.rank]?.address ?? undefined;
      const theirs = member.address ?? undefined;
      const dials = rank < view.rank ? theirs !== undefined : mine === undefined;
      const possible = theirs !== undefined || mine !== undefined;
      this.#peers.set(rank, {
        link: undefined,
        dial: dials ? theirs : undefined,
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
      onPeer: (rank, socket) => this.#connected(rank, socket),
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
    return this.#peers.get(rank)?.link !== undefined;
  }

  get reachesAll(): boolean {
    return [...this.#peers.values()].every((peer) => peer.link !== undefined);
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
      peer.link?.send(header, payload);
    }
  }

  /** Takes a connection for dead that does not deliver; it is dialed again. */
  distrust(rank: number): void {
    this.#peers.get(rank)?.link?.end('it did not deliver');
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
    const links = [...this.#peers.values()].map((peer) => peer.link).filter((link) => link !== undefined);
    await Promise.all(links.map((link) => link.finish(abrupt ? 0 : lingerMs)));
  }

  get #settled(): boolean {
    return [...this.#peers.values()].every((peer) => peer.link !== undefined || !peer.possible);
  }

  #dial(rank: number): void {
    const peer = this.#peers.get(rank);
    if (peer?.dial === undefined || this.#closed) return;
    const { host, port } = peer.dial;
    const socket = connect({ host, port, noDelay: true });
    const late = setTimeout(() => socket.destroy(new Error(`no answer within ${handshakeMs} ms`)), handshakeMs);
    const failed = (error: unknown): void => {
      clearTimeout(late);
      socket.destroy();
      peer.problem = `${host}:${port}: ${error instanceof Error ? error.message : String(error)}`;
      const wait = Math.min(redialMs.most, redialMs.first * 2 ** peer.failures++);
      if (!this.#closed) peer.redial = setTimeout(() => this.#dial(rank), wait);
    };
    socket.once('error', failed);
    socket.once('connect', () => {
      socket.off('error', failed);
      socket.on('error', () => socket.destroy());
      greet(socket, { from: this.#view.rank, to: rank, group: this.#group }, this.#view.secret).then(() => {
        clearTimeout(late);
        peer.failures = 0;
        this.#connected(rank, socket);
      }, failed);
    });
  }

  #connected(rank: number, socket: Socket): void {
    const peer = this.#peers.get(rank);
    if (peer === undefined || this.#closed) {
      socket.destroy();
      return;
    }
    const before = peer.link;
    const link: Link = new Link(socket, this.#buffers, this.#maxPayload, {
      onFrame: (header, payload) => {
        if (header.sender === rank) this.#events.receive(header, payload, 'direct');
        else this.#events.onBadFrame();
      },
      onEnd: (reason) => this.#lost(rank, link, reason),
    });
    peer.link = link;
    before?.end('the peer has dialed again');
    this.#events.onChange(rank, undefined);
    this.#onUp?.();
  }

  #lost(rank: number, link: Link, reason: string): void {
    this.#ended = {
      bytesOut: this.#ended.bytesOut + link.bytesOut,
      bytesIn: this.#ended.bytesIn + link.bytesIn,
    };
    const peer = this.#peers.get(rank);
    if (peer?.link !== link) return;
    peer.link = undefined;
    peer.problem = reason;
    if (this.#closed) return;
    this.#events.onChange(rank, reason);
    peer.redial = setTimeout(() => this.#dial(rank), redialMs.first);
  }

  #count(bytes: 'bytesOut' | 'bytesIn'): number {
    return [...this.#peers.values()].reduce((sum, peer) => sum + (peer.link?.[bytes] ?? 0), this.#ended[bytes]);
  }
}
