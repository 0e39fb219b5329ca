/**
 * What `npm test` runs once everything is set up: build, lint, type check of the tests, tests. All of them run even when
 * one fails, and the last line counts them: `N passed, N failed`. Arguments go to vitest (a part of a file's name, -t ...).
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { contextOf } from './context.mjs';
import { prometheus } from './prometheus.mjs';
import { report, setUp } from './steps.mjs';

const root = resolve(import.meta.dirname, '..');
const scratch = mkdtempSync(join(tmpdir(), 'crossfold-test-'));
const counts = { passed: 0, failed: 0 };

/**
 * @param {string} what
 * @param {string} program of node_modules/.bin
 * @param {readonly string[]} args
 * @returns {boolean} whether it ended well
 */
function run(what, program, args) {
  const started = performance.now();
  const command = join(root, 'node_modules', '.bin', program);
  const { status, signal, error } = spawnSync(command, args, { cwd: root, stdio: 'inherit' });
  const how = status === 0 ? 'passed' : `failed (${error?.message ?? signal ?? `exit code ${status}`})`;
  console.log(`${what}: ${how} in ${((performance.now() - started) / 1000).toFixed(1)} s\n`);
  return status === 0;
}

/** @param {boolean} passed */
function count(passed) {
  counts[passed ? 'passed' : 'failed']++;
}

/**
 * @param {string} file of vitest's JSON reporter
 * @param {boolean} endedWell
 */
function countTests(file, endedWell) {
  let failures = 0;
  try {
    /** @type {{ numPassedTests: number, numFailedTests: number, testResults: { status: string, assertionResults: unknown[] }[] }} */
    const results = JSON.parse(readFileSync(file, 'utf8'));
    // A file that cannot even be loaded fails without containing a test that failed.
    const unloadable = results.testResults.filter(
      (file) => file.status === 'failed' && file.assertionResults.length === 0,
    );
    failures = results.numFailedTests + unloadable.length;
    counts.passed += results.numPassedTests;
  } catch {
    // No results at all: counted below.
  }
  counts.failed += failures === 0 && !endedWell ? 1 : failures;
}

/** Without it its tests are skipped, and say so; where everything is to be tested that is a failure. */
async function provideTools() {
  try {
    await setUp(contextOf(root, process.env), [prometheus]);
  } catch (error) {
    const code = report(error);
    if (process.env.CI) {
      counts.failed++;
      process.exitCode = code;
    }
  }
}

try {
  await provideTools();
  count(run('build', 'tsc', ['-b']));
  count(run('lint', 'biome', ['ci']));
  count(run('type check', 'tsc', ['-p', 'tests/tsconfig.json']));
  const results = join(scratch, 'vitest.json');
  const reporters = ['--reporter=default', '--reporter=json', `--outputFile.json=${results}`];
  countTests(results, run('tests', 'vitest', ['run', ...reporters, ...process.argv.slice(2)]));
} finally {
  rmSync(scratch, { recursive: true, force: true });
}
process.exitCode = counts.failed === 0 ? 0 : 1;
console.log(`${counts.passed} passed, ${counts.failed} failed`);
