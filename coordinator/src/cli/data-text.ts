import type { DatasetRecord } from '@crossfold/shared/data/dataset-record';
import type { Manifest } from '@crossfold/shared/data/manifest';
import { findDuplicates, readLabels } from '@crossfold/shared/data/manifest';
import type { SplitSamples } from '@crossfold/shared/folds/samples';
import { table } from './queries.ts';

const units = ['B', 'kB', 'MB', 'GB', 'TB'];

/** `12.8 MB`. */
export function byteText(bytes: number): string {
  const power = Math.min(units.length - 1, Math.max(0, Math.floor(Math.log10(Math.max(bytes, 1)) / 3)));
  const value = bytes / 1000 ** power;
  return `${power === 0 || value >= 100 ? Math.round(value) : value.toFixed(1)} ${units[power]}`;
}

const imageText = ({ height, width, channels }: DatasetRecord['image']): string => `${height} x ${width} x ${channels}`;

/** What `data` commands print of a data set with `--json`. */
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

/** One line of what was imported. */
export const importedText = (record: DatasetRecord): string =>
  [
    `${record.name}: ${record.samples} samples${record.testSamples > 0 ? ` and ${record.testSamples} to test on` : ''}`,
    `${record.classes} classes`,
    `${imageText(record.image)} pixels`,
    `${record.shards} shards, ${byteText(record.bytes)}`,
    ...(record.skipped.length > 0 ? [`${record.skipped.length} files left out`] : []),
  ].join(', ');

/** @param users the experiments that use each, where that is known */
export function datasetTable(
  records: readonly DatasetRecord[],
  users: readonly (readonly string[])[],
  where: string,
): string {
  if (records.length === 0)
    return `no data sets ${where}; crossfold data import FOLDER --name NAME makes one (mnist is built in)`;
  const rows = records.map((record, i) => [
    record.name,
    record.manifest.digest.slice(0, 12),
    String(record.samples),
    String(record.testSamples),
    String(record.classes),
    imageText(record.image),
    String(record.shards),
    byteText(record.bytes),
    new Date(record.importedAt).toISOString().slice(0, 16).replace('T', ' '),
    usersText(users[i] ?? []),
  ]);
  return table([
    ['NAME', 'DIGEST', 'SAMPLES', 'TEST', 'CLASSES', 'IMAGE', 'SHARDS', 'SIZE', 'IMPORTED', 'USED BY'],
    ...rows,
  ]);
}

function usersText(ids: readonly string[]): string {
  if (ids.length === 0) return '-';
  return ids.length === 1 ? (ids[0] ?? '') : `${ids[0]} and ${ids.length - 1} more`;
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
      : `kfold, stratified: up to ${least.train} folds (class ${JSON.stringify(least.name)} has the fewest samples)`,
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

/** Everything about one data set. */
export function datasetText(
  record: DatasetRecord,
  manifest: Manifest,
  hints: readonly string[],
  users: readonly string[],
): string {
  const fields = [
    ['digest', record.manifest.digest],
    ['samples', `${record.samples}${record.testSamples > 0 ? `, and ${record.testSamples} to test on` : ''}`],
    ['images', `${imageText(record.image)} (height x width x channels)`],
    [
      'shards',
      `${record.shards}, ${byteText(record.bytes)}${manifest.train.fileBytes === undefined ? '' : ', of files'}`,
    ],
    ['from', `${record.source}, ${new Date(record.importedAt).toISOString().slice(0, 16).replace('T', ' ')}`],
    ['used by', users.length === 0 ? 'no experiment' : users.join(', ')],
  ];
  const counts = classCounts(manifest);
  const shown = counts.slice(0, 50);
  const classes = table([
    ['CLASS', 'SAMPLES', ...(manifest.test === null ? [] : ['TEST'])],
    ...shown.map(({ name, train, test }) => [name, String(train), ...(manifest.test === null ? [] : [String(test)])]),
  ]);
  const left = manifest.skipped ?? 0;
  return [
    record.name,
    ...fields.map(([what = '', value = '']) => `  ${what.padEnd(8)} ${value}`),
    '',
    classes,
    ...(counts.length > shown.length ? [`and ${counts.length - shown.length} more classes`] : []),
    '',
    'to split it',
    ...hints.map((hint) => `  ${hint}`),
    ...(left === 0 ? [] : ['', `left out, ${left} files`]),
    ...record.skipped.map(({ path, reason }) => `  ${path} ${reason}`),
    ...(left > record.skipped.length ? [`  and ${left - record.skipped.length} more`] : []),
  ].join('\n');
}
