import { join, resolve } from 'node:path';
import type { DatasetSpec } from '@crossfold/shared/config/dataset';
import type { ReadImported } from '../datasets/imported.ts';
import { importedName } from '../datasets/imported.ts';
import { readHere } from '../datasets/read-here.ts';
import { type DatasetShape, mnistShape } from './dataset-shape.ts';
import { readIdxFile } from './idx-file.ts';
import { imageRanks, labelRanks } from './idx-source.ts';
import { scanImageFolder } from './image-folder.ts';
import { findIdxFiles } from './upload.ts';

/**
 * Shape of a data set's images and number of its classes, without uploading or decoding anything.
 *
 * @param baseDir what a relative path is relative to
 * @param read how to look at an imported data set: on this machine where not given
 * @throws ConfigError where the data set is not there or not what it should be
 */
export async function describeDataset(
  spec: DatasetSpec,
  baseDir: string,
  read: ReadImported = readHere(process.env),
): Promise<DatasetShape> {
  if (importedName(spec) !== undefined) {
    const { image, classes } = await read(spec);
    return { image, classes };
  }
  if (spec.path === undefined) return mnistShape;
  const folder = resolve(baseDir, spec.path);
  if (spec.image !== undefined) {
    const { height, width, channels } = spec.image;
    return { image: { height, width, channels }, classes: (await scanImageFolder(folder, spec.path)).classes.length };
  }
  const names = await findIdxFiles(folder, spec.path);
  const { header } = await readIdxFile(join(folder, names.trainImages ?? ''), imageRanks);
  const [, height = 0, width = 0, channels = 1] = header.dimensions;
  let largest = 0;
  for (const name of [names.trainLabels, names.testLabels]) {
    if (name === undefined) continue;
    const labels = await readIdxFile(join(folder, name), labelRanks);
    for (const label of labels.bytes.subarray(labels.header.offset)) largest = Math.max(largest, label);
  }
  return { image: { height, width, channels }, classes: largest + 1 };
}
