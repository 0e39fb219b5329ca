/** Reads members out of a zip file (a wheel is one). No encryption, no zip64: no wheel that is used here needs them. */
import { createReadStream, createWriteStream, mkdirSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { dirname } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { createInflateRaw } from 'node:zlib';

const END = 0x06054b50;
const CENTRAL = 0x02014b50;

/** @typedef {{ name: string, method: number, compressedSize: number, size: number, offset: number }} Member */

/**
 * The members by the zip's central directory (PKWARE APPNOTE 4.3.12 and 4.3.16).
 * @param {string} file
 * @returns {Promise<Member[]>}
 */
export async function listZip(file) {
  const handle = await open(file);
  try {
    const { size } = await handle.stat();
    const tail = Buffer.alloc(Math.min(size, 22 + 0xffff));
    await handle.read(tail, 0, tail.length, size - tail.length);
    let end = tail.length - 22;
    while (end >= 0 && tail.readUInt32LE(end) !== END) end--;
    if (end < 0) throw new Error(`${file} is not a zip file`);
    const directory = Buffer.alloc(tail.readUInt32LE(end + 12));
    await handle.read(directory, 0, directory.length, tail.readUInt32LE(end + 16));
    /** @type {Member[]} */
    const members = [];
    for (let p = 0; p < directory.length && directory.readUInt32LE(p) === CENTRAL; ) {
      const nameLength = directory.readUInt16LE(p + 28);
      members.push({
        name: directory.toString('utf8', p + 46, p + 46 + nameLength),
        method: directory.readUInt16LE(p + 10),
        compressedSize: directory.readUInt32LE(p + 20),
        size: directory.readUInt32LE(p + 24),
        offset: directory.readUInt32LE(p + 42),
      });
      p += 46 + nameLength + directory.readUInt16LE(p + 30) + directory.readUInt16LE(p + 32);
    }
    return members;
  } finally {
    await handle.close();
  }
}

/**
 * Writes one member to `to`, creating folders on the way.
 * @param {string} file
 * @param {Member} member
 * @param {string} to
 * @param {number} [mode]
 */
export async function extract(file, member, to, mode = 0o644) {
  mkdirSync(dirname(to), { recursive: true });
  const start = await dataOffset(file, member);
  if (member.size === 0) return pipeline([], createWriteStream(to, { mode }));
  const packed = createReadStream(file, { start, end: start + member.compressedSize - 1, highWaterMark: 1 << 20 });
  const out = createWriteStream(to, { mode });
  if (member.method === 0) await pipeline(packed, out);
  else if (member.method === 8) await pipeline(packed, createInflateRaw({ chunkSize: 1 << 20 }), out);
  else throw new Error(`${file}: ${member.name} is packed by method ${member.method}, which is not supported`);
}

/**
 * Where a member's bytes start: the local header repeats the name, and its extra field may have another length.
 * @param {string} file
 * @param {Member} member
 */
async function dataOffset(file, member) {
  const handle = await open(file);
  try {
    const header = Buffer.alloc(30);
    await handle.read(header, 0, 30, member.offset);
    return member.offset + 30 + header.readUInt16LE(26) + header.readUInt16LE(28);
  } finally {
    await handle.close();
  }
}
