import { mkdtemp, readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { getJson } from '@crossfold/shared/broker/json-blobs';
import type { DatasetSpec } from '@crossfold/shared/config/dataset';
import { builtInDataset, DatasetName } from '@crossfold/shared/config/dataset';
import type { BlobStore } from '@crossfold/shared/data/blob-store';
import type { DatasetRecord } from '@crossfold/shared/data/dataset-record';
import { maxSkippedNamed } from '@crossfold/shared/data/dataset-record';
import { ConfigError, DamagedDataError, InterruptedError } from '@crossfold/shared/errors';
import type { BlobRef } from '@crossfold/shared/jobs/records';
import { makeFolder } from '@crossfold/shared/make-folder';
import type { OnProgress } from '../data/count-progress.ts';
import { cut } from '../data/cut.ts';
import type { Problem } from '../data/image-source.ts';
import { SourceBundle } from '../data/source.ts';
import { uploadSource } from '../data/upload.ts';
import { copyDataset } from './contents.ts';
import type { DatasetLibrary } from './library.ts';
import { fileBlobs } from './local-library.ts';
import { keptFromRemoval } from './removals.ts';

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
  /** Aborts when the user wants no more of it: then nothing is left behind but blobs that the next import finds. */
  readonly signal: AbortSignal;
}

/**
 * Cuts a data set into shards and keeps it under a name; one of the same name and content stays as it is. Everything is
 * cut on this machine first, so that of one that cannot be used nothing is stored.
 *
 * @throws ConfigError where it is not there or not what it should be, or the name is another data set's
 * @throws InterruptedError once the signal has aborted
 */
export async function importDataset(
  spec: DatasetSpec,
  to: DatasetLibrary,
  options: ImportOptions,
): Promise<DatasetRecord> {
  const { baseDir, source, now } = options;
  const onProgress: OnProgress = (message) => {
    stopIf(options.signal);
    options.onProgress(message);
  };
  const name = checkName(options.name);
  const scratch = await scratchFolder(options.scratch, now);
  try {
    const blobs = stoppedBy(options.signal, fileBlobs(scratch));
    const library = { ...to, blobs: stoppedBy(options.signal, to.blobs) };
    const skipped: Problem[] = [];
    const uploaded = await uploadSource(spec, baseDir, blobs, onProgress);
    const bundle = await getJson(blobs, uploaded, SourceBundle);
    const { manifest, reference } = await cut({ ...bundle, name }, spec, blobs, onProgress, (problem) =>
      skipped.push(problem),
    );
    await recordOf(name, reference, library);
    const parts = [manifest.train, ...(manifest.test === null ? [] : [manifest.test])];
    const shards = parts.flatMap((part) => part.shards);
    const bytes = shards.reduce((sum, shard) => sum + shard.bytes, 0);
    await library.checkSize(bytes);
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
      importedAt: now,
    };
    return await library.uploading(() =>
      keptFromRemoval(
        library,
        () => copyDataset(blobs, library.blobs, reference, onProgress, { check: true }),
        async () => {
          // One of the same content stays as it is, whoever was first.
          for (;;) {
            if (await library.records.create(name, record)) return record;
            const other = await recordOf(name, reference, library);
            if (other !== undefined) return other;
          }
        },
      ),
    );
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}

/**
 * The record of a name, where it is one of the same content.
 *
 * @throws ConfigError where it is another's, or cannot be read
 */
async function recordOf(
  name: string,
  { digest }: BlobRef,
  { records }: DatasetLibrary,
): Promise<DatasetRecord | undefined> {
  const taken = (allowed: string): ConfigError => new ConfigError({ field: '--name', value: name, allowed });
  const remedy = `take another name, or first \`crossfold data remove ${name}\``;
  let record: DatasetRecord | undefined;
  try {
    record = await records.get(name);
  } catch (error) {
    if (!(error instanceof DamagedDataError)) throw error;
    throw taken(`has a record that is damaged (${error.message}): ${remedy}`);
  }
  if (record === undefined || record.manifest.digest === digest) return record;
  throw taken(
    `is taken by another data set (${record.manifest.digest.slice(0, 12)}, ${record.samples} samples): ${remedy}`,
  );
}

function stopIf(signal: AbortSignal): void {
  if (signal.aborted) throw new InterruptedError('interrupted: nothing was imported');
}

/** The same blobs, which are neither read nor written any more once the signal has aborted. */
function stoppedBy(signal: AbortSignal, blobs: BlobStore): BlobStore {
  return {
    ...blobs,
    async put(bytes) {
      stopIf(signal);
      return blobs.put(bytes);
    },
    async get(digest, maxBytes) {
      stopIf(signal);
      return blobs.get(digest, maxBytes);
    },
  };
}

function checkName(name: string): string {
  const wrong = (allowed: string): ConfigError => new ConfigError({ field: '--name', value: name, allowed });
  if (name === builtInDataset) throw wrong('is built in; give the data set another name');
  const parsed = DatasetName.safeParse(name);
  if (parsed.success) return name;
  throw wrong(`must be at most 64 letters, digits, - and _, and begin with a letter or digit`);
}

const scratchPrefix = '.import-';
/** No import takes so long; what is older was left by a process that was killed. */
const abandonedMs = 24 * 3_600_000;

async function scratchFolder(parent: string, now: number): Promise<string> {
  try {
    await makeFolder(parent);
    for (const name of await readdir(parent)) {
      if (!name.startsWith(scratchPrefix)) continue;
      // One of an import that ends just now is not there any more.
      const found = await stat(join(parent, name)).catch(() => undefined);
      if (found !== undefined && now - found.mtimeMs > abandonedMs)
        await rm(join(parent, name), { recursive: true, force: true });
    }
    return await mkdtemp(join(parent, scratchPrefix));
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    throw new ConfigError(
      `${parent} cannot be written (${code ?? message}), and data sets are cut there; CROSSFOLD_CACHE names another folder for it`,
    );
  }
}
