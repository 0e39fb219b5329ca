export interface StoredBlob {
  readonly digest: string;
  readonly bytes: number;
  /** When it was stored, or was last found to be there by `put` or `keep`. */
  readonly storedAt: number;
  /** Another one each time, where the store counts that. */
  readonly revision?: number;
}

/**
 * Bytes named by their SHA-256 (lower-case hexadecimal): written once, never changed, so that whoever holds a digest
 * can fetch them at any time and check what arrives.
 */
export interface BlobStore {
  /**
   * Stores bytes and returns their digest; bytes that are there already are not sent again, but count as stored now: what
   * nothing refers to is removed once it is no longer young.
   */
  put(bytes: Uint8Array): Promise<string>;
  has(digest: string): Promise<boolean>;
  /** Whether a blob is there; if it is it counts as stored now, for whoever is about to refer to it. */
  keep(digest: string): Promise<boolean>;
  /** @throws DamagedDataError where the blob is missing, larger than `maxBytes`, or not what its digest says. */
  get(digest: string, maxBytes: number): Promise<Uint8Array>;
  /** What is stored, and since when (epoch milliseconds on the store's clock). */
  list(): Promise<readonly StoredBlob[]>;
  /**
   * Removes a blob; one that is not there is none of its business.
   * @param revision remove it only if it has not been stored, or kept, since
   * @returns false where it has
   */
  remove(digest: string, revision?: number): Promise<boolean>;
}
