import { z } from 'zod';
import { DamagedDataError } from '../errors.ts';

/**
 * Named float32 tensors with text beside them, as one file in the safetensors format (eight bytes of header length,
 * a JSON header, raw little-endian data; https://github.com/huggingface/safetensors): models, checkpoints and the
 * state that a joiner is handed. Reading executes nothing, and every size is checked before it is used.
 */
export interface TensorFile {
  readonly metadata: Readonly<Record<string, string>>;
  readonly tensors: ReadonlyMap<string, FileTensor>;
}

export interface FileTensor {
  readonly shape: readonly number[];
  readonly data: Float32Array;
}

const maxHeaderBytes = 64 * 1024 * 1024;
const dimension = z.int().min(0);
const Header = z.object({ __metadata__: z.record(z.string(), z.string()).optional() }).catchall(
  z.union([
    z.strictObject({
      dtype: z.literal('F32'),
      shape: z.array(dimension).max(8),
      data_offsets: z.tuple([dimension, dimension]),
    }),
    z.record(z.string(), z.string()),
  ]),
);

export function encodeTensors(file: TensorFile): Uint8Array {
  const header: Record<string, unknown> = { __metadata__: file.metadata };
  let offset = 0;
  for (const [name, { shape, data }] of file.tensors) {
    header[name] = { dtype: 'F32', shape, data_offsets: [offset, offset + data.byteLength] };
    offset += data.byteLength;
  }
  const text = new TextEncoder().encode(JSON.stringify(header));
  const padded = Math.ceil(text.length / 8) * 8;
  const bytes = new Uint8Array(8 + padded + offset);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(padded), true);
  bytes.fill(0x20, 8 + text.length, 8 + padded).set(text, 8);
  let at = 8 + padded;
  for (const { data } of file.tensors.values()) {
    bytes.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength), at);
    at += data.byteLength;
  }
  return bytes;
}

/** @throws DamagedDataError where the bytes are not such a file; `what` names it in the message. */
export function decodeTensors(bytes: Uint8Array, what: string): TensorFile {
  const damaged = (why: string): DamagedDataError => new DamagedDataError(`${what} is damaged: ${why}`);
  if (bytes.length < 8) throw damaged(`${bytes.length} bytes are too few`);
  const length = new DataView(bytes.buffer, bytes.byteOffset, 8).getBigUint64(0, true);
  if (length > BigInt(Math.min(maxHeaderBytes, bytes.length - 8)))
    throw damaged(`a header of ${length} bytes does not fit`);
  const start = 8 + Number(length);
  let json: unknown;
  try {
    json = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes.subarray(8, start)));
  } catch (error) {
    throw new DamagedDataError(`${what} is damaged: its header is not JSON`, { cause: error });
  }
  const header = Header.safeParse(json);
  if (!header.success) throw damaged(`its header is not as it should be: ${header.error.message}`);
  const { __metadata__, ...entries } = header.data;
  const tensors = new Map<string, FileTensor>();
  let expected = 0;
  for (const [name, entry] of Object.entries(entries)) {
    if (!('data_offsets' in entry) || !Array.isArray(entry.data_offsets) || !Array.isArray(entry.shape))
      throw damaged(`tensor ${name} has no place`);
    const [from, to] = entry.data_offsets;
    const size = entry.shape.reduce((product, n) => product * n, 1);
    if (from !== expected || to - from !== size * 4 || start + to > bytes.length)
      throw damaged(`tensor ${name} does not fit`);
    const data = new Float32Array(size);
    new Uint8Array(data.buffer).set(bytes.subarray(start + from, start + to));
    tensors.set(name, { shape: entry.shape, data });
    expected = to;
  }
  if (start + expected !== bytes.length) throw damaged('it is longer than its tensors');
  return { metadata: __metadata__ ?? {}, tensors };
}
