import { nkeys } from 'nats';

/** An nkey of a user: its seed is the secret that its holder keeps, the public key is all that the broker needs. */
export interface UserKey {
  readonly seed: string;
  readonly publicKey: string;
}

export function createUserKey(): UserKey {
  const pair = nkeys.createUser();
  return { seed: new TextDecoder().decode(pair.getSeed()), publicKey: pair.getPublicKey() };
}

/** The key of a seed, or undefined where it is none of a user's. */
export function userKeyOf(seed: string): UserKey | undefined {
  try {
    const publicKey = nkeys.fromSeed(new TextEncoder().encode(seed)).getPublicKey();
    return publicKey.startsWith('U') ? { seed, publicKey } : undefined;
  } catch {
    return undefined;
  }
}
