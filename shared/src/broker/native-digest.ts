import { createHash } from 'node:crypto';
import { createRequire } from 'node:module';
import { z } from 'zod';

/** What the client's object store makes its digests with. */
const Sha256 = z.object({ sha256: z.custom<{ create: () => Digest }>(hasCreate) });
interface Digest {
  update(bytes: Uint8Array): void;
  digest(): Uint8Array;
}

/**
 * Has the client (nats 2.29) make the digests of its object store with Node's SHA-256. Its own, in JavaScript, does 25 MB a
 * second on the thread that keeps the connection: of a data set of photographs that is ten seconds for everyone who takes
 * part. A client without such a place for them keeps its own.
 */
export function useNativeDigest(): void {
  const found = Sha256.safeParse(load());
  if (found.success) found.data.sha256.create = nativeDigest;
}

function nativeDigest(): Digest {
  const hash = createHash('sha256');
  return { update: (bytes) => void hash.update(bytes), digest: () => hash.digest() };
}

function load(): unknown {
  try {
    return createRequire(import.meta.url)('nats/lib/nats-base-client/js-sha256.js');
  } catch {
    return undefined;
  }
}

function hasCreate(value: unknown): boolean {
  return typeof (value as { create?: unknown } | undefined)?.create === 'function';
}
