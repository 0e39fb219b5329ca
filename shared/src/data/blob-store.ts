export interface StoredBlob {
  readonly digest: string;
  readonly bytes: number;
  readonly storedAt: number;
}

/**
 * Bytes named by their SHA-256 (lower-case hexadecimal): written once, never changed, so that whoever holds a digest
 * can fetch them at any time and check what arrives.
 */
export interface BlobStore {
  /** Stores bytes and returns their digest; bytes that are there already are not sent again. */
  put(bytes: Uint8Array): Promise<string>;
  has(digest: string): Promise<boolean>;
  /** @throws DamagedDataError where the blob is missing, larger than `maxBytes`, or not what its digest says. */
  get(digest: string, maxBytes: number): Promise<Uint8Array>;
  /** What is stored, and since when (epoch milliseconds on the store's clock). */
  list(): Promise<readonly StoredBlob[]>;
  /** Removes a blob; one that is not there is none of its business. */
  remove(digest: string): Promise<void>;
}
