/** Step: our own TypeScript, compiled. */
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { BuildError, timed } from './say.mjs';

/** @typedef {import('./context.mjs').Context} Context */

const WORKSPACES = ['shared', 'worker', 'coordinator', 'library'];

/** @type {import('./context.mjs').Step} */
export const build = {
  missing(context) {
    return (
      WORKSPACES.some((name) => !existsSync(join(context.root, name, 'dist'))) ||
      readStamp(context) !== fingerprint(context)
    );
  },

  async provide(context) {
    const before = fingerprint(context);
    await timed('compiling TypeScript', () => compileTypeScript(context));
    const stamp = stampOf(context);
    mkdirSync(dirname(stamp), { recursive: true });
    writeFileSync(`${stamp}.new`, before);
    renameSync(`${stamp}.new`, stamp);
  },
};

/**
 * @param {Context} context
 * @returns {Promise<void>}
 */
function compileTypeScript({ root, modules, env }) {
  return new Promise((resolve, reject) => {
    const tsc = join(modules, 'typescript', 'bin', 'tsc');
    const child = spawn(process.execPath, [tsc, '-b'], {
      cwd: root,
      env,
      stdio: ['ignore', process.stderr, process.stderr],
    });
    child.on('error', reject);
    child.on('close', (code) => (code === 0 ? resolve() : reject(new BuildError())));
  });
}

/**
 * Changes with any source: names, sizes and times of change. Quicker than asking the compiler.
 * @param {Context} context
 */
function fingerprint({ root }) {
  const hash = createHash('sha256');
  const note = (/** @type {string} */ file) => {
    const { mtimeMs, size } = statSync(file);
    hash.update(`${file}\0${mtimeMs}\0${size}\n`);
  };
  for (const name of WORKSPACES) {
    const source = join(root, name, 'src');
    for (const entry of readdirSync(source, { recursive: true, withFileTypes: true })) {
      if (entry.isFile()) note(join(entry.parentPath, entry.name));
    }
    for (const file of ['package.json', 'tsconfig.json']) note(join(root, name, file));
  }
  for (const file of ['tsconfig.json', 'tsconfig.base.json', 'package-lock.json']) note(join(root, file));
  return hash.digest('hex');
}

/** @param {Context} context */
function stampOf({ modules }) {
  return join(modules, '.crossfold', 'built');
}

/** @param {Context} context */
function readStamp(context) {
  try {
    return readFileSync(stampOf(context), 'utf8');
  } catch {
    return undefined;
  }
}
