/** Step: what package-lock.json lists, by npm. */
import { spawn } from 'node:child_process';
import { accessSync, constants, readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { makeFolder } from './context.mjs';
import { lockWhileRunning } from './lock.mjs';
import { MissingError, timed } from './say.mjs';

/** npm's own bounds let it try for over a minute where there is no network; these give up after some 20 s. */
const PATIENCE = ['--fetch-retry-mintimeout=2000', '--fetch-retry-maxtimeout=20000'];

/** @type {import('./context.mjs').Step} */
export const packages = {
  missing({ root, modules }) {
    const wanted = readPackages(join(root, 'package-lock.json'));
    const installed = readPackages(join(modules, '.package-lock.json'));
    if (wanted === undefined)
      throw new MissingError('package-lock.json is missing or damaged', ['git checkout package-lock.json']);
    return installed === undefined || !satisfies(installed, wanted);
  },

  provide(context) {
    return timed('installing npm packages', () => npmCi(context));
  },
};

/**
 * @param {import('./context.mjs').Context} context
 * @returns {Promise<void>}
 */
function npmCi({ root, cache, env: given }) {
  const env = npmEnv(given, cache);
  // Started from npm, use that very npm; npm reads NODE_ENV and `omit`, but a checkout always needs its tools.
  const npm = env.npm_execpath;
  const [command, first] = npm?.endsWith('.js') ? [process.execPath, [npm]] : ['npm', []];
  const args = [
    ...first,
    'ci',
    '--ignore-scripts',
    '--include=dev',
    '--no-audit',
    '--no-fund',
    '--loglevel=error',
    ...PATIENCE,
  ];
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { cwd: root, env, stdio: ['ignore', 'pipe', 'pipe'] });
    lockWhileRunning(child);
    let output = '';
    child.stdout.on('data', (text) => (output += text));
    child.stderr.on('data', (text) => (output += text));
    child.on('error', () =>
      reject(new MissingError('npm is not on the PATH', ['install Node.js together with npm: https://nodejs.org'])),
    );
    child.on('close', (code) => (code === 0 ? resolve() : reject(failure(output, code))));
  });
}

/**
 * The environment for npm: where its own cache cannot be written, as in a home that is read-only, it has one in ours.
 * @param {NodeJS.ProcessEnv} env
 * @param {string} cache
 * @param {(folder: string) => boolean} takes whether a folder is there, or can be made, and can be written
 * @returns {NodeJS.ProcessEnv}
 */
export function npmEnv(env, cache, takes = isWritable) {
  const own = env.npm_config_cache || join(env.HOME || homedir(), '.npm');
  return takes(own) ? env : { ...env, npm_config_cache: join(cache, 'npm') };
}

/** @param {string} folder */
function isWritable(folder) {
  try {
    makeFolder(folder);
    accessSync(folder, constants.W_OK);
    return true;
  } catch {
    return false;
  }
}

/** @typedef {{ version?: string, integrity?: string, optional?: boolean, link?: boolean }} Locked */

/**
 * npm writes the hidden lock file last, so a cut-off installation has none.
 * @param {string} file
 * @returns {Record<string, Locked> | undefined}
 */
function readPackages(file) {
  try {
    return JSON.parse(readFileSync(file, 'utf8')).packages;
  } catch {
    return undefined;
  }
}

/**
 * Whether everything that the lock file wants is installed. Optional packages are for other platforms as a rule.
 * @param {Record<string, Locked>} installed
 * @param {Record<string, Locked>} wanted
 */
export function satisfies(installed, wanted) {
  return Object.entries(wanted).every(([path, want]) => {
    if (path === '' || want.optional) return true;
    const have = installed[path];
    return have !== undefined && plain(have.version) === plain(want.version) && have.integrity === want.integrity;
  });
}

/**
 * npm writes down what a package says of its own version, or what it makes of that: `v0.0.21` is 0.0.21.
 * @param {string | undefined} version
 */
const plain = (version) => version?.replace(/^v/, '');

/**
 * @param {string} output
 * @param {number | null} code
 */
function failure(output, code) {
  const said = output.split('\n').map((line) => line.replace(/^npm (error|ERR!) ?/, '').trim());
  const reason = said.filter((line) => line !== '' && !/complete log of this run|^code /.test(line)).slice(0, 3);
  const network = /ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ETIMEDOUT|ENETUNREACH|network|certificate/i.test(output);
  return new MissingError(
    `npm ci failed (${reason.join(' ') || `exit code ${code}`})`,
    network
      ? ['a network that reaches an npm registry (npm config get registry); then run the same command again']
      : ['run npm ci to see everything that npm says'],
  );
}
