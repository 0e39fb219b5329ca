import { createGunzip } from 'node:zlib';
import { ConfigError } from '@crossfold/shared/errors';
import { readWhole } from '../read-file.ts';
import type { IdxHeader } from './idx.ts';
import { checkIdxLength, maxIdxHeaderBytes, readIdxHeader } from './idx.ts';

/** An IDX file in memory, unpacked. */
export interface IdxFile {
  readonly header: IdxHeader;
  readonly bytes: Uint8Array;
}

/** Larger files do not fit in one buffer on every Node that is supported. */
const maxFileBytes = 2 ** 31 - 1;
/** Deflate's best: a stored file that claims more than this many bytes for each of its own is not what it says. */
const maxDeflateRatio = 1032;

/**
 * Reads an IDX file, gzipped where its name ends with `.gz`, and checks its length against its header.
 *
 * @throws ConfigError where it is not an IDX file of the given number of dimensions, or is cut off, or too long
 */
export async function readIdxFile(path: string, ranks: readonly number[]): Promise<IdxFile> {
  const stored = await readWhole(path, maxFileBytes, (why) => new ConfigError(`dataset: ${path} ${why}`));
  const bytes = path.endsWith('.gz') ? await unpack(stored, path, ranks) : stored;
  const header = readIdxHeader(bytes.subarray(0, maxIdxHeaderBytes), path, ranks);
  checkIdxLength(header, bytes.length, path);
  return { header, bytes };
}

/** Unpacks no more than the header inside calls for, whatever the packed bytes would unfold to. */
async function unpack(packed: Uint8Array, path: string, ranks: readonly number[]): Promise<Uint8Array> {
  const plausible = Math.min(maxFileBytes, packed.length * maxDeflateRatio);
  const chunks: Uint8Array[] = [];
  let length = 0;
  let limit = plausible;
  const gunzip = createGunzip();
  gunzip.end(packed);
  try {
    for await (const chunk of gunzip as AsyncIterable<Buffer>) {
      const known = length >= maxIdxHeaderBytes;
      chunks.push(chunk);
      length += chunk.length;
      if (!known && length >= maxIdxHeaderBytes) {
        const { totalBytes } = readIdxHeader(Buffer.concat(chunks).subarray(0, maxIdxHeaderBytes), path, ranks);
        if (totalBytes > plausible)
          throw new ConfigError(
            `dataset: ${path} calls for ${totalBytes} bytes, which its ${packed.length} packed ones cannot hold`,
          );
        limit = totalBytes;
      }
      if (length > limit)
        throw new ConfigError(`dataset: ${path} unpacks to more than the ${limit} bytes that its header calls for`);
    }
  } catch (error) {
    if (error instanceof ConfigError) throw error;
    throw new ConfigError(
      `dataset: ${path} cannot be unpacked: ${error instanceof Error ? error.message : String(error)}`,
    );
  }
  return Buffer.concat(chunks, length);
}
