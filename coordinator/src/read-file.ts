import type { FileHandle } from 'node:fs/promises';
import { open, stat } from 'node:fs/promises';

const reasons: Readonly<Record<string, string>> = {
  ENOENT: 'no such file',
  ENOTDIR: 'no such file: a part of the path is not a folder',
  EISDIR: 'is a folder, and must be a file',
  EACCES: 'may not be read by this user',
  EPERM: 'may not be read by this user',
  ELOOP: 'is a link that leads to itself',
  ENAMETOOLONG: 'has too long a name',
};

/** Why a file cannot be read, in words. */
export function unreadable(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException;
  return reasons[code ?? ''] ?? `cannot be read: ${message ?? String(error)}`;
}

/**
 * The bytes of a file, of no more than `maxBytes`; a pipe or a device would have no end.
 *
 * @param wrong makes the error to be thrown of what is wrong, which completes the sentence that begins with the file
 */
export async function readWhole(file: string, maxBytes: number, wrong: (why: string) => Error): Promise<Buffer> {
  const { size } = await regular(file, wrong);
  if (size > maxBytes) throw wrong(`has ${size} bytes, more than the ${maxBytes} that can be read`);
  return readUpTo(file, maxBytes, wrong);
}

/** Makes sure that something is a file, and not a folder, a pipe or a device. */
export async function regular(file: string, wrong: (why: string) => Error): Promise<{ readonly size: number }> {
  const found = await stat(file).catch((error: unknown) => {
    throw wrong(unreadable(error));
  });
  if (found.isDirectory()) throw wrong('is a folder, and must be a file');
  if (!found.isFile()) throw wrong('is not a file but a pipe, a socket or a device');
  return found;
}

/** The bytes of anything that can be read, a pipe as well: the error says so where there are more than `maxBytes`. */
export async function readUpTo(file: string, maxBytes: number, wrong: (why: string) => Error): Promise<Buffer> {
  let handle: FileHandle | undefined;
  try {
    handle = await open(file);
    const { size } = await handle.stat();
    let bytes = Buffer.alloc(Math.min(maxBytes, Math.max(size, 64 * 1024)) + 1);
    let length = 0;
    for (;;) {
      const { bytesRead } = await handle.read(bytes, length, bytes.length - length, null);
      if (bytesRead === 0) return bytes.subarray(0, length);
      length += bytesRead;
      if (length > maxBytes) throw new RangeError(`has more than the ${maxBytes} bytes that can be read`);
      if (length === bytes.length) bytes = Buffer.concat([bytes], Math.min(maxBytes + 1, 2 * length));
    }
  } catch (error) {
    throw wrong(error instanceof RangeError ? error.message : unreadable(error));
  } finally {
    await handle?.close();
  }
}
