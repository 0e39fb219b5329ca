/**
 * How long one wait has lasted, and when to ask a peer again for what it owes: after `askAfterMs` of silence, then after
 * twice that, and so on up to 16 times. A peer that has sent something in the meantime is not asked.
 */
export class Patience {
  readonly startedAt: number;
  readonly #askAfterMs: number;
  readonly #peers = new Map<number, { since: number; asked: number }>();

  constructor(now: number, askAfterMs: number) {
    this.startedAt = now;
    this.#askAfterMs = askAfterMs;
  }

  heard(rank: number, now: number): void {
    this.#peers.set(rank, { since: now, asked: 0 });
  }

  /** Makes a peer due at the next look. */
  hurry(rank: number): void {
    this.#peers.set(rank, { since: Number.NEGATIVE_INFINITY, asked: 0 });
  }

  /** How often in a row the peer has been asked where it is due to be asked again, which counts as done; else undefined. */
  due(rank: number, now: number): number | undefined {
    const { since, asked } = this.#peers.get(rank) ?? { since: this.startedAt, asked: 0 };
    if (now - since < this.#askAfterMs * 2 ** Math.min(asked, 4)) return undefined;
    this.#peers.set(rank, { since: now, asked: asked + 1 });
    return asked;
  }
}
