import { getJson } from '@crossfold/shared/broker/json-blobs';
import type { BlobStore } from '@crossfold/shared/data/blob-store';
import { sampleDigests } from '@crossfold/shared/data/digest';
import type { Samples } from '@crossfold/shared/data/manifest';
import { Manifest, sampleBytesOf } from '@crossfold/shared/data/manifest';
import { CrossfoldError, DamagedDataError, isBrokerTrouble } from '@crossfold/shared/errors';
import type { BlobRef } from '@crossfold/shared/jobs/records';
import type { OnProgress } from '../data/count-progress.ts';
import { countProgress } from '../data/count-progress.ts';

/** A blob that a manifest refers to. */
export interface Piece extends BlobRef {
  /** For messages: `shard 3 of train (samples 512 to 767)`. */
  readonly what: string;
  /** Where it is a shard of pixels: the digests of its samples. */
  readonly samples?: Uint8Array;
}

/** Everything that a data set consists of but the manifest itself. */
export function piecesOf(manifest: Manifest): Piece[] {
  const parts = [
    { part: 'train', samples: manifest.train },
    { part: 'test', samples: manifest.test },
  ];
  return parts.flatMap(({ part, samples }) => (samples === null ? [] : piecesOfPart(part, samples)));
}

function piecesOfPart(part: string, { shards, sampleDigests: digests, fileBytes, names, columns }: Samples): Piece[] {
  const all = Buffer.from(digests, 'base64');
  const pieces = shards.map(
    ({ digest, bytes, first, count }, i): Piece => ({
      digest,
      bytes,
      what: `shard ${i} of ${part} (samples ${first} to ${first + count - 1})`,
      ...(fileBytes === undefined ? { samples: all.subarray(first * 16, (first + count) * 16) } : {}),
    }),
  );
  if (names !== undefined) pieces.push({ ...names, what: `the files' names of ${part}` });
  if (columns !== undefined) pieces.push({ ...columns, what: `the table of ${part}` });
  return pieces;
}

/**
 * Copies a data set to another store: pieces first, the manifest last, so that where it is the rest is too.
 *
 * @param check also look at what is there already, all of it, and replace what is damaged
 * @throws DamagedDataError where something of it is missing or damaged
 */
export async function copyDataset(
  from: BlobStore,
  to: BlobStore,
  manifest: BlobRef,
  say: OnProgress,
  { check = false } = {},
): Promise<void> {
  const copy = async ({ digest, bytes }: BlobRef): Promise<void> => {
    if (await to.keep(digest)) {
      if (!check || (await isWhole(to, digest, bytes))) return;
      // A store that has bytes of that name does not store them again.
      await to.remove(digest);
    }
    await to.put(await from.get(digest, bytes));
  };
  const pieces = piecesOf(await getJson(from, manifest, Manifest));
  const progress = countProgress('stored', pieces.length, 'shards', say, 20);
  for (const piece of pieces) {
    await copy(piece);
    progress(1);
  }
  await copy(manifest);
}

async function isWhole(blobs: BlobStore, digest: string, bytes: number): Promise<boolean> {
  try {
    return (await blobs.get(digest, bytes)).length === bytes;
  } catch (error) {
    if (!(error instanceof DamagedDataError)) throw error;
    return false;
  }
}

/** What is wrong with a piece of a data set. */
export interface Damage {
  readonly what: string;
  readonly digest: string;
  readonly problem: string;
}

/**
 * Fetches everything that a data set consists of, and checks it: every blob against its digest, every sample in shards of
 * pixels against its own.
 */
export async function verifyDataset(
  blobs: BlobStore,
  reference: BlobRef,
  say: OnProgress,
): Promise<{ readonly checked: number; readonly bytes: number; readonly damaged: readonly Damage[] }> {
  const damaged: Damage[] = [];
  const check = async <T>(what: string, digest: string, look: () => Promise<T>): Promise<T | undefined> => {
    try {
      return await look();
    } catch (error) {
      if (!(error instanceof CrossfoldError) || isBrokerTrouble(error)) throw error;
      damaged.push({ what, digest, problem: error.message.replace(`blob ${digest} `, '') });
      return undefined;
    }
  };
  const manifest = await check('the manifest', reference.digest, () => getJson(blobs, reference, Manifest));
  if (manifest === undefined) return { checked: 1, bytes: reference.bytes, damaged };
  const pieces = piecesOf(manifest);
  const progress = countProgress('verified', pieces.length, 'shards', say, 20);
  for (const { what, digest, bytes, samples } of pieces) {
    await check(what, digest, async () => {
      const found = await blobs.get(digest, bytes);
      if (found.length !== bytes) throw new DamagedDataError(`has ${found.length} bytes, not ${bytes}`);
      if (
        samples !== undefined &&
        !Buffer.from(sampleDigests(found, sampleBytesOf(manifest.imageShape))).equals(samples)
      )
        throw new DamagedDataError('holds other samples than the manifest says');
    });
    progress(1);
  }
  return {
    checked: pieces.length + 1,
    bytes: pieces.reduce((sum, { bytes }) => sum + bytes, reference.bytes),
    damaged,
  };
}
