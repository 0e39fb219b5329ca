/** Programs, and processes that are asked something. */
import { spawn } from 'node:child_process';
import { accessSync, constants, statSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { pathToFileURL } from 'node:url';

const patienceMs = 60_000;

/**
 * The first executable of that name on the PATH.
 * @param {string} name
 * @param {NodeJS.ProcessEnv} env
 */
export function findProgram(name, env) {
  const files = (env.PATH ?? '').split(delimiter).map((folder) => join(folder || '.', name));
  return files.find((file) => {
    try {
      accessSync(file, constants.X_OK);
      return statSync(file).isFile();
    } catch {
      return false;
    }
  });
}

/**
 * Runs a program to its end, for a minute at most.
 * @param {string} program
 * @param {readonly string[]} args
 * @param {NodeJS.ProcessEnv} env
 * @returns {Promise<{ ok: boolean, output: string, errors: string }>}
 */
export function ask(program, args, env) {
  return new Promise((resolve) => {
    const child = spawn(program, args, { env, stdio: ['ignore', 'pipe', 'pipe'], timeout: patienceMs });
    let [output, errors] = ['', ''];
    child.stdout.on('data', (text) => (output += text));
    child.stderr.on('data', (text) => (errors += text));
    child.on('error', (error) => resolve({ ok: false, output, errors: error.message }));
    child.on('close', (code, signal) =>
      resolve({ ok: code === 0, output, errors: errors.trim() || (code === 0 ? '' : `ended with ${signal ?? code}`) }),
    );
  });
}

/**
 * Runs a module's text in a Node of its own; what it writes to stdout is the answer.
 * @param {string} text
 * @param {readonly string[]} args
 * @param {NodeJS.ProcessEnv} env
 */
export const askNode = (text, args, env) =>
  ask(process.execPath, ['--input-type=module', '-e', text, '--', ...args], env);

/** @param {{ readonly root: string }} checkout @param {string} name of a package of ours @param {string} module */
export const built = ({ root: where }, name, module) => pathToFileURL(join(where, name, 'dist', `${module}.js`)).href;
