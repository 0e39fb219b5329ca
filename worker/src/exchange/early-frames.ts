import type { Header } from './frame.ts';

interface Frame {
  readonly header: Header;
  readonly payload: Uint8Array;
}

/** Empty ones cost memory too. */
const mostFrames = 16_384;

/**
 * Frames of the next sum that come before this member has got there: a peer may be one sum ahead. Only the frames' own
 * bytes are held, up to a limit of them and of frames; what does not fit is asked for when it is missed.
 */
export class EarlyFrames {
  readonly #limitBytes: number;
  readonly #frames = new Map<string, Frame>();
  #bytes = 0;

  constructor(limitBytes = 256 * 2 ** 20) {
    this.#limitBytes = limitBytes;
  }

  keep(header: Header, payload: Uint8Array): void {
    const { kind, sender, owner, chunk, from, to } = header;
    const key = [kind, sender, owner, chunk, from, to].join(' ');
    if (this.#frames.has(key) || this.#frames.size >= mostFrames) return;
    if (this.#bytes + payload.length > this.#limitBytes) return;
    this.#frames.set(key, { header, payload });
    this.#bytes += payload.length;
  }

  /** Hands out, and forgets, what was kept. */
  take(): Frame[] {
    const frames = [...this.#frames.values()];
    this.clear();
    return frames;
  }

  clear(): void {
    this.#frames.clear();
    this.#bytes = 0;
  }
}
