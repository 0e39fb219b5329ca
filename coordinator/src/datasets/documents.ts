import { getJson } from '@crossfold/shared/broker/json-blobs';
import type { DatasetRecord } from '@crossfold/shared/data/dataset-record';
import { findDuplicates, Manifest, readLabels } from '@crossfold/shared/data/manifest';
import type { DamagedDataError } from '@crossfold/shared/errors';
import type { SplitSamples } from '@crossfold/shared/folds/samples';
import { readSplitSamples } from '@crossfold/shared/folds/samples';
import { damagedRecord } from './imported.ts';
import type { DatasetLibrary } from './library.ts';
import { usersOf } from './remove-dataset.ts';

/** What is known of an imported data set without fetching anything. */
export const datasetDocument = (record: DatasetRecord) => ({
  name: record.name,
  digest: record.manifest.digest,
  samples: record.samples,
  testSamples: record.testSamples,
  classes: record.classes,
  image: record.image,
  shards: record.shards,
  bytes: record.bytes,
  skipped: record.skipped,
  source: record.source,
  importedAt: new Date(record.importedAt).toISOString(),
});

export type DatasetDocument = ReturnType<typeof datasetDocument>;

/**
 * All data sets of a library, and which experiments use each.
 *
 * @param onDamaged told of each whose record cannot be read
 */
export async function listDatasets(
  library: DatasetLibrary,
  onDamaged: (error: DamagedDataError) => void,
): Promise<{ record: DatasetRecord; usedBy: string[] }[]> {
  const records = await library.records.list((name, error) => onDamaged(damagedRecord(name, error)));
  const experiments = await library.experiments();
  return records.map((record) => ({ record, usedBy: usersOf(record, experiments).map(({ id }) => id) }));
}

/** What there is to know of one data set. */
export async function describeImported(record: DatasetRecord, library: DatasetLibrary) {
  const manifest = await getJson(library.blobs, record.manifest, Manifest);
  const hints = splitHints(manifest, await readSplitSamples(manifest, library.blobs));
  const usedBy = usersOf(record, await library.experiments()).map(({ id }) => id);
  const { train, test, validationFrom = null } = manifest;
  const parts = { train: train.shards, test: test?.shards ?? [] };
  return {
    manifest,
    document: { ...datasetDocument(record), perClass: classCounts(manifest), validationFrom, hints, parts, usedBy },
  };
}

/** Samples of each class in the training samples and in the test set. */
export function classCounts({ classes, train, test }: Manifest): { name: string; train: number; test: number }[] {
  const counts = classes.map((name) => ({ name, train: 0, test: 0 }));
  for (const label of readLabels(train)) (counts[label] ?? { train: 0 }).train++;
  if (test !== null) for (const label of readLabels(test)) (counts[label] ?? { test: 0 }).test++;
  return counts;
}

/** What the data set offers, or forbids, for `evaluation`. */
export function splitHints(manifest: Manifest, { columns }: SplitSamples): string[] {
  const hints: string[] = [];
  const { train, validationFrom, test } = manifest;
  const least = classCounts(manifest).reduce((a, b) => (b.train < a.train ? b : a));
  hints.push(
    least.train < 2
      ? `kfold: class ${JSON.stringify(least.name)} has ${least.train} training samples, too few for stratified folds`
      : `kfold, stratified: up to ${least.train} folds with all classes in each (class ${JSON.stringify(least.name)} has the fewest samples)`,
  );
  if (validationFrom !== undefined)
    hints.push(`predefined: it has a validation part of its own, samples ${validationFrom} to ${train.count - 1}`);
  if (columns !== undefined)
    hints.push(`group-kfold, predefined: its table has the columns ${Object.keys(columns).join(', ')}`);
  if (test !== null)
    hints.push(`final: its ${test.count} test samples are in no fold, and score what is left in the end`);
  const duplicates = findDuplicates(manifest);
  if (duplicates.train.length > 0)
    hints.push(
      `${duplicates.train.length} images are there more than once: a fold may be validated on some it was trained on`,
    );
  if (duplicates.testInTrain.length > 0)
    hints.push(`${duplicates.testInTrain.length} test images are among those to train on`);
  return hints;
}
