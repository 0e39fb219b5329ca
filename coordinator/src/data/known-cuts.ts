import { getJson } from '@crossfold/shared/broker/json-blobs';
import type { DatasetSpec } from '@crossfold/shared/config/dataset';
import type { BlobStore } from '@crossfold/shared/data/blob-store';
import { canonicalJson, sha256 } from '@crossfold/shared/data/digest';
import { Manifest } from '@crossfold/shared/data/manifest';
import type { BlobRef } from '@crossfold/shared/jobs/records';
import { piecesOf } from '../datasets/contents.ts';
import type { OnProgress } from './count-progress.ts';
import type { Cut } from './cut.ts';
import { cut } from './cut.ts';
import type { SourceBundle } from './source.ts';

/** Data sets that are remembered; of each its manifest's digest and what was remarked on it. */
const most = 64;
/** Shards that are looked for at a time. */
const looksAtOnce = 16;

/**
 * The data sets that this process has cut, so that the next experiment on one neither fetches its files again nor decodes
 * them. Files and specification say all that a cut depends on; what it made is looked for, and made again where something
 * of it is gone.
 */
export class KnownCuts {
  readonly #known = new Map<string, { readonly reference: BlobRef; readonly remarks: readonly string[] }>();

  /** As `cut`. */
  async cut(bundle: SourceBundle, spec: DatasetSpec, blobs: BlobStore, onProgress: OnProgress): Promise<Cut> {
    if (bundle.kind === 'imported') return cut(bundle, spec, blobs, onProgress);
    // Where the files lay on the client's machine is nothing to the cut.
    const { path: _path, table: _table, ...rest } = spec;
    const key = sha256(canonicalJson({ bundle, spec: rest }));
    const known = this.#known.get(key);
    this.#known.delete(key);
    const there = known === undefined ? undefined : await look(known.reference, blobs);
    const made =
      known === undefined || there === undefined
        ? await cut(bundle, spec, blobs, onProgress)
        : { manifest: there, ...known };
    if (there !== undefined) for (const remark of made.remarks) onProgress(remark);
    this.#known.set(key, { reference: made.reference, remarks: made.remarks });
    const [oldest] = this.#known.keys();
    if (this.#known.size > most && oldest !== undefined) this.#known.delete(oldest);
    return made;
  }
}

/** The manifest, where it and all that it refers to are in the store; they count as stored now. */
async function look(reference: BlobRef, blobs: BlobStore): Promise<Manifest | undefined> {
  if (!(await blobs.keep(reference.digest))) return undefined;
  const manifest = await getJson(blobs, reference, Manifest);
  const pieces = piecesOf(manifest);
  for (let from = 0; from < pieces.length; from += looksAtOnce) {
    const found = await Promise.all(pieces.slice(from, from + looksAtOnce).map(({ digest }) => blobs.keep(digest)));
    if (found.includes(false)) return undefined;
  }
  return manifest;
}
