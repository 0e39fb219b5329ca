import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { expect, it } from 'vitest';

const load = resolve(import.meta.dirname, '../../worker/dist/engine/load.js');
const script = `const { loadEngine } = await import(${JSON.stringify(load)});
  process.stderr.write('before\\n');
  const { identity } = await loadEngine({ threads: 1, quiet: true });
  process.stderr.write('after ' + identity.backend + '\\n');`;
const words = ['--input-type=module', '-e', script];
const env = { ...process.env, CROSSFOLD_ENGINE: 'tensorflow' };

it('TensorFlow is loaded without a word on stderr, which works as before', async () => {
  // A pipe, as a shell makes it: what Node makes for its children is a socket.
  const shell = ['-c', '"$0" "$@" 2>&1 >/dev/null | cat', process.execPath, ...words];
  const child = spawn('sh', shell, { env, stdio: ['ignore', 'pipe', 'ignore'] });
  let said = '';
  child.stdout.on('data', (text) => {
    said += text;
  });
  expect((await once(child, 'close'))[0]).toBe(0);
  expect(said).toBe('before\nafter tensorflow\n');
});

it('a file that stderr goes to is added to, not written over', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'crossfold quiet '));
  try {
    const file = join(folder, 'log');
    const child = spawn(process.execPath, words, { env, stdio: ['ignore', 'ignore', openSync(file, 'a')] });
    expect((await once(child, 'close'))[0]).toBe(0);
    expect(readFileSync(file, 'utf8')).toBe('before\nafter tensorflow\n');
  } finally {
    rmSync(folder, { recursive: true });
  }
});
