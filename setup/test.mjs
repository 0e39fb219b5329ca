/**
 * What `npm test` runs once everything is set up: build, lint, type check of the tests, tests. All of them run even when
 * one fails, and the last line counts them: `N passed, N failed`. Arguments go to vitest (a part of a file's name, -t ...).
 */
import { contextOf } from './context.mjs';
import { conclude, count, countTests, root, run, tool } from './counted.mjs';
import { prometheus } from './prometheus.mjs';
import { report, setUp } from './steps.mjs';

/** Without it its tests are skipped, and say so; where everything is to be tested that is a failure. */
async function provideTools() {
  try {
    await setUp(contextOf(root, process.env), [prometheus]);
  } catch (error) {
    report(error);
    if (process.env.CI) count(false);
  }
}

await provideTools();
count(run('build', tool('tsc'), ['-b']));
count(run('lint', tool('biome'), ['ci']));
count(run('type check', tool('tsc'), ['-p', 'tests/tsconfig.json']));
countTests('tests', process.argv.slice(2));
conclude();
