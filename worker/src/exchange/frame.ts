/**
 * What travels between the members of a generation: a header of 48 bytes, little-endian, and a payload. A header's
 * length is a multiple of four, so that a payload of float32 can be read where it lies if the frame is aligned.
 *
 * | offset | field | |
 * | --- | --- | --- |
 * | 0 | magic | u32, format and its version |
 * | 4 | kind | u16 |
 * | 6 | sender | u16, rank |
 * | 8 | generation | u32 |
 * | 12 | sequence | u32, counts the all-reduces of a generation |
 * | 16 | step | u32, what the sender takes this all-reduce to be for |
 * | 20 | owner | u32, rank whose segment this is about |
 * | 24, 28 | chunk, chunks | u32, block of the segment and how many there are |
 * | 32, 36 | from, to | u32, node of the tree |
 * | 40 | total | u32, elements of the whole vector, or bytes of the whole blob |
 * | 44 | payload | u32, bytes that follow |
 */
export const headerBytes = 48;
const magic = 0x31475843; // "CXG1"

export const FrameKind = {
  /** Sum of one node of the sender's slices, for one block, to the block's owner. */
  partial: 1,
  /** A block summed up, from its owner to everyone. */
  finished: 2,
  /** Blocks that the sender lacks: see `encodeWants`. */
  request: 3,
  /** Bytes received so far over the broker: `total`, modulo 2^32. */
  credit: 4,
  /** Asks for `chunks` pieces from `chunk` on of the blob that the payload names. */
  fetch: 5,
  /** One piece of a blob: digest of the whole, then the bytes. */
  bulk: 6,
} as const;
export type FrameKind = (typeof FrameKind)[keyof typeof FrameKind];
const lastKind = FrameKind.bulk;

export interface Header {
  readonly kind: FrameKind;
  readonly sender: number;
  readonly generation: number;
  readonly sequence: number;
  readonly step: number;
  readonly owner: number;
  readonly chunk: number;
  readonly chunks: number;
  readonly from: number;
  readonly to: number;
  readonly total: number;
  readonly payload: number;
}

export function encodeHeader(header: Header): Uint8Array {
  const bytes = new Uint8Array(headerBytes);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, magic, true);
  view.setUint16(4, header.kind, true);
  view.setUint16(6, header.sender, true);
  wordFields.forEach((field, i) => {
    view.setUint32(8 + 4 * i, header[field], true);
  });
  return bytes;
}

const wordFields = [
  'generation',
  'sequence',
  'step',
  'owner',
  'chunk',
  'chunks',
  'from',
  'to',
  'total',
  'payload',
] as const satisfies readonly (keyof Header)[];

/** The header at the start of `bytes`, or undefined where there is none of this format. Nothing is believed yet. */
export function decodeHeader(bytes: Uint8Array): Header | undefined {
  if (bytes.length < headerBytes) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset, headerBytes);
  const word = (offset: number): number => view.getUint32(offset, true);
  const kind = view.getUint16(4, true);
  if (word(0) !== magic || kind < 1 || kind > lastKind) return undefined;
  return {
    kind: kind as FrameKind,
    sender: view.getUint16(6, true),
    generation: word(8),
    sequence: word(12),
    step: word(16),
    owner: word(20),
    chunk: word(24),
    chunks: word(28),
    from: word(32),
    to: word(36),
    total: word(40),
    payload: word(44),
  };
}

/** Something that a member lacks: the sum of a node (an index into the layout's) for a block, or a finished block. */
export interface Want {
  readonly node: number | undefined;
  readonly block: number;
}

const noNode = 0xffffffff;
export const maxWants = 4096;
export const maxRequestBytes = 8 * maxWants;

export function encodeWants(wants: readonly Want[]): Uint8Array {
  const bytes = new Uint8Array(8 * Math.min(wants.length, maxWants));
  const view = new DataView(bytes.buffer);
  wants.slice(0, maxWants).forEach((want, i) => {
    view.setUint32(8 * i, want.node ?? noNode, true);
    view.setUint32(8 * i + 4, want.block, true);
  });
  return bytes;
}

export function decodeWants(bytes: Uint8Array): Want[] | undefined {
  if (bytes.length % 8 !== 0 || bytes.length > maxRequestBytes) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  return Array.from({ length: bytes.length / 8 }, (_, i) => {
    const node = view.getUint32(8 * i, true);
    return { node: node === noNode ? undefined : node, block: view.getUint32(8 * i + 4, true) };
  });
}

/** Bytes as float32 in the machine's (little-endian) order: where they lie if they are aligned, else copied. */
export function asFloats(bytes: Uint8Array): Float32Array {
  const aligned = bytes.byteOffset % 4 === 0 ? bytes : new Uint8Array(bytes);
  return new Float32Array(aligned.buffer, aligned.byteOffset, aligned.length / 4);
}

export const asBytes = (floats: Float32Array): Uint8Array =>
  new Uint8Array(floats.buffer, floats.byteOffset, floats.byteLength);
