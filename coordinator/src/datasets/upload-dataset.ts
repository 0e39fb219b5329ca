import { putJson } from '@crossfold/shared/broker/json-blobs';
import type { DatasetSpec } from '@crossfold/shared/config/dataset';
import type { BlobRef } from '@crossfold/shared/jobs/records';
import type { OnProgress } from '../data/count-progress.ts';
import { uploadSource } from '../data/upload.ts';
import { copyDataset } from './contents.ts';
import { findImported, importedBundle, importedName } from './imported.ts';
import type { DatasetLibrary } from './library.ts';
import { localLibrary } from './local-library.ts';

/**
 * Sees to it that a cluster has what an experiment's data set is cut of: uploads its files, or, of one that was imported
 * on this machine and not there, its shards.
 *
 * @returns the blob of a `SourceBundle`
 * @throws ConfigError as `uploadSource` and `findImported`
 */
export async function uploadDataset(
  spec: DatasetSpec,
  baseDir: string,
  cluster: DatasetLibrary,
  onProgress: OnProgress = () => undefined,
  local: DatasetLibrary = localLibrary(process.env),
): Promise<BlobRef> {
  const name = importedName(spec);
  if (name === undefined) return uploadSource(spec, baseDir, cluster.blobs, onProgress);
  const { record, library } = await findImported(name, [cluster, local]);
  if (library !== cluster) await copyDataset(library.blobs, cluster.blobs, record.manifest, onProgress);
  return putJson(cluster.blobs, importedBundle(record));
}
