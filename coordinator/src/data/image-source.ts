import { availableParallelism } from 'node:os';
import { getJson, putJson } from '@crossfold/shared/broker/json-blobs';
import type { DatasetSpec, ImageSpec } from '@crossfold/shared/config/dataset';
import type { BlobStore } from '@crossfold/shared/data/blob-store';
import { sampleDigests } from '@crossfold/shared/data/digest';
import type { Manifest, Samples } from '@crossfold/shared/data/manifest';
import { encodeFileBytes, encodeLabels, findDuplicates, readLabels } from '@crossfold/shared/data/manifest';
import { listOf } from '@crossfold/shared/decode';
import { ConfigError, DamagedDataError } from '@crossfold/shared/errors';
import { SampleColumns } from '@crossfold/shared/folds/samples';
import type { BlobRef } from '@crossfold/shared/jobs/records';
import { decodeImage, UnusableImageError } from '@crossfold/worker/data/decode-image';
import type { OnProgress } from './count-progress.ts';
import { countProgress } from './count-progress.ts';
import { firstOf } from './image-folder.ts';
import { packsOf, startsOf } from './packs.ts';
import { ShardWriter } from './shard-writer.ts';
import type { SourceBundle } from './source.ts';
import { ImageFile } from './source.ts';

type ImageBundle = Extract<SourceBundle, { kind: 'images' }>;

/** A file that cannot be used, and why. */
export interface Problem {
  readonly path: string;
  readonly reason: string;
}

/**
 * Makes a data set of uploaded pictures: decodes every one of them, whatever the shards are to hold, so that what cannot
 * be used is known before anything is trained. A pack of files and a shard or two are in memory at a time.
 *
 * @returns also what users should know of it
 * @throws ConfigError naming every file that cannot be used, unless they are to be left out
 */
export async function cutImages(
  bundle: ImageBundle,
  spec: DatasetSpec,
  blobs: BlobStore,
  onProgress: OnProgress,
  onSkipped: (problem: Problem) => void = () => undefined,
): Promise<{ manifest: Manifest; remarks: readonly string[] }> {
  const { image, onError = 'fail' } = spec;
  if (image === undefined) throw new ConfigError({ field: 'dataset.image', allowed: 'is missing' });
  const problems: Problem[] = [];
  const total = bundle.train.count + (bundle.test?.count ?? 0);
  const progress = countProgress('decoded', total, 'pictures', onProgress);
  const cutPart = (part: ImageBundle['train'], validationFrom?: number, columns?: BlobRef): Promise<CutPart> =>
    cutFiles(part, {
      image,
      classes: bundle.classes.length,
      validationFrom,
      columns,
      problems,
      keep: onError === 'skip',
      blobs,
      progress,
    });
  const train = await cutPart(bundle.train, bundle.validationFrom, bundle.columns);
  const test = bundle.test === null ? null : await cutPart(bundle.test);
  if (problems.length > 0 && onError === 'fail') throw unusable(problems, total);
  bundle.classes.forEach((name, label) => {
    if (train.labels.includes(label)) return;
    throw unusable(problems, total, `leaves no pictures of class ${JSON.stringify(name)}`);
  });
  if (train.samples === undefined) throw unusable(problems, total, 'leaves nothing');
  const { validationFrom } = train;
  const manifest: Manifest = {
    schema: 1,
    name: bundle.name,
    imageShape: { height: image.height, width: image.width, channels: image.channels },
    dtype: 'uint8',
    classes: [...bundle.classes],
    train: train.samples,
    test: test?.samples ?? null,
    ...(validationFrom === undefined || validationFrom >= train.labels.length ? {} : { validationFrom }),
    decoding: { fit: image.fit, kernel: image.kernel, maxPixels: image.maxPixels },
    ...(problems.length === 0 ? {} : { skipped: problems.length }),
  };
  for (const problem of problems) onSkipped(problem);
  return { manifest, remarks: remarksOn(manifest, problems, total) };
}

const shownProblems = 20;

/** What users should know of a data set that is used nevertheless. */
function remarksOn(manifest: Manifest, problems: readonly Problem[], total: number): string[] {
  const remarks: string[] = [];
  const listed = problems.slice(0, shownProblems).map(({ path, reason }) => `${path} ${reason}`);
  if (problems.length > listed.length) listed.push(`and ${problems.length - listed.length} more`);
  if (problems.length > 0)
    remarks.push(`left out ${problems.length} of ${total} pictures, which cannot be used: ${listed.join('; ')}`);
  for (const [part, labels] of [
    ['to validate on', readLabels(manifest.train).subarray(manifest.validationFrom ?? manifest.train.count)],
    ['to test on', manifest.test === null ? [] : readLabels(manifest.test)],
  ] as const) {
    const there = new Set(labels);
    const lacking = manifest.classes.filter((_, label) => !there.has(label));
    if (there.size > 0 && lacking.length > 0)
      remarks.push(`of the pictures ${part} none are of ${firstOf(lacking)}; scores on them say nothing of that`);
  }
  const { train, testInTrain } = findDuplicates(manifest);
  if (train.length > 0)
    remarks.push(
      `${train.length} ${train.length === 1 ? 'picture is' : 'pictures are'} there more than once; a fold may be validated on some that it was trained on`,
    );
  if (testInTrain.length > 0)
    remarks.push(
      `${testInTrain.length} of the pictures of the test set ${testInTrain.length === 1 ? 'is' : 'are'} among those to train on; its score counts what was learnt by heart`,
    );
  return remarks;
}

const namedProblems = 200;

/** Problems in one message, as many as can be read: the user wants to mend them in one go. */
export function listed(problems: readonly string[]): string {
  const first = problems.slice(0, namedProblems);
  const more = problems.length > first.length ? [`and ${problems.length - first.length} more`] : [];
  return [...first, ...more].join('; ');
}

function unusable(problems: readonly Problem[], total: number, consequence?: string): ConfigError {
  const named = listed(problems.map(({ path, reason }) => `${path} ${reason}`));
  return consequence === undefined
    ? new ConfigError(
        `dataset: ${problems.length} of ${total} pictures cannot be used (mend or remove them, or set dataset.onError: skip): ${named}`,
      )
    : new ConfigError(`dataset: to skip the ${problems.length} pictures that cannot be used ${consequence}: ${named}`);
}

interface CutPart {
  readonly labels: readonly number[];
  /** Undefined where there is none. */
  readonly samples: Samples | undefined;
  readonly validationFrom: number | undefined;
}

interface CutOptions {
  readonly image: ImageSpec;
  readonly classes: number;
  readonly validationFrom: number | undefined;
  /** What a table says of the files. */
  readonly columns: BlobRef | undefined;
  /** Where problems are added. */
  readonly problems: Problem[];
  /** Whether the others are stored where some files have problems. */
  readonly keep: boolean;
  readonly blobs: BlobStore;
  readonly progress: (files: number) => void;
}

const exactly = (count: number) =>
  listOf(ImageFile, count).refine(({ length }) => length === count, `it does not have ${count} items`);

async function cutFiles(part: ImageBundle['train'], options: CutOptions): Promise<CutPart> {
  const { image, problems, keep, blobs } = options;
  const files = await getJson(blobs, part.files, exactly(part.count));
  for (const { path, problem } of files) if (problem !== undefined) problems.push({ path, reason: problem });
  const writer = new ShardWriter(image, blobs);
  const kept: ImageFile[] = [];
  const digests: Uint8Array[] = [];
  for await (const batch of contents(files, part.packs, blobs)) {
    const decoded = await Promise.all(batch.map(({ file, bytes }) => decode(image, file, bytes)));
    options.progress(batch.length);
    for (const [i, { file, bytes }] of batch.entries()) {
      const pixels = decoded[i];
      if (pixels === undefined || 'reason' in pixels) {
        if (pixels !== undefined) problems.push(pixels);
        continue;
      }
      kept.push(file);
      digests.push(sampleDigests(pixels, pixels.length));
      if (keep || problems.length === 0) await writer.add(image.store === 'pixels' ? pixels : bytes);
    }
  }
  const labels = kept.map(({ label }) => label);
  if (kept.length === 0 || (problems.length > 0 && !keep))
    return { labels, samples: undefined, validationFrom: undefined };
  const own = options.validationFrom === undefined ? undefined : files[options.validationFrom];
  const before = own === undefined ? undefined : new Set(files.slice(0, options.validationFrom));
  const samples: Samples = {
    count: kept.length,
    labels: encodeLabels(labels, options.classes),
    sampleDigests: Buffer.concat(digests).toString('base64'),
    shards: await writer.finish(),
    ...(image.store === 'files' ? { fileBytes: encodeFileBytes(kept.map(({ bytes }) => bytes)) } : {}),
    names: await putJson(
      blobs,
      kept.map(({ path }) => path),
    ),
    ...(options.columns === undefined ? {} : { columns: await keptColumns(options.columns, files, kept, blobs) }),
  };
  return { labels, samples, validationFrom: before && kept.filter((file) => before.has(file)).length };
}

/** What a table says of the files that are kept, which are some of all. */
async function keptColumns(
  reference: BlobRef,
  files: readonly ImageFile[],
  kept: readonly ImageFile[],
  blobs: BlobStore,
): Promise<BlobRef> {
  const columns = await getJson(blobs, reference, SampleColumns);
  const isKept = new Set(kept);
  const own = (values: readonly string[]): string[] =>
    values.filter((_, i) => {
      const file = files[i];
      return file !== undefined && isKept.has(file);
    });
  return putJson(blobs, Object.fromEntries(Object.entries(columns).map(([name, values]) => [name, own(values)])));
}

async function decode(image: ImageSpec, { path }: ImageFile, bytes: Uint8Array): Promise<Uint8Array | Problem> {
  try {
    return await decodeImage(bytes, path, image, image);
  } catch (error) {
    if (error instanceof UnusableImageError) return { path, reason: error.message };
    throw error;
  }
}

/** Files and their bytes in order, as many at a time as are worth decoding side by side; the next pack is fetched meanwhile. */
async function* contents(
  files: readonly ImageFile[],
  packs: readonly BlobRef[],
  blobs: BlobStore,
): AsyncGenerator<readonly { readonly file: ImageFile; readonly bytes: Uint8Array }[]> {
  const readable = files.filter(({ problem }) => problem === undefined);
  const counts = packsOf(readable.map(({ bytes }) => bytes));
  if (counts.length !== packs.length)
    throw new DamagedDataError(
      `of ${readable.length} pictures, ${packs.length} packs were uploaded, not ${counts.length}`,
    );
  const firsts = startsOf(counts);
  const fetch = (pack: number): Promise<Uint8Array> | undefined => {
    const reference = packs[pack];
    const fetched = reference && blobs.get(reference.digest, reference.bytes);
    // Whoever awaits it hears of a failure; until then it is nobody's fault.
    fetched?.catch(() => undefined);
    return fetched;
  };
  let next = fetch(0);
  for (const [pack, first] of firsts.entries()) {
    const bytes = (await next) ?? noBytes;
    next = fetch(pack + 1);
    const own = readable.slice(first, first + (counts[pack] ?? 0));
    const lengths = own.map((file) => file.bytes);
    const expected = lengths.reduce((sum, length) => sum + length, 0);
    if (bytes.length !== expected)
      throw new DamagedDataError(`pack ${pack} of pictures has ${bytes.length} bytes, where ${expected} were expected`);
    const starts = startsOf(lengths);
    const all = own.map((file, i) => ({ file, bytes: bytes.subarray(starts[i], (starts[i] ?? 0) + file.bytes) }));
    for (let from = 0; from < all.length; from += sideBySide) yield all.slice(from, from + sideBySide);
  }
}

const noBytes = new Uint8Array(0);
/** Pictures decoded side by side: enough to keep the cores busy, few enough to hold in memory. */
const sideBySide = 4 * Math.min(4, availableParallelism());
