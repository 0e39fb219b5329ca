import { createHash, createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import type { Socket } from 'node:net';

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
export async function greet(socket: Socket, hello: Omit<Hello, 'nonce'>, secret: string): Promise<void> {
  const nonce = randomBytes(digestBytes);
  const bytes = Buffer.alloc(8);
  bytes.writeUInt32LE(magic, 0);
  bytes.writeUInt16LE(hello.from, 4);
  bytes.writeUInt16LE(hello.to, 6);
  socket.write(Buffer.concat([bytes, hello.group, nonce]));
  const answer = await readExactly(socket, 2 * digestBytes);
  const theirs = answer.subarray(0, digestBytes);
  const complete = { ...hello, nonce };
  if (!timingSafeEqual(answer.subarray(digestBytes), proof('listener', complete, theirs, secret)))
    throw new Error('who answers does not know the secret of the group');
  socket.write(proof('dialer', complete, theirs, secret));
  if ((await readExactly(socket, 4)).readUInt32LE(0) !== magic) throw new Error('the connection was not accepted');
}

/** What somebody who has connected wants. @throws Error where it is not a hello. */
export async function readHello(socket: Socket): Promise<Hello> {
  const bytes = await readExactly(socket, helloBytes);
  if (bytes.readUInt32LE(0) !== magic) throw new Error('not a member of a group');
  return {
    from: bytes.readUInt16LE(4),
    to: bytes.readUInt16LE(6),
    group: bytes.subarray(8, 8 + digestBytes),
    nonce: bytes.subarray(8 + digestBytes),
  };
}

/** The listener's side, once it knows the secret. @throws Error where the other side does not prove itself. */
export async function welcome(socket: Socket, hello: Hello, secret: string): Promise<void> {
  const nonce = randomBytes(digestBytes);
  socket.write(Buffer.concat([nonce, proof('listener', hello, nonce, secret)]));
  const answer = await readExactly(socket, digestBytes);
  if (!timingSafeEqual(answer, proof('dialer', hello, nonce, secret)))
    throw new Error('who dialed does not know the secret of the group');
  const accepted = Buffer.alloc(4);
  accepted.writeUInt32LE(magic, 0);
  socket.write(accepted);
}

function proof(role: 'dialer' | 'listener', hello: Hello, nonce: Buffer, secret: string): Buffer {
  return createHmac('sha256', secret)
    .update(`${role} ${hello.from} ${hello.to}\0`)
    .update(hello.group)
    .update(hello.nonce)
    .update(nonce)
    .digest();
}

/** The next `n` bytes; what follows stays in the socket. */
function readExactly(socket: Socket, n: number): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const finish = (outcome: Buffer | Error): void => {
      clearTimeout(timer);
      socket.off('readable', look);
      socket.off('close', gone);
      if (outcome instanceof Error) reject(outcome);
      else resolve(outcome);
    };
    const look = (): void => {
      const bytes: unknown = socket.read(n);
      if (bytes instanceof Buffer && bytes.length === n) finish(bytes);
      else if (bytes !== null) finish(new Error('the connection ended'));
    };
    const gone = (): void => finish(new Error('the connection was closed'));
    const timer = setTimeout(() => finish(new Error(`no answer within ${handshakeMs} ms`)), handshakeMs);
    socket.on('readable', look);
    socket.on('close', gone);
    if (socket.destroyed) gone();
    else look();
  });
}
