import { getJson } from '@crossfold/shared/broker/json-blobs';
import type { DatasetSpec } from '@crossfold/shared/config/dataset';
import type { BlobStore } from '@crossfold/shared/data/blob-store';
import { sampleDigests } from '@crossfold/shared/data/digest';
import type { Samples, Shard } from '@crossfold/shared/data/manifest';
import { encodeLabels, Manifest, putManifest, sampleBytesOf } from '@crossfold/shared/data/manifest';
import type { BlobRef } from '@crossfold/shared/jobs/records';
import { firstSamples } from '../datasets/imported.ts';
import type { OnProgress } from './count-progress.ts';
import { countProgress } from './count-progress.ts';
import { openIdxSource } from './idx-source.ts';
import type { Problem } from './image-source.ts';
import { cutImages } from './image-source.ts';
import { samplesPerShard } from './shard-writer.ts';
import type { DatasetSource, SampleSource, SourceBundle } from './source.ts';

/** A data set in shards. */
export interface Cut {
  readonly manifest: Manifest;
  readonly reference: BlobRef;
  /** What users should know of it, and have been told. */
  readonly remarks: readonly string[];
}

/**
 * Cuts an uploaded data set into shards and writes its manifest; shards that are in the store already stay as they are.
 *
 * @param onSkipped told of every file that is left out
 * @throws ConfigError where the files are not what they should be or hold fewer samples than asked for
 */
export async function cut(
  bundle: SourceBundle,
  spec: DatasetSpec,
  blobs: BlobStore,
  onProgress: OnProgress = () => undefined,
  onSkipped: (problem: Problem) => void = () => undefined,
): Promise<Cut> {
  const { manifest, remarks } =
    bundle.kind === 'images'
      ? await cutImages(bundle, spec, blobs, onProgress, onSkipped)
      : { manifest: await cutOthers(bundle, spec, blobs, onProgress), remarks: [] };
  for (const remark of remarks) onProgress(remark);
  return { manifest, reference: await putManifest(blobs, manifest), remarks };
}

const cutOthers = async (
  bundle: Exclude<SourceBundle, { kind: 'images' }>,
  spec: DatasetSpec,
  blobs: BlobStore,
  onProgress: OnProgress,
): Promise<Manifest> =>
  bundle.kind === 'imported'
    ? firstSamples(await getJson(blobs, bundle.manifest, Manifest), spec.limit, blobs)
    : withColumns(await cutSource(await openIdxSource(bundle, spec.limit, blobs), blobs, onProgress), bundle.columns);

const withColumns = (manifest: Manifest, columns: BlobRef | undefined): Manifest =>
  columns === undefined ? manifest : { ...manifest, train: { ...manifest.train, columns } };

async function cutSource(source: DatasetSource, blobs: BlobStore, onProgress: OnProgress): Promise<Manifest> {
  const { name, imageShape, classes } = source;
  const sampleBytes = sampleBytesOf(imageShape);
  const cutPart = (part: SampleSource): Promise<Samples> =>
    cutSamples(part, sampleBytes, classes.length, blobs, onProgress);
  return {
    schema: 1,
    name,
    imageShape,
    dtype: 'uint8',
    classes,
    train: await cutPart(source.train),
    test: source.test === null ? null : await cutPart(source.test),
  };
}

async function cutSamples(
  part: SampleSource,
  sampleBytes: number,
  classes: number,
  blobs: BlobStore,
  onProgress: OnProgress,
): Promise<Samples> {
  const total = part.labels.length;
  const progress = countProgress('cut', total, 'samples', onProgress, 100_000);
  const perShard = samplesPerShard(sampleBytes);
  const shards: Shard[] = [];
  const digests: Uint8Array[] = [];
  for (let first = 0; first < total; first += perShard) {
    const count = Math.min(perShard, total - first);
    const pixels = await part.read(first, count);
    digests.push(sampleDigests(pixels, sampleBytes));
    shards.push({ digest: await blobs.put(pixels), bytes: pixels.length, first, count });
    progress(count);
  }
  return {
    count: total,
    labels: encodeLabels(part.labels, classes),
    sampleDigests: Buffer.concat(digests).toString('base64'),
    shards,
  };
}
