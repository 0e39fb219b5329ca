/**
 * One set-up at a time per cache. A lock is a file that names its owner and that the owner touches every 2 s; it counts
 * as left behind when its owner is dead, or (on another machine or in another container, where that cannot be seen)
 * when it has not been touched for 30 s. A thief can do no lasting harm: everything is written aside and renamed.
 * A helper (npm, the compiler) may outlive an owner that was killed, so the lock names it too, and lasts as long as it.
 */
import { readFileSync, renameSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { dirname } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { makeFolder } from './context.mjs';
import { MissingError, say, seconds } from './say.mjs';

const TOUCH = 2_000;
const STALE = 30_000;
const LONGEST_HELPER = 15 * 60_000;
const LONGEST_WAIT = 60 * 60_000;

/** @typedef {{ pid: number, host: string, since: string, helper?: number }} Owner */

/** @type {string | undefined} the lock that this process holds */
let held;

/**
 * Runs `work` as the only one that holds `file`, and lets go of it however the process ends.
 * @template T
 * @param {string} file
 * @param {() => Promise<T>} work
 * @param {{ longestWait?: number, poll?: number }} [bounds] milliseconds
 * @returns {Promise<T>}
 */
export async function withLock(file, work, { longestWait = LONGEST_WAIT, poll = 300 } = {}) {
  makeFolder(dirname(file));
  const started = performance.now();
  let said = Number.NEGATIVE_INFINITY;
  while (!acquire(file)) {
    const waited = performance.now() - started;
    const owner = readOwner(file);
    const who = owner === undefined ? 'another set-up' : `set-up ${owner.pid} on ${owner.host} (since ${owner.since})`;
    if (waited > longestWait) {
      throw new MissingError(`gave up after waiting ${seconds(waited)} for ${who}`, [
        `if it is not running any more, delete ${file}`,
      ]);
    }
    if (performance.now() - said > 10_000) {
      say(`setup: waiting for ${who} to finish${waited < 1000 ? '' : `, for ${seconds(waited)} so far`}`);
      said = performance.now();
    }
    await pause(poll);
  }
  held = file;
  const touch = setInterval(() => {
    try {
      utimesSync(file, new Date(), new Date());
    } catch {
      // Somebody took the lock for abandoned; see above why that is safe.
    }
  }, TOUCH);
  const release = () => {
    held = undefined;
    if (isOurs(readOwner(file))) rmSync(file, { force: true });
  };
  process.on('exit', release);
  try {
    return await work();
  } finally {
    clearInterval(touch);
    process.off('exit', release);
    release();
  }
}

/**
 * Makes the lock that this process holds last until `helper` has ended, even if this process is killed before.
 * @param {import('node:child_process').ChildProcess} helper
 */
export function lockWhileRunning(helper) {
  if (held === undefined || helper.pid === undefined) return;
  const owner = readOwner(held);
  if (owner === undefined || !isOurs(owner)) return;
  const fresh = `${held}.new`;
  writeFileSync(fresh, JSON.stringify({ ...owner, helper: helper.pid }));
  renameSync(fresh, held);
}

/** @param {string} file */
function acquire(file) {
  if (create(file)) return true;
  const owner = readOwner(file);
  if (!isAbandoned(file, owner)) return false;
  // Of several that see the same abandoned lock, one moves it away; whoever moves a fresh one by mistake puts it back.
  const aside = `${file}.${process.pid}`;
  try {
    renameSync(file, aside);
  } catch {
    return false;
  }
  const moved = readOwner(aside);
  if (moved?.pid !== owner?.pid || moved?.host !== owner?.host || moved?.since !== owner?.since) {
    renameSync(aside, file);
    return false;
  }
  rmSync(aside, { force: true });
  return create(file);
}

/** @param {string} file */
function create(file) {
  /** @type {Owner} */
  const owner = { pid: process.pid, host: hostname(), since: new Date().toISOString() };
  try {
    writeFileSync(file, JSON.stringify(owner), { flag: 'wx' });
    return true;
  } catch (error) {
    if (/** @type {NodeJS.ErrnoException} */ (error).code === 'EEXIST') return false;
    throw error;
  }
}

/**
 * @param {string} file
 * @returns {Owner | undefined} nothing when the file is gone or was cut off while it was written
 */
function readOwner(file) {
  try {
    return JSON.parse(readFileSync(file, 'utf8'));
  } catch {
    return undefined;
  }
}

/** @param {Owner | undefined} owner */
function isOurs(owner) {
  return owner?.pid === process.pid && owner.host === hostname();
}

/**
 * @param {string} file
 * @param {Owner | undefined} owner
 */
function isAbandoned(file, owner) {
  const touched = statSync(file, { throwIfNoEntry: false })?.mtimeMs;
  if (touched === undefined) return false;
  const age = Date.now() - touched;
  if (owner === undefined || owner.host !== hostname()) return age > STALE;
  if (owner.helper !== undefined && isAlive(owner.helper)) return age > LONGEST_HELPER;
  return age > STALE || isOurs(owner) || !isAlive(owner.pid); // ours, and we do not hold it: the id was given out again
}

/** @param {number} pid */
function isAlive(pid) {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return /** @type {NodeJS.ErrnoException} */ (error).code === 'EPERM';
  }
}
