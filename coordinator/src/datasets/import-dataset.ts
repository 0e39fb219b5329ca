import { mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { getJson } from '@crossfold/shared/broker/json-blobs';
import type { DatasetSpec } from '@crossfold/shared/config/dataset';
import { builtInDataset, DatasetName } from '@crossfold/shared/config/dataset';
import type { DatasetRecord } from '@crossfold/shared/data/dataset-record';
import { maxSkippedNamed } from '@crossfold/shared/data/dataset-record';
import { ConfigError } from '@crossfold/shared/errors';
import { makeFolder } from '@crossfold/shared/make-folder';
import type { OnProgress } from '../data/count-progress.ts';
import { cut } from '../data/cut.ts';
import type { Problem } from '../data/image-source.ts';
import { SourceBundle } from '../data/source.ts';
import { uploadSource } from '../data/upload.ts';
import { copyDataset } from './contents.ts';
import type { DatasetLibrary } from './library.ts';
import { fileBlobs } from './local-library.ts';

export interface ImportOptions {
  readonly name: string;
  /** What relative paths in the data set are relative to. */
  readonly baseDir: string;
  /** What the user named, for the record. */
  readonly source: string;
  /** Folder of this machine in which the files can be cut before anything is stored. */
  readonly scratch: string;
  readonly now: number;
  readonly onProgress: OnProgress;
}

/**
 * Cuts a data set into shards and keeps it under a name; one of the same name and content stays as it is. Everything is
 * cut on this machine first, so that of one that cannot be used nothing is stored.
 *
 * @throws ConfigError where it is not there or not what it should be, or the name is another data set's
 */
export async function importDataset(
  spec: DatasetSpec,
  library: DatasetLibrary,
  options: ImportOptions,
): Promise<DatasetRecord> {
  const { baseDir, source, now, onProgress } = options;
  const name = checkName(options.name);
  const scratch = await scratchFolder(options.scratch);
  try {
    const blobs = fileBlobs(scratch);
    const skipped: Problem[] = [];
    const uploaded = await uploadSource(spec, baseDir, blobs, onProgress);
    const bundle = await getJson(blobs, uploaded, SourceBundle);
    const { manifest, reference } = await cut({ ...bundle, name }, spec, blobs, onProgress, (problem) =>
      skipped.push(problem),
    );
    const before = await library.records.get(name);
    if (before !== undefined && before.manifest.digest !== reference.digest)
      throw new ConfigError({
        field: '--name',
        value: name,
        allowed: `is taken by another data set (${before.manifest.digest.slice(0, 12)}, ${before.samples} samples): take another name, or first \`crossfold data remove ${name}\``,
      });
    const parts = [manifest.train, ...(manifest.test === null ? [] : [manifest.test])];
    const shards = parts.flatMap((part) => part.shards);
    const bytes = shards.reduce((sum, shard) => sum + shard.bytes, 0);
    await library.checkSize(bytes);
    await copyDataset(blobs, library.blobs, reference, onProgress);
    const record: DatasetRecord = {
      schema: 1,
      name,
      manifest: reference,
      samples: manifest.train.count,
      testSamples: manifest.test?.count ?? 0,
      classes: manifest.classes.length,
      image: manifest.imageShape,
      shards: shards.length,
      bytes,
      skipped: skipped
        .slice(0, maxSkippedNamed)
        .map(({ path, reason }) => ({ path: path.slice(0, 4096), reason: reason.slice(0, 400) })),
      source: source.slice(0, 4096),
      importedAt: before?.importedAt ?? now,
    };
    await library.records.put(name, record);
    return record;
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}

function checkName(name: string): string {
  const wrong = (allowed: string): ConfigError => new ConfigError({ field: '--name', value: name, allowed });
  if (name === builtInDataset) throw wrong('is built in; give the data set another name');
  const parsed = DatasetName.safeParse(name);
  if (parsed.success) return name;
  throw wrong(`must be at most 64 letters, digits, - and _, and begin with a letter or digit`);
}

async function scratchFolder(parent: string): Promise<string> {
  try {
    await makeFolder(parent);
    return await mkdtemp(join(parent, '.import-'));
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    throw new ConfigError(
      `${parent} cannot be written (${code ?? message}), and data sets are cut there; CROSSFOLD_CACHE names another folder for it`,
    );
  }
}
