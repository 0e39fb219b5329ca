/** Checks that are run one after the other whether or not one fails, and counted for a last line `N passed, N failed`. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';

export const root = resolve(import.meta.dirname, '..');

const counts = { passed: 0, failed: 0 };

/**
 * @param {string} what
 * @param {string} command
 * @param {readonly string[]} args
 * @param {NodeJS.ProcessEnv} [env]
 * @returns {boolean} whether it ended well
 */
export function run(what, command, args, env = process.env) {
  const started = performance.now();
  const { status, signal, error } = spawnSync(command, args, { cwd: root, stdio: 'inherit', env });
  const how = status === 0 ? 'passed' : `failed (${error?.message ?? signal ?? `exit code ${status}`})`;
  console.log(`${what}: ${how} in ${((performance.now() - started) / 1000).toFixed(1)} s\n`);
  return status === 0;
}

/** @param {string} name of a program of node_modules/.bin */
export function tool(name) {
  return join(root, 'node_modules', '.bin', name);
}

/** @param {boolean} passed */
export function count(passed) {
  counts[passed ? 'passed' : 'failed']++;
}

/**
 * Runs vitest and counts its tests.
 * @param {string} what
 * @param {readonly string[]} args
 * @param {NodeJS.ProcessEnv} [env]
 */
export function countTests(what, args, env) {
  const scratch = mkdtempSync(join(tmpdir(), 'crossfold-test-'));
  try {
    const file = join(scratch, 'vitest.json');
    const reporters = ['--reporter=default', '--reporter=json', `--outputFile.json=${file}`];
    const endedWell = run(what, tool('vitest'), ['run', ...reporters, ...args], env);
    const failures = readResults(file);
    counts.failed += failures === 0 && !endedWell ? 1 : failures;
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

/**
 * @param {string} file of vitest's JSON reporter
 * @returns {number} tests that failed; those that passed are counted
 */
function readResults(file) {
  try {
    /** @type {{ numPassedTests: number, numFailedTests: number, testResults: { status: string, assertionResults: unknown[] }[] }} */
    const results = JSON.parse(readFileSync(file, 'utf8'));
    counts.passed += results.numPassedTests;
    // A file that cannot even be loaded fails without containing a test that failed.
    const unloadable = results.testResults.filter(
      ({ status, assertionResults }) => status === 'failed' && assertionResults.length === 0,
    );
    return results.numFailedTests + unloadable.length;
  } catch {
    // No results at all: the caller counts that vitest did not end well.
    return 0;
  }
}

/** Prints the last line, and sets the exit code by it. */
export function conclude() {
  process.exitCode = counts.failed === 0 ? 0 : 1;
  console.log(`${counts.passed} passed, ${counts.failed} failed`);
}
