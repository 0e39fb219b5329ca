import { existsSync } from 'node:fs';
import { readdir, rm, rmdir, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import type { Experiment } from '@crossfold/shared/config/experiment';
import { ConfigError, ExitCode } from '@crossfold/shared/errors';
import { makeFolder } from '@crossfold/shared/make-folder';
import { z } from 'zod';
import { stateFolder } from '../cluster/embedded.ts';
import { resolvedYaml, rooted } from '../config/load.ts';
import { readWhole } from '../read-file.ts';
import { whyUnwritable } from '../write-whole.ts';

/** What a run on an embedded cluster needs in order to go on; lies beside the cluster's state, and goes with it. */
const RunNote = z.strictObject({
  id: z.string(),
  /** What relative paths in the experiment are relative to. */
  baseDir: z.string(),
  workers: z.int().min(1),
});
export type RunNote = z.infer<typeof RunNote>;

const noteFile = (folder: string): string => join(stateFolder(folder), 'run.json');

/**
 * Makes the folder of a new run.
 * @returns whether it was made, rather than found empty
 * @throws ConfigError where there is something in it, with the remedy
 */
export async function claimRunFolder(folder: string): Promise<boolean> {
  try {
    const there = await readdir(folder).catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return undefined;
      throw error;
    });
    if (there !== undefined && there.length > 0) {
      const remedy = existsSync(noteFile(folder))
        ? `go on with the run that is in it by \`crossfold resume ${folder}\`, or name another with --out`
        : 'name another with --out, or empty it';
      throw new ConfigError({ field: '--out', value: folder, allowed: `the folder is not empty; ${remedy}` });
    }
    await makeFolder(folder);
    return there === undefined;
  } catch (error) {
    if (error instanceof ConfigError) throw error;
    throw unusable(folder, error);
  }
}

const unusable = (folder: string, error: unknown): ConfigError => {
  const reason = whyUnwritable(error as NodeJS.ErrnoException);
  return new ConfigError({
    field: '--out',
    value: folder,
    allowed: `cannot be used as a run's folder (${reason}); name one that can be written`,
  });
};

/**
 * Makes the folder that results of an experiment on a cluster go to, where it is not there already.
 *
 * @throws ConfigError where it cannot be made
 */
export async function makeRunFolder(folder: string): Promise<void> {
  await makeFolder(folder).catch((error: unknown) => {
    throw unusable(folder, error);
  });
}

/**
 * Does what fills the folder that results of an experiment on a cluster go to. One that was made for it and is still empty
 * in the end, as after a refusal, is taken away: it would be taken for a run without results.
 *
 * @throws ConfigError where it cannot be made
 */
export async function inRunFolder<T>(folder: string, work: () => Promise<T>): Promise<T> {
  const isNew = !existsSync(folder);
  await makeRunFolder(folder);
  try {
    return await work();
  } finally {
    if (isNew) await tidyRunFolder(folder, undefined);
  }
}

/**
 * Writes the resolved experiment, and what a later `resume` needs.
 *
 * @throws ConfigError where the folder does not take it
 */
export async function writeRunNote(folder: string, experiment: Experiment, note: RunNote): Promise<void> {
  const yaml = resolvedYaml(rooted(experiment, note.baseDir));
  try {
    await writeFile(join(folder, 'experiment.yaml'), yaml);
    await makeFolder(stateFolder(folder));
    await writeFile(noteFile(folder), JSON.stringify(note));
  } catch (error) {
    throw unusable(folder, error);
  }
}

const maxTextBytes = 2 ** 30 - 1;

const readText = async (file: string): Promise<string> =>
  (await readWhole(file, maxTextBytes, (why) => new ConfigError(`${file} ${why}`))).toString('utf8');

/** The note of a run that can go on on its own cluster; undefined where there is none. */
export async function readRunNote(folder: string): Promise<RunNote | undefined> {
  try {
    const note = RunNote.safeParse(JSON.parse(await readText(noteFile(folder))));
    return note.success ? note.data : undefined;
  } catch {
    return undefined;
  }
}

/** The id of the experiment that a run's folder is of: from its results, or its note; the folder's name otherwise. */
export async function readRunId(folder: string, otherwise: string): Promise<string> {
  const note = await readRunNote(folder);
  if (note !== undefined) return note.id;
  try {
    const results = z.object({ id: z.string() }).safeParse(JSON.parse(await readText(join(folder, 'results.json'))));
    if (results.success) return results.data.id;
  } catch {
    // No results: a run that failed early.
  }
  return basename(otherwise);
}

/** The run's folder that a user means by an id or a path; undefined where there is none. */
export function findRunFolder(idOrFolder: string): string | undefined {
  return [idOrFolder, defaultRunFolder(idOrFolder)].find((folder) => existsSync(folder));
}

/** The same, where a run has indeed left its experiment there. */
export function findRun(idOrFolder: string): string | undefined {
  return [idOrFolder, defaultRunFolder(idOrFolder)].find((folder) => existsSync(join(folder, 'experiment.yaml')));
}

/**
 * For verbs that ask a cluster about an experiment.
 *
 * @param nats the broker, where one is named
 * @throws ConfigError where a run's folder is named instead of an experiment that a cluster may have, with the verbs for it
 */
export function refuseRunFolder(id: string, nats: string | undefined): void {
  const folder = findRun(id);
  if (folder === undefined || (nats !== undefined && folder !== id)) return;
  throw new ConfigError(
    `${folder} is a run's folder: crossfold report ${folder} shows what it came to, crossfold logs ${folder} what was said (--follow: is being said), crossfold resume ${folder} goes on with it; this verb is for an experiment on a cluster, by its id, with --nats`,
  );
}

export const defaultRunFolder = (id: string): string => join('runs', id);

/** For messages: where a run's folder was looked for. */
export const placesOf = (idOrFolder: string): string =>
  idOrFolder.includes('/') ? idOrFolder : `${idOrFolder} or ${defaultRunFolder(idOrFolder)}`;

/** Removes a run's folder that holds nothing worth keeping: after bad usage, or where nothing was written. */
export async function tidyRunFolder(folder: string, code: number | undefined): Promise<void> {
  if (code === ExitCode.usage) await rm(folder, { recursive: true, force: true });
  else await rmdir(folder).catch(() => undefined);
}
