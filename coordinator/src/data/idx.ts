import { ConfigError } from '@crossfold/shared/errors';

/** What an IDX file of unsigned bytes says about itself. */
export interface IdxHeader {
  /** Sizes of the dimensions, samples first. */
  readonly dimensions: readonly number[];
  /** Where the data begins. */
  readonly offset: number;
  /** Bytes of the whole file, header included. */
  readonly totalBytes: number;
}

/** The longest header there can be here: 4 dimensions (samples, rows, columns, channels). */
export const maxIdxHeaderBytes = 4 + 4 * 4;

const unsignedByte = 0x08;

/**
 * Reads the header of an IDX file (Y. LeCun's format: two zero bytes, the type, the number of dimensions, then each
 * dimension's size, big-endian).
 *
 * @param start the file's first bytes: `maxIdxHeaderBytes`, or all there are
 * @param ranks numbers of dimensions that are right here
 * @throws ConfigError naming the file, what was found and what was expected
 */
export function readIdxHeader(start: Uint8Array, file: string, ranks: readonly number[]): IdxHeader {
  const view = new DataView(start.buffer, start.byteOffset, start.byteLength);
  const expected = ranks.map((rank) => magicText((unsignedByte << 8) | rank)).join(' or ');
  if (start.length < 4) throw wrong(file, `has ${start.length} bytes, where an IDX file begins with ${expected}`);
  const magic = view.getUint32(0);
  const rank = magic & 0xff;
  if (magic >>> 8 !== unsignedByte || !ranks.includes(rank))
    throw wrong(
      file,
      `begins with ${magicText(magic)}, where ${expected} was expected (unsigned bytes, ${ranks.join(' or ')} dimensions)`,
    );
  const offset = 4 + 4 * rank;
  if (start.length < offset) throw wrong(file, `ends within its header, after ${start.length} of ${offset} bytes`);
  const dimensions = Array.from({ length: rank }, (_, i) => view.getUint32(4 + 4 * i));
  if (dimensions.includes(0)) throw wrong(file, `holds nothing: its dimensions are ${dimensions.join(' x ')}`);
  const totalBytes = dimensions.reduce((product, size) => product * size, 1) + offset;
  return { dimensions, offset, totalBytes };
}

/** @throws ConfigError where a file's length is not what its header says. */
export function checkIdxLength({ dimensions, totalBytes }: IdxHeader, foundBytes: number, file: string): void {
  if (foundBytes !== totalBytes)
    throw wrong(file, `has ${foundBytes} bytes, where its header (${dimensions.join(' x ')}) calls for ${totalBytes}`);
}

const magicText = (magic: number): string => `0x${magic.toString(16).padStart(8, '0')}`;

const wrong = (file: string, message: string): ConfigError => new ConfigError(`dataset: ${file} ${message}`);
