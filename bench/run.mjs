// `npm run bench -- NAME [ARGUMENT...]`: builds, then runs bench/NAME.ts.
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';

const root = join(import.meta.dirname, '..');
const names = readdirSync(import.meta.dirname)
  .filter((file) => file.endsWith('.ts'))
  .map((file) => file.slice(0, -'.ts'.length));
const [name = '', ...rest] = process.argv.slice(2);
if (!names.includes(name)) {
  console.error(`which benchmark? One of: ${names.join(', ')}`);
  process.exit(2);
}
const run = (...args) => {
  const { status } = spawnSync(process.execPath, args, { cwd: root, stdio: 'inherit' });
  if (status !== 0) process.exit(status ?? 1);
};
const compiler = join(root, 'node_modules/typescript/bin/tsc');
if (!existsSync(compiler)) {
  console.error('run `npm run setup` first');
  process.exit(2);
}
run(compiler, '-b', 'bench');
run(join(root, 'node_modules/.crossfold/bench', `${name}.js`), ...rest);
