import type { BlobStore } from '@crossfold/shared/data/blob-store';
import { DamagedDataError } from '@crossfold/shared/errors';
import type { SourceFile } from './source.ts';

/** Reads ranges of an uploaded file; keeps one of its parts in memory, the last that was read. */
export class PartReader {
  /** Bytes that can be read. */
  readonly length: number;
  readonly #file: SourceFile;
  readonly #blobs: BlobStore;
  #held: { readonly index: number; readonly bytes: Uint8Array } | undefined;

  constructor(file: SourceFile, blobs: BlobStore) {
    this.#file = file;
    this.#blobs = blobs;
    this.length = file.parts.reduce((sum, part) => sum + part.bytes, 0);
  }

  /** @returns a view that is good until the next read where the range lies within one part, a copy otherwise. */
  async read(from: number, length: number): Promise<Uint8Array> {
    const { path, parts } = this.#file;
    const to = from + length;
    if (to > this.length)
      throw new DamagedDataError(`of ${path}, ${this.length} bytes were uploaded, and ${to} are needed`);
    const pieces: Uint8Array[] = [];
    let start = 0;
    for (const [index, part] of parts.entries()) {
      const end = start + part.bytes;
      if (end > from && start < to) {
        const bytes = await this.#part(index);
        pieces.push(bytes.subarray(Math.max(0, from - start), Math.min(part.bytes, to - start)));
      }
      start = end;
    }
    const [only, ...others] = pieces;
    return only !== undefined && others.length === 0 ? only : Buffer.concat(pieces, length);
  }

  async #part(index: number): Promise<Uint8Array> {
    if (this.#held?.index === index) return this.#held.bytes;
    const { path, parts } = this.#file;
    const { digest = '', bytes: expected = 0 } = parts[index] ?? {};
    const bytes = await this.#blobs.get(digest, expected);
    if (bytes.length !== expected)
      throw new DamagedDataError(`part ${index} of ${path} has ${bytes.length} bytes, where ${expected} were expected`);
    this.#held = { index, bytes };
    return bytes;
  }
}
