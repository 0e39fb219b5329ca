import { z } from 'zod';
import { getJson } from '../broker/json-blobs.ts';
import type { GroupBy } from '../config/evaluation.ts';
import type { BlobStore } from '../data/blob-store.ts';
import type { Manifest } from '../data/manifest.ts';
import { readLabels, SampleNames } from '../data/manifest.ts';
import { ConfigError } from '../errors.ts';

/** The data set's table: the values of each column, one a training sample, in the data set's order. */
export const SampleColumns = z.record(z.string().max(200), z.array(z.string().max(1000)).readonly()).readonly();
export type SampleColumns = z.infer<typeof SampleColumns>;

/** What is known of the training samples, for splitting them. */
export interface SplitSamples {
  /** Class of each. */
  readonly labels: ArrayLike<number>;
  /** Names of the classes, for messages. */
  readonly classes?: readonly string[];
  /** Where the data set has a validation part of its own: the index at which it begins. */
  readonly validationFrom?: number | undefined;
  /** The file of each, where they are files. */
  readonly names?: readonly string[] | undefined;
  readonly columns?: SampleColumns | undefined;
}

/** Reads what `makeFolds` needs of a data set. */
export async function readSplitSamples(manifest: Manifest, store: BlobStore): Promise<SplitSamples> {
  const { train, classes, validationFrom } = manifest;
  return {
    labels: readLabels(train),
    classes,
    validationFrom,
    names: train.names === undefined ? undefined : await getJson(store, train.names, SampleNames),
    columns: train.columns === undefined ? undefined : await getJson(store, train.columns, SampleColumns),
  };
}

/** @throws ConfigError where the data set has no such column; `field` is what asked for it */
export function columnOf({ columns, labels }: SplitSamples, name: string, field: string): readonly string[] {
  if (columns === undefined)
    throw new ConfigError({
      field,
      value: JSON.stringify(name),
      allowed:
        'needs a data set that comes with a table, and this one has none; pictures can be grouped by folder: groupBy: { folder: 1 }',
    });
  const values = Object.hasOwn(columns, name) ? columns[name] : undefined;
  if (values === undefined)
    throw new ConfigError({
      field,
      value: JSON.stringify(name),
      allowed: `must be a column of the data set's table, which has ${Object.keys(columns).join(', ')}`,
    });
  return values.slice(0, labels.length);
}

/** The group of each sample, by name. */
export function groupsOf(samples: SplitSamples, groupBy: GroupBy, field: string): readonly string[] {
  if ('column' in groupBy) return columnOf(samples, groupBy.column, `${field}.column`);
  const wrong = (allowed: string): ConfigError =>
    new ConfigError({ field: `${field}.folder`, value: String(groupBy.folder), allowed });
  if (samples.names === undefined)
    throw wrong('needs a data set of pictures; for other data sets name a column of a table: groupBy: { column: ... }');
  return samples.names.map((name) => {
    const folders = name.split('/').slice(0, -1);
    const folder = folders.at(-groupBy.folder);
    if (folder === undefined)
      throw wrong(`must be at most ${folders.length}, the number of folders that ${name} lies in`);
    return folder;
  });
}
