import { randomUUID } from 'node:crypto';
import { getJson } from '@crossfold/shared/broker/json-blobs';
import type { BlobStore } from '@crossfold/shared/data/blob-store';
import type { DatasetRecord } from '@crossfold/shared/data/dataset-record';
import { sha256 } from '@crossfold/shared/data/digest';
import { Manifest } from '@crossfold/shared/data/manifest';
import { ConfigError, DamagedDataError } from '@crossfold/shared/errors';
import type { BlobRef, ExperimentRecord } from '@crossfold/shared/jobs/records';
import { isFinal } from '@crossfold/shared/jobs/records';
import { SourceBundle } from '../data/source.ts';
import { piecesOf } from './contents.ts';
import { findImported, importedBundle } from './imported.ts';
import type { DatasetLibrary } from './library.ts';
import { removing } from './removals.ts';

/** Pure: the experiments that are, or were, on a data set: by its name, or on equal data. */
export function usersOf(record: DatasetRecord, experiments: readonly ExperimentRecord[]): ExperimentRecord[] {
  const source = sha256(JSON.stringify(importedBundle(record)));
  return experiments.filter((one) => one.source.digest === source || one.manifest?.digest === record.manifest.digest);
}

/** What came of a removal. */
export interface Removal {
  readonly removed: number;
  readonly bytes: number;
  /** Pieces that stay, because something else needs them. */
  readonly kept: number;
  /** Experiments that are over and were on it. */
  readonly finished: readonly string[];
}

/**
 * Removes a data set and what nothing else needs of it: pieces that another data set, or an experiment, refers to stay.
 * Of one whose record cannot be read the record goes: which pieces were its own nobody knows.
 *
 * @param force also remove what only experiments need that are over: they cannot be resumed or refitted then
 * @throws ConfigError while an experiment that is not over uses it, or something else is being removed
 */
export async function removeDataset(
  record: DatasetRecord,
  library: DatasetLibrary,
  { force = false } = {},
): Promise<Removal> {
  refuse(record, usersOf(record, await library.experiments()));
  return removing(library, record.name, randomUUID(), async (goesOn) => {
    const { records, blobs } = library;
    const own = new Map((await blobsOf(blobs, record.manifest)).map((piece) => [piece.digest, piece]));
    await records.remove(record.name);
    // Whoever found it before has submitted by now, or does not find it any more.
    const experiments = await library.experiments();
    const users = usersOf(record, experiments);
    try {
      refuse(record, users);
    } catch (error) {
      await records.create(record.name, record);
      throw error;
    }
    const needed = new Set<string>();
    // What a damaged record refers to cannot be used by that name any more.
    for (const { manifest } of await records.list(() => undefined))
      for (const { digest } of await blobsOf(blobs, manifest)) needed.add(digest);
    for (const experiment of experiments) {
      if (force && isFinal(experiment.state)) continue;
      for (const digest of await digestsUsed(blobs, experiment)) needed.add(digest);
    }
    const gone = [...own.values()].filter(({ digest }) => !needed.has(digest));
    for (const { digest } of gone) {
      await goesOn();
      await blobs.remove(digest);
    }
    return {
      removed: gone.length,
      bytes: gone.reduce((sum, { bytes }) => sum + bytes, 0),
      kept: own.size - gone.length,
      finished: users.map(({ id }) => id),
    };
  });
}

/**
 * Removes the data set of a name, as `removeDataset`; undefined where its record is damaged, which alone is removed then.
 *
 * @throws ConfigError where there is none of that name, and as `removeDataset`
 */
export async function removeNamed(
  name: string,
  library: DatasetLibrary,
  options: { readonly force?: boolean } = {},
): Promise<Removal | undefined> {
  const found = await findImported(name, [library], 'name').catch((error: unknown) => {
    if (error instanceof DamagedDataError) return undefined;
    throw error;
  });
  if (found !== undefined) return removeDataset(found.record, library, options);
  await library.records.remove(name);
  return undefined;
}

function refuse({ name }: DatasetRecord, users: readonly ExperimentRecord[]): void {
  const unfinished = users.filter(({ state }) => !isFinal(state)).map(({ id, state }) => `${id} (${state})`);
  if (unfinished.length === 0) return;
  const one = unfinished.length === 1;
  throw new ConfigError(
    `data set ${name} is in use by ${unfinished.join(', ')}: wait until ${one ? 'it is' : 'they are'} over, or end ${one ? 'it' : 'them'} with crossfold cancel`,
  );
}

/** The manifest's own blob and all that it refers to; of a manifest that cannot be read, itself. */
async function blobsOf(blobs: BlobStore, manifest: BlobRef): Promise<BlobRef[]> {
  try {
    return [manifest, ...piecesOf(await getJson(blobs, manifest, Manifest))];
  } catch (error) {
    if (!(error instanceof DamagedDataError)) throw error;
    return [manifest];
  }
}

/** What an experiment needs: its manifest's pieces, or before it has one whatever was uploaded for it. */
async function digestsUsed(
  blobs: BlobStore,
  { manifest, otherManifests = [], source }: ExperimentRecord,
): Promise<string[]> {
  if (manifest !== null) {
    const pieces = await Promise.all([manifest, ...otherManifests].map((one) => blobsOf(blobs, one)));
    return pieces.flat().map(({ digest }) => digest);
  }
  try {
    const bundle = await getJson(blobs, source, SourceBundle);
    // Of what was imported the bundle names the manifest alone, not what that refers to.
    const imported = bundle.kind === 'imported' ? await blobsOf(blobs, bundle.manifest) : [];
    return [...(JSON.stringify(bundle).match(/[0-9a-f]{64}/g) ?? []), ...imported.map(({ digest }) => digest)];
  } catch (error) {
    if (!(error instanceof DamagedDataError)) throw error;
    return [];
  }
}
