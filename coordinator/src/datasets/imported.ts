import { getJson, putJson } from '@crossfold/shared/broker/json-blobs';
import type { DatasetSpec } from '@crossfold/shared/config/dataset';
import { builtInDataset } from '@crossfold/shared/config/dataset';
import type { BlobStore } from '@crossfold/shared/data/blob-store';
import type { DatasetRecord } from '@crossfold/shared/data/dataset-record';
import { sampleDigestBytes } from '@crossfold/shared/data/digest';
import type { Samples } from '@crossfold/shared/data/manifest';
import {
  encodeFileBytes,
  encodeLabels,
  Manifest,
  readFileBytes,
  readLabels,
  SampleNames,
  sampleBytesOf,
} from '@crossfold/shared/data/manifest';
import { ConfigError, DamagedDataError } from '@crossfold/shared/errors';
import { readSplitSamples, SampleColumns } from '@crossfold/shared/folds/samples';
import type { BlobRef } from '@crossfold/shared/jobs/records';
import { nearest } from '../config/nearest.ts';
import type { DatasetShape } from '../data/dataset-shape.ts';
import { checkLimit } from '../data/idx-source.ts';
import type { LocalData } from '../data/local-data.ts';
import type { SourceBundle } from '../data/source.ts';
import type { DatasetLibrary } from './library.ts';

/** The name of the imported data set that an experiment asks for; undefined where it asks for none. */
export const importedName = ({ name }: DatasetSpec): string | undefined =>
  name === undefined || name === builtInDataset ? undefined : name;

/** What is uploaded for an experiment on an imported data set: where it lies. The same for the same data set. */
export const importedBundle = ({
  name,
  manifest,
  bytes,
}: DatasetRecord): Extract<SourceBundle, { kind: 'imported' }> => ({
  kind: 'imported',
  name,
  manifest,
  bytes,
});

/** A data set, and the library that it is in. */
export interface Imported {
  readonly record: DatasetRecord;
  readonly library: DatasetLibrary;
}

/** Of a data set whose record cannot be read: what to do about it. */
export const damagedRecord = (name: string, { message }: DamagedDataError): DamagedDataError =>
  new DamagedDataError(
    `data set ${name}: ${message}; \`crossfold data remove ${name}\` takes it away, then import it again`,
  );

/**
 * Looks for a data set in some libraries, one after another.
 *
 * @param field what names it, for messages
 * @throws ConfigError where it is in none of them
 * @throws DamagedDataError where its record cannot be read
 */
export async function findImported(
  name: string,
  libraries: readonly DatasetLibrary[],
  field = 'dataset.name',
): Promise<Imported> {
  for (const library of libraries) {
    const record = await library.records.get(name).catch((error: unknown) => {
      if (error instanceof DamagedDataError) throw damagedRecord(name, error);
      throw error;
    });
    if (record !== undefined) return { record, library };
  }
  const known = new Set<string>(field === 'dataset.name' ? [builtInDataset] : []);
  for (const { records } of libraries) for (const one of await records.names()) known.add(one);
  const meant = nearest(name, [...known]);
  const where = libraries.map((library) => library.where).join(' or ');
  const remedy =
    meant === undefined
      ? `\`crossfold data list\` shows those there are, \`crossfold data import FOLDER --name ${name}\` makes one`
      : `did you mean ${meant}?`;
  const nothing = field === 'dataset' ? 'there is no such folder, and no such data set' : 'there is no such data set';
  throw new ConfigError({ field, value: name, allowed: `${nothing} ${where}; ${remedy}` });
}

/** What an experiment has to know of an imported data set before it is submitted. */
export type ReadImported = (spec: DatasetSpec) => Promise<LocalData & DatasetShape>;

/** @throws ConfigError where there is no such data set, or it has fewer samples than asked for */
export async function readImported(
  spec: DatasetSpec,
  libraries: readonly DatasetLibrary[],
): Promise<LocalData & DatasetShape> {
  const { record, library } = await findImported(spec.name ?? '', libraries);
  const manifest = await getJson(library.blobs, record.manifest, Manifest);
  const { limit = manifest.train.count } = spec;
  checkReach(manifest, limit);
  const { labels, names, ...rest } = await readSplitSamples(manifest, library.blobs);
  return {
    name: manifest.name,
    image: manifest.imageShape,
    classes: manifest.classes.length,
    testSamples: manifest.test?.count ?? 0,
    sourceBytes: record.bytes,
    samples: {
      ...rest,
      labels: Array.from(labels).slice(0, limit),
      names: names?.slice(0, limit),
      validationFrom: withinLimit(manifest, limit),
    },
  };
}

const withinLimit = ({ validationFrom = Number.POSITIVE_INFINITY }: Manifest, limit: number): number | undefined =>
  validationFrom < limit ? validationFrom : undefined;

/** @throws ConfigError where there are fewer samples, or none of some class of pictures are among the first */
function checkReach(manifest: Manifest, limit: number): void {
  const { train, classes, decoding } = manifest;
  checkLimit(limit, train.count);
  if (limit === train.count || decoding === undefined) return;
  const seen = new Set(readLabels(train).slice(0, limit));
  const missing = classes.find((_, label) => !seen.has(label));
  if (missing === undefined) return;
  throw new ConfigError({
    field: 'dataset.limit',
    value: String(limit),
    allowed: `must reach into every class: samples are sorted by class, and the first ${limit} hold none of class ${JSON.stringify(missing)}; import fewer of each class with --per-class`,
  });
}

/**
 * The data set of the first samples of another one, as if it had been cut of no more; the test set stays whole.
 *
 * @throws ConfigError where there are fewer
 */
export async function firstSamples(manifest: Manifest, limit: number | undefined, blobs: BlobStore): Promise<Manifest> {
  const { train } = manifest;
  if (limit === undefined || limit === train.count) return manifest;
  checkReach(manifest, limit);
  const lengths = readFileBytes(train).slice(0, limit);
  const shards = train.shards.filter(({ first }) => first < limit);
  const last = shards.at(-1);
  if (last !== undefined && last.first + last.count > limit) {
    const count = limit - last.first;
    const own =
      train.fileBytes === undefined
        ? count * sampleBytesOf(manifest.imageShape)
        : lengths.slice(last.first).reduce((sum, length) => sum + length, 0);
    const bytes = (await blobs.get(last.digest, last.bytes)).subarray(0, own);
    shards[shards.length - 1] = { digest: await blobs.put(bytes), bytes: own, first: last.first, count };
  }
  const digests = Buffer.from(train.sampleDigests, 'base64').subarray(0, limit * sampleDigestBytes);
  const samples: Samples = {
    count: limit,
    labels: encodeLabels(readLabels(train).slice(0, limit), manifest.classes.length),
    sampleDigests: digests.toString('base64'),
    shards,
    ...(train.fileBytes === undefined ? {} : { fileBytes: encodeFileBytes([...lengths]) }),
    ...(train.names === undefined ? {} : { names: await firstNames(train.names, limit, blobs) }),
    ...(train.columns === undefined ? {} : { columns: await firstRows(train.columns, limit, blobs) }),
  };
  const { validationFrom: _, ...rest } = manifest;
  const from = withinLimit(manifest, limit);
  return { ...rest, train: samples, ...(from === undefined ? {} : { validationFrom: from }) };
}

const firstNames = async (names: BlobRef, limit: number, blobs: BlobStore): Promise<BlobRef> =>
  putJson(blobs, (await getJson(blobs, names, SampleNames)).slice(0, limit));

async function firstRows(reference: BlobRef, limit: number, blobs: BlobStore): Promise<BlobRef> {
  const columns = Object.entries(await getJson(blobs, reference, SampleColumns));
  return putJson(blobs, Object.fromEntries(columns.map(([name, values]) => [name, values.slice(0, limit)])));
}
