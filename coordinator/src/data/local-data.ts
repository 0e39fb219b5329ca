import { basename, join, resolve } from 'node:path';
import type { DatasetSpec } from '@crossfold/shared/config/dataset';
import { sampleBytesOf } from '@crossfold/shared/data/manifest';
import type { SplitSamples } from '@crossfold/shared/folds/samples';
import type { DatasetShape } from './dataset-shape.ts';
import { mnistShape } from './dataset-shape.ts';
import { readIdxFile } from './idx-file.ts';
import { checkCounts, checkLimit, imageRanks, labelRanks } from './idx-source.ts';
import { scanImageFolder } from './image-folder.ts';
import { selectImages } from './image-upload.ts';
import { readColumns } from './table.ts';
import { findIdxFiles, mnistFolder } from './upload.ts';

/** What is known of a data set that lies here, before it is uploaded: all that it takes to split it. */
export interface LocalData extends DatasetShape {
  readonly name: string;
  readonly samples: SplitSamples;
  readonly testSamples: number;
  /** Of the files that an upload takes. */
  readonly sourceBytes: number;
  /** Pictures that are known to be of no use without being opened, each with the reason. */
  readonly unusable?: readonly string[];
}

/**
 * Looks at an experiment's data set without uploading or decoding anything.
 *
 * @param baseDir what relative paths are relative to
 * @throws ConfigError where it is not there or not what it should be
 */
export async function localData(spec: DatasetSpec, baseDir: string): Promise<LocalData> {
  const data = spec.image === undefined ? await idxData(spec, baseDir) : await imageData(spec, baseDir);
  if (spec.table === undefined) return data;
  const { names, labels } = data.samples;
  const columns = await readColumns(resolve(baseDir, spec.table), names ?? labels.length);
  return { ...data, samples: { ...data.samples, columns } };
}

async function idxData({ path, limit }: DatasetSpec, baseDir: string): Promise<LocalData> {
  const folder = path === undefined ? mnistFolder() : resolve(baseDir, path);
  const files = await findIdxFiles(folder, path ?? 'mnist');
  const labelsOf = async (file: string | undefined): Promise<Uint8Array> => {
    if (file === undefined) return new Uint8Array();
    const { bytes, header } = await readIdxFile(join(folder, file), labelRanks);
    return bytes.subarray(header.offset);
  };
  const [train, test] = [await labelsOf(files.trainLabels), await labelsOf(files.testLabels)];
  if (limit !== undefined) checkLimit(limit, train.length);
  const names = { images: join(folder, files.trainImages ?? ''), labels: join(folder, files.trainLabels ?? '') };
  const shape = path === undefined ? mnistShape : await idxShape(names, [train, test]);
  return {
    ...shape,
    name: path === undefined ? 'mnist' : basename(folder),
    samples: { labels: train.subarray(0, limit), classes: Array.from({ length: shape.classes }, (_, i) => String(i)) },
    testSamples: test.length,
    sourceBytes: ((limit ?? train.length) + test.length) * (sampleBytesOf(shape.image) + 1) + 4 * idxHeaderBytes,
  };
}

/** At most. */
const idxHeaderBytes = 20;

async function idxShape(
  files: { readonly images: string; readonly labels: string },
  labels: readonly Uint8Array[],
): Promise<DatasetShape> {
  const { dimensions } = (await readIdxFile(files.images, imageRanks)).header;
  const [count = 0, height = 0, width = 0, channels = 1] = dimensions;
  checkCounts(count, labels[0]?.length ?? 0, files.images, files.labels);
  const largest = labels.reduce((most, part) => part.reduce((a, b) => Math.max(a, b), most), 0);
  return { image: { height, width, channels }, classes: largest + 1 };
}

async function imageData(spec: DatasetSpec, baseDir: string): Promise<LocalData> {
  const { path = '', image } = spec;
  const folder = resolve(baseDir, path);
  const { train, test, classes, validationFrom } = selectImages(await scanImageFolder(folder, path), spec);
  const { height, width, channels } = image ?? mnistShape.image;
  const unusable = [...train, ...(test ?? [])].flatMap((file) =>
    file.problem === undefined ? [] : [`${file.path} ${file.problem}`],
  );
  return {
    image: { height, width, channels },
    classes: classes.length,
    name: basename(folder),
    samples: {
      labels: train.map(({ label }) => label),
      classes,
      validationFrom,
      names: train.map((file) => file.path),
    },
    testSamples: test?.length ?? 0,
    sourceBytes: [...train, ...(test ?? [])].reduce(
      (sum, file) => sum + (file.problem === undefined ? file.bytes : 0),
      0,
    ),
    ...(unusable.length === 0 ? {} : { unusable }),
  };
}
