// `npm run bench -- NAME [ARGUMENT...]`: builds, then runs bench/NAME.ts. Without a name: how fast a worker trains and how
// long the whole job takes (engine and job), as one document: `npm run bench [-- --peer keras,torch] [--json FILE]`.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';

const root = join(import.meta.dirname, '..');
const names = readdirSync(import.meta.dirname)
  .filter((file) => file.endsWith('.ts'))
  .map((file) => file.slice(0, -'.ts'.length));
const given = process.argv.slice(2);
const [name, ...rest] = given[0]?.startsWith('-') === false ? given : [undefined, ...given];
if (name !== undefined && !names.includes(name)) {
  console.error(`which benchmark? One of: ${names.join(', ')}; none: engine and job`);
  process.exit(2);
}
const run = (...args) => {
  const { status } = spawnSync(process.execPath, args, { cwd: root, stdio: 'inherit' });
  if (status !== 0) process.exit(status ?? 1);
};
const bench = (which, ...args) => run(join(root, 'node_modules/.crossfold/bench', `${which}.js`), ...args);
const compiler = join(root, 'node_modules/typescript/bin/tsc');
if (!existsSync(compiler)) {
  console.error('run `npm run setup` first');
  process.exit(2);
}
run(compiler, '-b', 'bench');
if (name === undefined) engineAndJob();
else bench(name, ...rest);

function engineAndJob() {
  const text = { type: 'string' };
  const { values } = parseArgs({ args: rest, options: { peer: text, rounds: text, seconds: text, json: text } });
  const option = (key, value) => (value === undefined ? [] : [`--${key}`, value]);
  const folder = mkdtempSync(join(tmpdir(), 'crossfold-bench-'));
  const files = { engine: join(folder, 'engine.json'), job: join(folder, 'job.json') };
  const rounds = option('rounds', values.rounds);
  bench(
    'engine',
    ...option('peer', values.peer),
    ...rounds,
    ...option('seconds', values.seconds),
    '--json',
    files.engine,
  );
  console.log();
  // PyTorch's users have no ready-made loop for this job.
  const keras = values.peer?.split(',').includes('keras') ? ['--peer', 'keras'] : [];
  bench('job', ...keras, ...rounds, '--json', files.job);
  const read = (file) => JSON.parse(readFileSync(file, 'utf8'));
  const json = `${JSON.stringify({ engine: read(files.engine), job: read(files.job) })}\n`;
  rmSync(folder, { recursive: true });
  if (values.json === undefined) process.stdout.write(`\n${json}`);
  else writeFileSync(values.json, json);
}
