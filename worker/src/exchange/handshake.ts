import { createHash, createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import type { Inlet } from './inlet.ts';

/**
 * How two members of a generation prove to each other that they know its secret before a frame passes between them:
 *
 * 1. dialer -> listener: magic, ranks of both, the group's digest, a nonce
 * 2. listener -> dialer: a nonce, HMAC-SHA256 over all of that in the listener's role
 * 3. dialer -> listener: the HMAC in the dialer's role
 * 4. listener -> dialer: magic
 *
 * A proof covers both nonces, ranks, group and role, so that none can be replayed or reflected.
 */
export interface Hello {
  /** Rank that dials and rank that it wants to speak to. */
  readonly from: number;
  readonly to: number;
  /** SHA-256 of job and generation. */
  readonly group: Buffer;
  readonly nonce: Buffer;
}

const magic = 0x31445843; // "CXD1"
const digestBytes = 32;
const helloBytes = 8 + 2 * digestBytes;
/** Each side gives up on the other after this long. */
export const handshakeMs = 3000;

export const groupDigest = (job: string, generation: number): Buffer =>
  createHash('sha256').update(`${job}\0${generation}`).digest();

/** The dialer's side. @throws Error where the other side does not prove itself. */
export async function greet(inlet: Inlet, hello: Omit<Hello, 'nonce'>, secret: string): Promise<void> {
  const nonce = randomBytes(digestBytes);
  const bytes = Buffer.alloc(8);
  bytes.writeUInt32LE(magic, 0);
  bytes.writeUInt16LE(hello.from, 4);
  bytes.writeUInt16LE(hello.to, 6);
  inlet.socket.write(Buffer.concat([bytes, hello.group, nonce]));
  const answer = await inlet.read(2 * digestBytes, handshakeMs);
  const theirs = answer.subarray(0, digestBytes);
  const complete = { ...hello, nonce };
  if (!timingSafeEqual(answer.subarray(digestBytes), proof('listener', complete, theirs, secret)))
    throw new Error('who answers does not know the secret of the group');
  inlet.socket.write(proof('dialer', complete, theirs, secret));
  if ((await inlet.read(4, handshakeMs)).readUInt32LE(0) !== magic) throw new Error('the connection was not accepted');
}

/** What somebody who has connected wants. @throws Error where it is not a hello. */
export async function readHello(inlet: Inlet): Promise<Hello> {
  const bytes = await inlet.read(helloBytes, handshakeMs);
  if (bytes.readUInt32LE(0) !== magic) throw new Error('not a member of a group');
  return {
    from: bytes.readUInt16LE(4),
    to: bytes.readUInt16LE(6),
    group: bytes.subarray(8, 8 + digestBytes),
    nonce: bytes.subarray(8 + digestBytes),
  };
}

/** The listener's side, once it knows the secret. @throws Error where the other side does not prove itself. */
export async function welcome(inlet: Inlet, hello: Hello, secret: string): Promise<void> {
  const nonce = randomBytes(digestBytes);
  inlet.socket.write(Buffer.concat([nonce, proof('listener', hello, nonce, secret)]));
  const answer = await inlet.read(digestBytes, handshakeMs);
  if (!timingSafeEqual(answer, proof('dialer', hello, nonce, secret)))
    throw new Error('who dialed does not know the secret of the group');
  const accepted = Buffer.alloc(4);
  accepted.writeUInt32LE(magic, 0);
  inlet.socket.write(accepted);
}

function proof(role: 'dialer' | 'listener', hello: Hello, nonce: Buffer, secret: string): Buffer {
  return createHmac('sha256', secret)
    .update(`${role} ${hello.from} ${hello.to}\0`)
    .update(hello.group)
    .update(hello.nonce)
    .update(nonce)
    .digest();
}
