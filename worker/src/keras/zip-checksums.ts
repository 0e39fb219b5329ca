import { crc32 } from 'node:zlib';

const endSignature = 0x06054b50;
const entrySignature = 0x02014b50;
const endBytes = 22;
const entryBytes = 46;

/**
 * CRC-32 of each file of a ZIP archive, as the list at its end has it (APPNOTE.TXT, 4.3.12): what unpacks archives here does
 * not look at it. Of a list that makes no sense, or that is of the kind for archives beyond 4 GiB, what can be read.
 */
export function checksumsOf(archive: Uint8Array): Map<string, number> {
  const bytes = Buffer.from(archive.buffer, archive.byteOffset, archive.length);
  const found = new Map<string, number>();
  let end = bytes.length - endBytes;
  while (end >= 0 && bytes.readUInt32LE(end) !== endSignature) end--;
  if (end < 0) return found;
  let at = bytes.readUInt32LE(end + 16);
  for (let left = bytes.readUInt16LE(end + 10); left > 0 && at + entryBytes <= end; left--) {
    if (bytes.readUInt32LE(at) !== entrySignature) break;
    const name = bytes.toString('utf8', at + entryBytes, at + entryBytes + bytes.readUInt16LE(at + 28));
    found.set(name, bytes.readUInt32LE(at + 16));
    at += entryBytes + [28, 30, 32].reduce((sum, field) => sum + bytes.readUInt16LE(at + field), 0);
  }
  return found;
}

/** Whether bytes are those of which a checksum was made. */
export const matches = (bytes: Uint8Array, checksum: number): boolean => crc32(bytes) === checksum;
