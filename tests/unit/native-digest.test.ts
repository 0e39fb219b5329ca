import { createHash } from 'node:crypto';
import { createRequire } from 'node:module';
import { useNativeDigest } from '@crossfold/shared/broker/native-digest';
import { expect, it } from 'vitest';

interface Digest {
  update(bytes: Uint8Array): void;
  digest(): ArrayLike<number>;
}

it("the client's object store digests with Node's SHA-256, to the same bytes", () => {
  const { sha256 } = createRequire(import.meta.url)('nats/lib/nats-base-client/js-sha256.js') as {
    sha256: { create: () => Digest };
  };
  const before = sha256.create;
  const pieces = [0, 1, 63, 64, 65, 4096].map((length) =>
    Uint8Array.from({ length }, (_, i) => (i * 37 + length) % 256),
  );
  const digestOf = (digest: Digest): number[] => {
    for (const piece of pieces) digest.update(piece);
    return Array.from(digest.digest());
  };
  try {
    useNativeDigest();
    expect(sha256.create).not.toBe(before);
    expect(digestOf(sha256.create())).toEqual(digestOf(before()));
    expect(digestOf(sha256.create())).toEqual([...createHash('sha256').update(Buffer.concat(pieces)).digest()]);
  } finally {
    sha256.create = before;
  }
});
