import type { Socket } from 'node:net';
import { connect } from 'node:net';

/** Takes the bytes of a connection, in the memory that it names for them. */
export interface Sink {
  /** Where the next bytes go; not empty, and not to be used for anything else before they have come. */
  space(): Uint8Array;
  /** So many bytes have come, to where `space` last said. */
  advance(bytes: number): void;
}

/** Nobody says more than this before it is answered. */
const aheadBytes = 4096;

/**
 * The receiving side of a connection: hands out as many bytes as are asked for while two sides greet each other, and
 * later leaves all to a sink. Bytes of a connection that was dialed are read straight into the sink's memory; Node gives
 * that to dialed ones alone, what comes on others is copied there.
 */
export class Inlet {
  readonly socket: Socket;
  #sink: Sink | undefined;
  /** The sink that has named the memory which is being read into. */
  #reading: Sink | undefined;
  #ahead = Buffer.alloc(0);
  #wanted: { readonly bytes: number; readonly resolve: (bytes: Buffer) => void } | undefined;

  private constructor(open: (inlet: Inlet) => Socket) {
    this.socket = open(this);
  }

  /** Of a connection that somebody else has made. */
  static of(socket: Socket): Inlet {
    return new Inlet((inlet) => socket.on('data', (bytes: Buffer) => inlet.#take(bytes)));
  }

  /** Of a connection to `where`, which is under way: its socket says when it is there, or why not. */
  static dial(where: { readonly path: string } | { readonly host: string; readonly port: number }): Inlet {
    return new Inlet((inlet) => {
      const scratch = new Uint8Array(aheadBytes);
      const buffer = (): Uint8Array => {
        inlet.#reading = inlet.#sink;
        return inlet.#sink?.space() ?? scratch;
      };
      const callback = (bytes: number, into: Uint8Array): boolean => {
        if (inlet.#sink !== undefined && inlet.#reading === inlet.#sink) inlet.#sink.advance(bytes);
        else inlet.#take(into.subarray(0, bytes));
        return true;
      };
      return connect({ ...where, noDelay: true, onread: { buffer, callback } });
    });
  }

  /**
   * The next `n` bytes.
   *
   * @throws Error where they do not come within `ms`, or the connection ends before.
   */
  read(n: number, ms: number): Promise<Buffer> {
    return new Promise((resolve, reject) => {
      const settle = (outcome: Buffer | string): void => {
        this.#wanted = undefined;
        clearTimeout(timer);
        this.socket.off('close', gone);
        if (typeof outcome === 'string') reject(new Error(outcome));
        else resolve(outcome);
      };
      const gone = (): void => settle('the connection was closed');
      const timer = setTimeout(() => settle(`no answer within ${ms} ms`), ms);
      this.socket.once('close', gone);
      this.#wanted = { bytes: n, resolve: settle };
      if (this.socket.destroyed) gone();
      else this.#answer();
    });
  }

  /** All that comes from here on, and what has come already, goes to the sink. */
  handOver(sink: Sink): void {
    this.#sink = sink;
    this.#take(this.#ahead);
    this.#ahead = Buffer.alloc(0);
  }

  #take(bytes: Uint8Array): void {
    const sink = this.#sink;
    if (sink === undefined) {
      this.#ahead = Buffer.concat([this.#ahead, bytes]);
      if (this.#ahead.length > aheadBytes) this.socket.destroy(new Error('more was said than was asked'));
      else this.#answer();
      return;
    }
    for (let at = 0; at < bytes.length && !this.socket.destroyed; ) {
      const space = sink.space();
      const part = bytes.subarray(at, at + space.length);
      space.set(part);
      sink.advance(part.length);
      at += part.length;
    }
  }

  #answer(): void {
    const wanted = this.#wanted;
    if (wanted === undefined || this.#ahead.length < wanted.bytes) return;
    const bytes = this.#ahead.subarray(0, wanted.bytes);
    this.#ahead = this.#ahead.subarray(wanted.bytes);
    wanted.resolve(bytes);
  }
}
