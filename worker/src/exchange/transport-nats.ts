import type { Msg, MsgHdrs, NatsConnection, Subscription } from 'nats';
import { headers } from 'nats';
import type { Header } from './frame.ts';
import { decodeHeader, encodeHeader, FrameKind, headerBytes } from './frame.ts';
import type { Receive, Transport } from './transport.ts';
import { mostQueued } from './transport.ts';

/** Subject of one generation: what its members say to one rank or to all of them. */
export type GroupSubject = (to: number | 'all') => string;

const headerName = 'Head';

/**
 * A frame's header travels as a header of the message: so the payload need not be copied to stand beside it. The name
 * has four letters and the text 64, so that what comes before the payload is a multiple of four bytes long.
 */
export function messageHeaders(header: Header): MsgHdrs {
  const all = headers();
  all.set(headerName, Buffer.from(encodeHeader(header)).toString('base64'));
  return all;
}

/** The frame's header in a message's headers, or undefined where there is none. */
export function frameHeader(message: { readonly headers?: MsgHdrs | undefined }): Header | undefined {
  const text = message.headers?.get(headerName) ?? '';
  return text.length === (headerBytes * 4) / 3 ? decodeHeader(Buffer.from(text, 'base64')) : undefined;
}

/** What one rank says to all others has its own subject, which that rank does not hear: nothing comes back to it. */
const broadcast = (subject: GroupSubject, from: number): string => `${subject('all')}.${from}`;

/**
 * Bytes that may be on their way to one member, from all others together. The server cuts a consumer off when it holds
 * `max_pending` (64 MB by default) for it; a flush would only say that the server has them, so receivers report what
 * they have got.
 */
const inFlightLimit = 32 * 2 ** 20;
/** Credit that has not moved for this long belongs to frames that were lost. */
const lostAfterMs = 250;

interface Queued {
  readonly to: number | 'all';
  readonly header: Header;
  readonly payload: Uint8Array;
}

interface Peer {
  /** Bytes sent, and as reported received or taken to be lost, modulo 2^32. */
  sent: number;
  settled: number;
  lost: number;
  received: number;
  reported: number;
}

/** Carries frames on core NATS subjects: always works, at most once. */
export class NatsTransport implements Transport {
  readonly name = 'nats';
  bytesOut = 0;
  bytesIn = 0;
  readonly #nats: NatsConnection;
  readonly #subject: GroupSubject;
  readonly #rank: number;
  readonly #peers: Map<number, Peer>;
  readonly #receive: Receive;
  readonly #onBadFrame: (why: string) => void;
  readonly #window: number;
  readonly #subscriptions: Subscription[];
  #queue: Queued[] = [];
  #stalled: NodeJS.Timeout | undefined;

  constructor(
    nats: NatsConnection,
    subject: GroupSubject,
    place: { readonly rank: number; readonly size: number },
    receive: Receive,
    onBadFrame: (why: string) => void,
  ) {
    this.#nats = nats;
    this.#subject = subject;
    this.#rank = place.rank;
    this.#receive = receive;
    this.#onBadFrame = onBadFrame;
    const others = Array.from({ length: place.size }, (_, rank) => rank).filter((rank) => rank !== place.rank);
    this.#peers = new Map(others.map((rank) => [rank, { sent: 0, settled: 0, lost: 0, received: 0, reported: 0 }]));
    this.#window = Math.floor(inFlightLimit / Math.max(1, others.length));
    const callback = (error: Error | null, message: Msg): void => {
      if (error === null) this.#take(message);
    };
    const heard = [subject(place.rank), ...others.map((rank) => broadcast(subject, rank))];
    this.#subscriptions = heard.map((s) => nats.subscribe(s, { callback }));
  }

  reaches(): boolean {
    return !this.#nats.isClosed();
  }

  send(to: number | 'all', header: Header, payload: Uint8Array): void {
    if (isData(header)) {
      // Who lacks what is dropped here asks for it again.
      if (this.#queue.length < mostQueued) this.#queue.push({ to, header, payload });
      this.#pump();
    } else this.#publish({ to, header, payload });
  }

  async close(): Promise<void> {
    clearTimeout(this.#stalled);
    this.#queue = [];
    if (!this.#nats.isClosed()) for (const subscription of this.#subscriptions) subscription.unsubscribe();
  }

  #pump(): void {
    while (this.#queue[0] !== undefined) {
      const { to, header } = this.#queue[0];
      const peers = to === 'all' ? [...this.#peers.values()] : [this.#peers.get(to)].filter((p) => p !== undefined);
      if (peers.some((p) => inFlight(p) > 0 && inFlight(p) + header.payload > this.#window)) {
        this.#watchStall();
        return;
      }
      for (const peer of peers) peer.sent = (peer.sent + header.payload + headerBytes) >>> 0;
      const next = this.#queue.shift();
      if (next !== undefined) this.#publish(next);
    }
  }

  #publish({ to, header, payload }: Queued): void {
    // A payload whose buffer was handed on belongs to a sum that is complete everywhere: nobody needs it.
    if (this.#nats.isClosed() || this.#nats.isDraining() || payload.length !== header.payload) return;
    this.bytesOut += headerBytes + payload.length;
    const subject = to === 'all' ? broadcast(this.#subject, this.#rank) : this.#subject(to);
    this.#nats.publish(subject, payload, { headers: messageHeaders(header) });
  }

  #take(message: Msg): void {
    const header = frameHeader(message);
    const payload = message.data;
    this.bytesIn += headerBytes + payload.length;
    const peer = header === undefined ? undefined : this.#peers.get(header.sender);
    if (header === undefined) {
      this.#onBadFrame('a message without the header of a frame');
      return;
    }
    if (peer === undefined) {
      this.#onBadFrame(`a frame of rank ${header.sender}, which is no peer`);
      return;
    }
    if (payload.length !== header.payload) {
      this.#onBadFrame(`a frame of ${payload.length} bytes that says that it has ${header.payload}`);
      return;
    }
    if (header.kind === FrameKind.credit) {
      peer.settled = header.total;
      if (inFlight(peer) < 0) peer.lost = (peer.sent - peer.settled) >>> 0;
      this.#pump();
      return;
    }
    if (isData(header)) {
      peer.received = (peer.received + headerBytes + payload.length) >>> 0;
      if ((peer.received - peer.reported) >>> 0 >= this.#window / 4) this.#report(header, peer);
    }
    this.#receive(header, payload, 'nats');
  }

  #report(header: Header, peer: Peer): void {
    peer.reported = peer.received;
    const credit = { ...header, kind: FrameKind.credit, sender: this.#rank, total: peer.received, payload: 0 };
    this.#publish({ to: header.sender, header: credit, payload: new Uint8Array(0) });
  }

  #watchStall(): void {
    if (this.#stalled !== undefined) return;
    const before = [...this.#peers.values()].map((p) => p.settled);
    this.#stalled = setTimeout(() => {
      this.#stalled = undefined;
      [...this.#peers.values()].forEach((peer, i) => {
        if (peer.settled === before[i] && inFlight(peer) > 0) peer.lost = (peer.sent - peer.settled) >>> 0;
      });
      this.#pump();
    }, lostAfterMs);
  }
}

const isData = (header: Header): boolean =>
  header.kind === FrameKind.partial || header.kind === FrameKind.finished || header.kind === FrameKind.bulk;

/** Bytes on their way to a peer; negative where some that were taken to be lost have arrived after all. */
const inFlight = (peer: Peer): number => (peer.sent - peer.settled - peer.lost) | 0;
