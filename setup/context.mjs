import {
  accessSync,
  constants,
  existsSync,
  lstatSync,
  mkdirSync,
  readlinkSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
} from 'node:fs';
import { homedir } from 'node:os';
import { delimiter, dirname, join, resolve } from 'node:path';

/**
 * Where set-up works: a checkout and the cache that all checkouts of a user share.
 * @typedef {{ root: string, modules: string, cache: string, downloads: string, env: NodeJS.ProcessEnv }} Context
 */

/**
 * One thing that a command needs. `missing` is quick and changes nothing; `prepare` fetches what decides whether there
 * are obstacles, and never fails; `obstacles` names what `provide` would lack on this machine, `provide` does the work;
 * all of them may be called again after a run that was cut off. `without` says what the user is to know where there are
 * obstacles and commands work all the same; nothing where they do not.
 * @typedef {{
 *   missing(context: Context): boolean,
 *   prepare?(context: Context): Promise<void>,
 *   obstacles?(context: Context): import('./say.mjs').MissingError[],
 *   provide(context: Context): Promise<void>,
 *   without?(context: Context): string | undefined,
 * }} Step
 */

/**
 * @param {string} root
 * @param {NodeJS.ProcessEnv} env
 * @returns {Context}
 */
export function contextOf(root, env) {
  const cache = env.CROSSFOLD_CACHE || join(env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'crossfold');
  return { root, modules: join(root, 'node_modules'), cache, downloads: join(cache, 'downloads'), env };
}

/**
 * The first executable of that name on the PATH.
 * @param {string} name or a path
 * @param {NodeJS.ProcessEnv} env
 * @returns {string | undefined}
 */
export function findProgram(name, env) {
  const candidates = name.includes('/')
    ? [name]
    : (env.PATH ?? '').split(delimiter).map((folder) => join(folder || '.', name));
  return candidates.find((file) => {
    try {
      accessSync(file, constants.X_OK);
      return statSync(file).isFile();
    } catch {
      return false;
    }
  });
}

/**
 * Makes a folder and those above it that are missing. Node's own recursive `mkdirSync` says ENOENT of a file system that
 * is read-only, and never comes back where one refuses new folders with ENOENT itself, as /proc does.
 * @param {string} folder
 */
export function makeFolder(folder) {
  const missing = [];
  for (let at = resolve(folder); !existsSync(at); at = dirname(at)) missing.push(at);
  for (const one of missing.reverse()) {
    try {
      mkdirSync(one);
    } catch (error) {
      // Somebody else has just made it.
      if (/** @type {NodeJS.ErrnoException} */ (error).code !== 'EEXIST') throw error;
    }
  }
}

/**
 * Makes `link` point to `target`, whatever was there before.
 * @param {string} target
 * @param {string} link
 */
export function linkTo(target, link) {
  if (pointsTo(link, target)) return;
  mkdirSync(dirname(link), { recursive: true });
  const fresh = `${link}.new`;
  rmSync(fresh, { force: true });
  symlinkSync(target, fresh);
  if (lstatSync(link, { throwIfNoEntry: false })?.isDirectory()) rmSync(link, { recursive: true });
  renameSync(fresh, link);
}

/**
 * @param {string} link
 * @param {string} target an existing file or folder
 */
export function pointsTo(link, target) {
  return (
    lstatSync(link, { throwIfNoEntry: false })?.isSymbolicLink() === true &&
    readlinkSync(link) === target &&
    existsSync(link) &&
    realpathSync(link) === realpathSync(target)
  );
}

/**
 * Fills `folder` by way of a folder beside it, so that it is there completely or not at all.
 * @param {string} folder
 * @param {(aside: string) => Promise<unknown>} fill
 */
export async function whole(folder, fill) {
  if (existsSync(folder)) return;
  const aside = `${folder}.unfinished`;
  rmSync(aside, { recursive: true, force: true });
  mkdirSync(aside, { recursive: true });
  await fill(aside);
  renameSync(aside, folder);
}
