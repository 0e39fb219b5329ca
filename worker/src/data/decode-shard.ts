import { sampleDigestBytes, sampleDigests } from '@crossfold/shared/data/digest';
import type { Manifest, Samples, Shard } from '@crossfold/shared/data/manifest';
import { readFileBytes, sampleBytesOf } from '@crossfold/shared/data/manifest';
import { DamagedDataError } from '@crossfold/shared/errors';
import { decodeImage } from './decode-image.ts';

const sideBySide = 4;

/**
 * The pixels of a shard that holds files. They must be those that the data set was made with: another version of the
 * decoder that rounds otherwise would give this worker's group other weights than all others.
 *
 * @returns uint8, [shard.count, height, width, channels]
 * @throws DamagedDataError where a picture's pixels are others
 */
export async function decodeShard(
  bytes: Uint8Array,
  { first, count }: Shard,
  manifest: Manifest,
  samples: Samples,
): Promise<Uint8Array> {
  const { imageShape, decoding, name } = manifest;
  if (decoding === undefined) throw new DamagedDataError(`data set ${name} does not say how its files are decoded`);
  const sampleBytes = sampleBytesOf(imageShape);
  const pixels = new Uint8Array(count * sampleBytes);
  const lengths = readFileBytes(samples).subarray(first, first + count);
  const digests = Buffer.from(samples.sampleDigests, 'base64');
  let offset = 0;
  const starts = lengths.map((length) => {
    offset += length;
    return offset - length;
  });
  const waiting = starts.entries();
  const lane = async (): Promise<void> => {
    for (const [i, start] of waiting) {
      const file = bytes.subarray(start, start + (lengths[i] ?? 0));
      const sample = await decodeImage(file, undefined, imageShape, decoding);
      const at = (first + i) * sampleDigestBytes;
      if (digests.compare(sampleDigests(sample, sampleBytes), 0, sampleDigestBytes, at, at + sampleDigestBytes) !== 0)
        throw new DamagedDataError(
          `sample ${first + i} of data set ${name} is decoded to other pixels here than where the data set was made; install the same version of Crossfold on all machines, or set dataset.image.store: pixels`,
        );
      pixels.set(sample, i * sampleBytes);
    }
  };
  await Promise.all(Array.from({ length: sideBySide }, lane));
  return pixels;
}
