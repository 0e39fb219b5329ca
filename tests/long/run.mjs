/**
 * `npm run test:long`: the slow proofs. Without arguments all of them but these; arguments go to vitest.
 * `npm run test:long -- chaos [--minutes M] [--seed S]`: random faults for so long, replayed by their seed.
 * `npm run test:long -- soak [--minutes M]`: small jobs and faults for so long, and what every process takes up meanwhile.
 * `npm run test:long -- fuzz [--cases N] [--seed S]`: so many hostile inputs for everything that reads what others have sent.
 */
import { spawnSync } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';

const root = resolve(import.meta.dirname, '../..');
const [first, ...rest] = process.argv.slice(2);
const vitest = ['run', '--config', 'vitest.long.config.ts'];
const env = { ...process.env };
if (first === 'chaos') {
  const { values } = parseArgs({
    args: rest,
    options: { minutes: { type: 'string', default: '5' }, seed: { type: 'string', default: String(randomInt(1e6)) } },
  });
  if (!(Number(values.minutes) > 0) || !/^\d+$/.test(values.seed)) {
    console.error('usage: npm run test:long -- chaos [--minutes M] [--seed S]');
    process.exit(2);
  }
  Object.assign(env, { CROSSFOLD_CHAOS_MINUTES: values.minutes, CROSSFOLD_CHAOS_SEED: values.seed });
  vitest.push('tests/long/chaos.test.ts', '--disable-console-intercept');
} else if (first === 'soak') {
  const { values } = parseArgs({ args: rest, options: { minutes: { type: 'string', default: '60' } } });
  if (!(Number(values.minutes) > 0)) {
    console.error('usage: npm run test:long -- soak [--minutes M]');
    process.exit(2);
  }
  Object.assign(env, { CROSSFOLD_SOAK_MINUTES: values.minutes });
  vitest.push('tests/long/soak.test.ts', '--disable-console-intercept');
} else if (first === 'fuzz') {
  const { values } = parseArgs({
    args: rest,
    options: {
      cases: { type: 'string', default: '100000' },
      seed: { type: 'string', default: String(randomInt(1e6)) },
    },
  });
  if (!/^\d+$/.test(values.cases) || !/^\d+$/.test(values.seed)) {
    console.error('usage: npm run test:long -- fuzz [--cases N] [--seed S]');
    process.exit(2);
  }
  console.log(`seed ${values.seed}`);
  Object.assign(env, { CROSSFOLD_FUZZ_RUNS: values.cases, CROSSFOLD_FUZZ_SEED: values.seed });
  vitest.push('tests/long/fuzz.test.ts', '--testTimeout', '3600000');
} else {
  const apart = ['chaos', 'soak', 'fuzz'].flatMap((name) => ['--exclude', `tests/long/${name}.test.ts`]);
  vitest.push(...apart, ...process.argv.slice(2));
}
const command = join(root, 'node_modules/.bin/vitest');
const { status } = spawnSync(command, vitest, { cwd: root, env, stdio: 'inherit' });
process.exitCode = status ?? 1;
