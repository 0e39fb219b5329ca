import type { BufferPool } from './buffers.ts';
import type { Header } from './frame.ts';
import { decodeHeader, encodeHeader, headerBytes } from './frame.ts';
import type { Inlet, Sink } from './inlet.ts';
import { mostQueued } from './transport.ts';

export interface LinkEvents {
  readonly onFrame: (header: Header, payload: Uint8Array) => void;
  /** What came is no frame, or a larger one than there can be; the connection ends. */
  readonly onNoFrame: () => void;
  /** Called once; frames that had not left are lost. */
  readonly onEnd: (reason: string) => void;
}

/**
 * Bytes handed to the socket at a time: enough that the kernel never waits for this process to come round, little enough
 * that what is asked for urgently is not far behind.
 */
const inSocketBytes = 4 * 2 ** 20;

interface Queued {
  readonly header: Header;
  readonly payload: Uint8Array;
}

/** Why a link is gone that the other side has ended in good order, as whoever is done first does. */
export const peerClosed = 'the peer closed the connection';

/** Frames over one connection between two members. */
export class Link implements Sink {
  bytesOut = 0;
  bytesIn = 0;
  readonly #inlet: Inlet;
  readonly #buffers: BufferPool;
  readonly #maxPayload: number;
  readonly #events: LinkEvents;
  readonly #headBytes = new Uint8Array(headerBytes);
  #queue: Queued[] = [];
  /** The frame that is coming in: its header once that is whole, and how much of what is being read is there. */
  #head: Header | undefined;
  #payload: Uint8Array = new Uint8Array(0);
  #filled = 0;
  /** Bytes in the socket that the kernel has not taken. */
  #unsent = 0;
  /** The payloads that they are of. */
  readonly #leaving = new Set<Uint8Array>();
  #onSent: (() => void) | undefined;
  #ended = false;

  constructor(inlet: Inlet, buffers: BufferPool, maxPayload: number, events: LinkEvents) {
    this.#inlet = inlet;
    this.#buffers = buffers;
    this.#maxPayload = maxPayload;
    this.#events = events;
  }

  /** Takes frames from here on, those that have come already at once. */
  start(): void {
    const { socket } = this.#inlet;
    socket.setNoDelay(true);
    socket.setKeepAlive(true, 5000);
    socket.on('error', (error) => this.end(error.message));
    socket.on('close', () => this.end(peerClosed));
    if (socket.destroyed) this.end(peerClosed);
    else this.#inlet.handOver(this);
  }

  /**
   * Whether bytes of this buffer are in the socket: were they to go elsewhere now, a header that says how many follow it
   * would have left without them, and what comes after it would be taken for them.
   */
  holds(buffer: ArrayBufferLike): boolean {
    for (const payload of this.#leaving) if (payload.buffer === buffer) return true;
    return false;
  }

  /** Queues a frame; payloads are not copied, they are referred to until they have left. */
  send(header: Header, payload: Uint8Array): void {
    // Who lacks what is dropped here asks for it again.
    if (this.#ended || this.#queue.length >= mostQueued) return;
    this.#queue.push({ header, payload });
    this.#pump();
  }

  /** Cuts the connection: nothing of what is queued is touched any more. */
  end(reason: string): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#queue = [];
    this.#leaving.clear();
    this.#inlet.socket.destroy();
    this.#onSent?.();
    this.#events.onEnd(reason);
  }

  /** Ends once everything has left, or after `ms`. */
  async finish(ms: number): Promise<void> {
    if (!this.#ended && this.#unsent > 0) {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, ms);
        this.#onSent = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
    this.end('the exchange was closed');
  }

  #pump(): void {
    this.#inlet.socket.cork();
    while (this.#unsent < inSocketBytes) {
      const next = this.#queue.shift();
      if (next === undefined || this.#ended) break;
      const { header, payload } = next;
      // A payload whose buffer was handed on belongs to a sum that is complete everywhere: nobody needs it.
      if (payload.length !== header.payload) continue;
      const bytes = headerBytes + payload.length;
      this.#unsent += bytes;
      this.bytesOut += bytes;
      // Another view of the same bytes for each frame: the same block may be in the socket twice.
      const leaving = payload.subarray();
      const sent = (): void => {
        this.#unsent -= bytes;
        this.#leaving.delete(leaving);
        if (this.#queue.length > 0) this.#pump();
        else if (this.#unsent === 0) this.#onSent?.();
      };
      if (payload.length === 0) this.#inlet.socket.write(encodeHeader(header), sent);
      else {
        this.#leaving.add(leaving);
        this.#inlet.socket.write(encodeHeader(header));
        this.#inlet.socket.write(leaving, sent);
      }
    }
    this.#inlet.socket.uncork();
  }

  space(): Uint8Array {
    const target = this.#head === undefined ? this.#headBytes : this.#payload;
    return target.subarray(this.#filled);
  }

  advance(bytes: number): void {
    this.bytesIn += bytes;
    // What comes after the end is let go by; there has to be room for it all the same.
    if (this.#ended) {
      this.#filled = 0;
      return;
    }
    this.#filled += bytes;
    const target = this.#head === undefined ? this.#headBytes : this.#payload;
    if (this.#filled < target.length) return;
    this.#filled = 0;
    if (this.#head === undefined) this.#begin();
    else this.#deliver(this.#head, this.#payload);
  }

  /** A header is whole: nothing is allocated before it is known to be one and to ask for no more than is allowed. */
  #begin(): void {
    const head = decodeHeader(this.#headBytes);
    if (head === undefined || head.payload > this.#maxPayload) {
      this.#events.onNoFrame();
      this.end('the peer sent what is no frame');
      return;
    }
    if (head.payload === 0) {
      this.#deliver(head, new Uint8Array(0));
      return;
    }
    this.#head = head;
    this.#payload = this.#buffers.take(head.payload);
  }

  #deliver(head: Header, payload: Uint8Array): void {
    this.#head = undefined;
    this.#events.onFrame(head, payload);
  }
}
