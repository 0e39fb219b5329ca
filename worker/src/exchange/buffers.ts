/**
 * Buffers for payloads, used again: allocating (and zeroing) tens of megabytes for every step costs more than summing
 * what is in them.
 */
export class BufferPool {
  readonly #size: number;
  readonly #limit: number;
  readonly #free: ArrayBuffer[] = [];
  readonly #lent = new WeakSet<ArrayBufferLike>();

  /** Buffers of `size` bytes; no more than `limitBytes` of them are kept while nobody uses them. */
  constructor(size: number, limitBytes = 64 * 2 ** 20) {
    this.#size = size;
    this.#limit = Math.floor(limitBytes / size);
  }

  /** Room for `bytes` bytes, aligned, not zeroed. */
  take(bytes: number): Uint8Array {
    if (bytes > this.#size) return new Uint8Array(bytes);
    const buffer = this.#free.pop() ?? new ArrayBuffer(this.#size);
    this.#lent.add(buffer);
    return new Uint8Array(buffer, 0, bytes);
  }

  /** Takes back what is used up; what did not come from here, or is back already, is left alone. */
  giveBack(view: ArrayBufferView): void {
    if (!this.#lent.delete(view.buffer) || this.#free.length >= this.#limit) return;
    if (view.buffer instanceof ArrayBuffer && view.buffer.byteLength === this.#size) this.#free.push(view.buffer);
  }
}
