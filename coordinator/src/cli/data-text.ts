import type { DatasetRecord } from '@crossfold/shared/data/dataset-record';
import type { Manifest } from '@crossfold/shared/data/manifest';
import { classCounts } from '../datasets/documents.ts';
import { whole } from '../results/text.ts';
import { table } from './queries.ts';

const units = ['B', 'kB', 'MB', 'GB', 'TB'];

/** `12.8 MB`. */
export function byteText(bytes: number): string {
  const power = Math.min(units.length - 1, Math.max(0, Math.floor(Math.log10(Math.max(bytes, 1)) / 3)));
  const value = bytes / 1000 ** power;
  return `${power === 0 || value >= 100 ? Math.round(value) : value.toFixed(1)} ${units[power]}`;
}

const imageText = ({ height, width, channels }: DatasetRecord['image']): string => `${height} x ${width} x ${channels}`;

/** One line of what was imported. */
export const importedText = (record: DatasetRecord): string =>
  [
    `${record.name}: ${whole(record.samples)} samples${record.testSamples > 0 ? ` and ${whole(record.testSamples)} to test on` : ''}`,
    `${record.classes} classes`,
    `${imageText(record.image)} pixels`,
    `${record.shards} shards, ${byteText(record.bytes)}`,
    ...(record.skipped.length > 0 ? [`${record.skipped.length} files left out`] : []),
  ].join(', ');

/** @param usedBy ids of the experiments that use it */
export function datasetTable(
  all: readonly { readonly record: DatasetRecord; readonly usedBy: readonly string[] }[],
  where: string,
): string {
  if (all.length === 0)
    return `no data sets ${where}; crossfold data import FOLDER --name NAME makes one (mnist is built in)`;
  const rows = all.map(({ record, usedBy }) => [
    record.name,
    record.manifest.digest.slice(0, 12),
    whole(record.samples),
    whole(record.testSamples),
    String(record.classes),
    imageText(record.image),
    String(record.shards),
    byteText(record.bytes),
    new Date(record.importedAt).toISOString().slice(0, 16).replace('T', ' '),
    usersText(usedBy),
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

/** Everything about one data set. */
export function datasetText(
  record: DatasetRecord,
  manifest: Manifest,
  hints: readonly string[],
  users: readonly string[],
): string {
  const fields = [
    ['digest', record.manifest.digest],
    [
      'samples',
      `${whole(record.samples)}${record.testSamples > 0 ? `, and ${whole(record.testSamples)} to test on` : ''}`,
    ],
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
    ...shown.map(({ name, train, test }) => [name, whole(train), ...(manifest.test === null ? [] : [whole(test)])]),
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
