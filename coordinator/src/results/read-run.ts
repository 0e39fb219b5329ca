import { existsSync } from 'node:fs';
import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { canonicalJson, sha256 } from '@crossfold/shared/data/digest';
import { ConfigError, DamagedDataError } from '@crossfold/shared/errors';
import { FoldsDocument } from '@crossfold/shared/folds/folds';
import { Results } from '@crossfold/shared/results';
import type { z } from 'zod';
import type { ReportInput } from './report/report.ts';
import { runFiles } from './run-folder.ts';

const maxBytes = 512 * 1024 * 1024;

/**
 * Reads what a report needs from a run's folder, and makes sure that the folder's split is the one of its results.
 *
 * @throws ConfigError where the folder holds no results
 * @throws DamagedDataError where its files are not what they should be
 */
export async function readRun(folder: string): Promise<ReportInput> {
  const results = await readDocument(folder, runFiles.results, Results);
  if (results === undefined)
    throw new ConfigError(
      existsSync(join(folder, runFiles.experiment))
        ? `there are no results in ${folder} (no ${runFiles.results}); a run writes them when it is over, and \`crossfold resume ${folder}\` goes on with one that is not`
        : `${folder} is no run's folder: it has neither ${runFiles.results} nor ${runFiles.experiment}`,
    );
  const folds = await readDocument(folder, runFiles.folds, FoldsDocument);
  if (folds !== undefined) {
    const found = sha256(canonicalJson(folds.folds));
    if (found !== results.split.digest)
      throw new DamagedDataError(
        `${join(folder, runFiles.folds)} is not the split of these results: its digest is ${found}, not ${results.split.digest}`,
      );
  }
  return { results, yaml: (await readText(folder, runFiles.experiment)) ?? '' };
}

async function readDocument<T>(folder: string, name: string, schema: z.ZodType<T>): Promise<T | undefined> {
  const text = await readText(folder, name);
  if (text === undefined) return undefined;
  const damaged = (why: string, cause?: unknown): DamagedDataError =>
    new DamagedDataError(`${join(folder, name)} is damaged: ${why}`, { cause });
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw damaged('it is not JSON', error);
  }
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  const where = issue === undefined ? 'it' : `${issue.path.join('.')}: ${issue.message}, which`;
  throw damaged(`${where} is not as this version of Crossfold writes it; the version that wrote it can read it`);
}

/** A file's text; undefined where there is none. */
async function readText(folder: string, name: string): Promise<string | undefined> {
  const file = join(folder, name);
  try {
    const found = await stat(file);
    if (!found.isFile()) throw new DamagedDataError(`${file} is damaged: it is not a file`);
    const { size } = found;
    if (size > maxBytes) throw new DamagedDataError(`${file} is damaged: ${size} bytes are too many`);
    return await readFile(file, 'utf8');
  } catch (error) {
    if (error instanceof DamagedDataError) throw error;
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ENOTDIR') return undefined;
    throw new ConfigError(`${file} cannot be read (${code ?? String(error)})`);
  }
}
