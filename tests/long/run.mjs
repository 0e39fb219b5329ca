/**
 * `npm run test:long`: the slow proofs. Without arguments all of them but chaos; arguments go to vitest.
 * `npm run test:long -- chaos [--minutes M] [--seed S]`: random faults for so long, replayed by their seed.
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
} else {
  vitest.push('--exclude', 'tests/long/chaos.test.ts', ...process.argv.slice(2));
}
const command = join(root, 'node_modules/.bin/vitest');
const { status } = spawnSync(command, vitest, { cwd: root, env, stdio: 'inherit' });
process.exitCode = status ?? 1;
