import { createHash } from 'node:crypto';
import { DamagedDataError } from '@crossfold/shared/errors';
import type { Header } from './frame.ts';
import { FrameKind } from './frame.ts';

/** Pieces that are asked for at a time: what may be on its way to one member. */
const window = 32;
const maxNameBytes = 256;

export type SendBulk = (
  header: Pick<Header, 'kind' | 'sequence' | 'chunk' | 'chunks' | 'from' | 'to' | 'total'>,
  payload: Uint8Array,
) => void;

/** Hands out blobs piece by piece. Who fetches keeps the account; here is only the blob that was last asked for. */
export class BulkServer {
  readonly #offer: (what: string) => Uint8Array | undefined;
  readonly #pieceBytes: number;
  #last: { what: string; bytes: Uint8Array; mark: readonly [number, number] } | undefined;

  constructor(offer: (what: string) => Uint8Array | undefined, pieceBytes: number) {
    this.#offer = offer;
    this.#pieceBytes = pieceBytes;
  }

  /** Answers a request; says nothing where the blob is not offered. Returns whether the request makes sense. */
  answer(header: Header, payload: Uint8Array, send: SendBulk): boolean {
    if (payload.length > maxNameBytes || header.chunks > window) return false;
    const what = new TextDecoder().decode(payload);
    // A fetch begins with piece 0, from the newest of what is offered under the name.
    if (header.chunk === 0 || this.#last?.what !== what) {
      const bytes = this.#offer(what);
      if (bytes === undefined) return true;
      if (this.#last?.bytes !== bytes) this.#last = { what, bytes, mark: markOf(bytes) };
    }
    const { bytes, mark } = this.#last ?? {};
    if (bytes === undefined || mark === undefined) return true;
    const pieces = Math.max(1, Math.ceil(bytes.length / this.#pieceBytes));
    const end = Math.min(header.chunk + header.chunks, pieces);
    for (let piece = header.chunk; piece < end; piece++)
      send(
        {
          kind: FrameKind.bulk,
          sequence: header.sequence,
          chunk: piece,
          chunks: pieces,
          from: mark[0],
          to: mark[1],
          total: bytes.length,
        },
        bytes.subarray(piece * this.#pieceBytes, (piece + 1) * this.#pieceBytes),
      );
    return true;
  }

  /** Lets go of the blob that was last asked for. */
  forget(): void {
    this.#last = undefined;
  }
}

/** One blob on its way here. */
export class BulkFetch {
  readonly what: string;
  readonly from: number;
  readonly #sequence: number;
  readonly #maxBytes: number;
  readonly #pieceBytes: number;
  readonly #name: Uint8Array;
  #bytes: Uint8Array | undefined;
  #mark: readonly [number, number] = [0, 0];
  #there: boolean[] = [];
  #missing = 0;

  constructor(what: string, from: number, sequence: number, maxBytes: number, pieceBytes: number) {
    this.what = what;
    this.from = from;
    this.#sequence = sequence;
    this.#maxBytes = maxBytes;
    this.#pieceBytes = pieceBytes;
    this.#name = new TextEncoder().encode(what);
    if (this.#name.length > maxNameBytes) throw new RangeError(`${what} is too long a name`);
  }

  /** Asks for the next pieces that are missing. */
  ask(send: SendBulk): void {
    const chunk = Math.max(0, this.#there.indexOf(false));
    send(
      { kind: FrameKind.fetch, sequence: this.#sequence, chunk, chunks: window, from: 0, to: 0, total: 0 },
      this.#name,
    );
  }

  /**
   * Takes a piece.
   *
   * @returns `more`: the pieces that were asked for are here, others are missing; undefined: not of this fetch.
   * @throws DamagedDataError where the blob is larger than was allowed, or is whole and not what its digest says.
   */
  accept(header: Header, payload: Uint8Array): 'taken' | 'more' | 'whole' | undefined {
    if (header.sender !== this.from || header.sequence !== this.#sequence) return undefined;
    if (header.total > this.#maxBytes)
      throw new DamagedDataError(`${this.what} has ${header.total} bytes, at most ${this.#maxBytes} were expected`);
    const pieces = Math.max(1, Math.ceil(header.total / this.#pieceBytes));
    const start = header.chunk * this.#pieceBytes;
    const expected = Math.min(this.#pieceBytes, header.total - start);
    if (header.chunks !== pieces || header.chunk >= pieces || payload.length !== expected) return undefined;
    const [high, low] = this.#mark;
    if (this.#bytes?.length !== header.total || high !== header.from || low !== header.to) {
      // The first piece, or what is offered has changed: begin with what is offered now.
      this.#bytes = new Uint8Array(header.total);
      this.#mark = [header.from, header.to];
      this.#there = Array.from({ length: pieces }, () => false);
      this.#missing = pieces;
    }
    if (this.#there[header.chunk]) return 'taken';
    this.#bytes.set(payload, start);
    this.#there[header.chunk] = true;
    this.#missing--;
    if (this.#missing === 0) {
      const mark = markOf(this.#bytes);
      if (mark[0] !== header.from || mark[1] !== header.to)
        throw new DamagedDataError(`${this.what} from rank ${this.from} is not what its digest says`);
      return 'whole';
    }
    const next = this.#there.indexOf(false);
    return next % window === 0 && next > 0 && !this.#there.includes(true, next) ? 'more' : 'taken';
  }

  get bytes(): Uint8Array {
    if (this.#bytes === undefined || this.#missing > 0) throw new RangeError(`${this.what} is not complete`);
    return this.#bytes;
  }
}

/** The first 64 bits of the SHA-256: tells what was offered from what is offered now, and whole from damaged. */
function markOf(bytes: Uint8Array): readonly [number, number] {
  const digest = createHash('sha256').update(bytes).digest();
  return [digest.readUInt32LE(0), digest.readUInt32LE(4)];
}
