import { ConfigError } from '@crossfold/shared/errors';
import type { SampleColumns } from '@crossfold/shared/folds/samples';
import { parse } from 'csv-parse/sync';
import { readWhole } from '../read-file.ts';

const maxBytes = 256 * 1024 * 1024;
/** The column that names a row's picture. */
const fileColumn = 'file';

/**
 * Reads what a CSV file (RFC 4180, with a heading) says of the training samples.
 *
 * @param samples the samples' files, which the column `file` names; or how many there are, a row each in order
 * @returns the values of each column, one a sample, in the data set's order
 * @throws ConfigError where it is no such table, or says nothing of some sample
 */
export async function readColumns(file: string, samples: readonly string[] | number): Promise<SampleColumns> {
  const wrong = (allowed: string): ConfigError => new ConfigError({ field: 'dataset.table', value: file, allowed });
  const [heading = [], ...rows] = parseRows((await readWhole(file, maxBytes, wrong)).toString('utf8'), wrong);
  const repeated = heading.find((name, i) => name === '' || heading.indexOf(name) !== i);
  if (repeated !== undefined)
    throw wrong(repeated === '' ? 'has a column without a heading' : `has two columns ${JSON.stringify(repeated)}`);
  const ordered = typeof samples === 'number' ? inOrder(rows, samples, wrong) : byFile(heading, rows, samples, wrong);
  return Object.fromEntries(heading.map((name, column) => [name, ordered.map((row) => row[column] ?? '')]));
}

type Wrong = (allowed: string) => ConfigError;
type Row = readonly string[];

function parseRows(text: string, wrong: Wrong): Row[] {
  try {
    return parse(text, { bom: true, skip_empty_lines: true, trim: true });
  } catch (error) {
    throw wrong(`is no table: ${error instanceof Error ? error.message : String(error)}`);
  }
}

function inOrder(rows: readonly Row[], samples: number, wrong: Wrong): readonly Row[] {
  if (rows.length < samples) throw wrong(`must have a row for each of the ${samples} samples, and has ${rows.length}`);
  return rows.slice(0, samples);
}

function byFile(heading: Row, rows: readonly Row[], samples: readonly string[], wrong: Wrong): Row[] {
  const column = heading.indexOf(fileColumn);
  if (column < 0)
    throw wrong(
      `must have a column \`${fileColumn}\` with the pictures' paths within the folder, and has ${heading.join(', ')}`,
    );
  const known = new Map<string, Row>();
  for (const row of rows) {
    const name = (row[column] ?? '').replaceAll('\\', '/').replace(/^\.\//, '').normalize('NFC');
    if (known.has(name)) throw wrong(`has two rows for ${name}`);
    known.set(name, row);
  }
  const missing = samples.filter((name) => !known.has(name.normalize('NFC')));
  if (missing.length > 0)
    throw wrong(
      `has no row for ${missing.slice(0, 3).join(', ')}${missing.length > 3 ? ` and ${missing.length - 3} more` : ''}`,
    );
  return samples.map((name) => known.get(name.normalize('NFC')) ?? []);
}
