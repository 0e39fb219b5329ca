import { hash } from 'node:crypto';

/** Lower-case hexadecimal SHA-256. */
export const sha256 = (data: Uint8Array | string): string => hash('sha256', data);

/** Bytes of a sample's digest: enough that no two of any number of different images ever share one by chance. */
export const sampleDigestBytes = 16;

/**
 * Digest of each sample in a block of pixels, whatever its label: the first 16 bytes of its SHA-256, one after another.
 *
 * @param pixels uint8, [count, sampleBytes]
 */
export function sampleDigests(pixels: Uint8Array, sampleBytes: number): Uint8Array {
  const count = pixels.length / sampleBytes;
  const digests = new Uint8Array(count * sampleDigestBytes);
  for (let i = 0; i < count; i++) {
    const digest = hash('sha256', pixels.subarray(i * sampleBytes, (i + 1) * sampleBytes), 'buffer');
    digests.set(digest.subarray(0, sampleDigestBytes), i * sampleDigestBytes);
  }
  return digests;
}

/**
 * JSON with the keys of every object in order (by UTF-16 code unit) and no white space, so that equal values have equal
 * digests. For plain values, Python's `json.dumps(value, sort_keys=True, separators=(',', ':'), ensure_ascii=False)`.
 */
export function canonicalJson(value: unknown): string {
  return JSON.stringify(value, (_key, inner: unknown) => {
    if (typeof inner !== 'object' || inner === null || Array.isArray(inner)) return inner;
    return Object.fromEntries(Object.entries(inner).sort(([a], [b]) => (a < b ? -1 : 1)));
  });
}
