import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { WatchedClusters } from '../support/watched-clusters.ts';

const root = resolve(import.meta.dirname, '../..');
let checkout: string;
let file: string;

// A checkout of its own, so that the committed copy stays as it is.
beforeAll(() => {
  checkout = mkdtempSync(join(tmpdir(), 'crossfold notebook '));
  for (const name of readdirSync(root))
    if (!['.git', 'notebooks', 'runs', 'setup', 'node_modules'].includes(name))
      symlinkSync(join(root, name), join(checkout, name));
  // Set-up and modules are found by where they are, not by where links lead.
  cpSync(join(root, 'setup'), join(checkout, 'setup'), { recursive: true });
  cpSync(join(root, 'notebooks'), join(checkout, 'notebooks'), { recursive: true });
  mkdirSync(join(checkout, 'tmp'));
  mkdirSync(join(checkout, 'node_modules'));
  for (const name of readdirSync(join(root, 'node_modules')))
    symlinkSync(join(root, 'node_modules', name), join(checkout, 'node_modules', name));
  file = join(checkout, 'notebooks', 'convnets.ipynb');
});
afterAll(() => rmSync(checkout, { recursive: true, force: true }));

const { CROSSFOLD_PHOTOGRAPHS: _, ...env } = process.env;
/** Its clusters have their state in the checkout. */
async function run(): Promise<{ readonly status: unknown; readonly stderr: string }> {
  const child = spawn('npm', ['run', 'notebook'], { cwd: checkout, env: { ...env, TMPDIR: join(checkout, 'tmp') } });
  let stderr = '';
  child.stderr.on('data', (text) => {
    stderr += text;
  });
  child.stdout.resume();
  const [status] = await once(child, 'close');
  return { status, stderr };
}

describe('npm run notebook', () => {
  it('runs from top to bottom without photographs, and writes its outputs', { timeout: 900_000 }, async () => {
    const clusters = WatchedClusters.below(join(checkout, 'tmp'));
    const { status, stderr } = await run();
    const faults = await clusters.close();
    expect({ status, stderr: status === 0 ? '' : stderr }).toEqual({ status: 0, stderr: '' });
    expect(faults).toEqual([]);
    expect(readFileSync(file, 'utf8')).toContain('going on with threes and eights');
  });

  it('names the cell that fails, and leaves the committed copy as it was', { timeout: 120_000 }, async () => {
    const notebook = JSON.parse(readFileSync(file, 'utf8')) as { cells: unknown[] };
    const cell = { cell_type: 'code', id: 'bad', metadata: {}, source: 'const n: number = "text";', outputs: [] };
    const broken = JSON.stringify({ ...notebook, cells: [{ ...cell, execution_count: null }] });
    writeFileSync(file, broken);
    const { status, stderr } = await run();
    expect(status).toBe(1);
    expect(stderr).toContain('cell 1 failed');
    expect(stderr).toContain("Type 'string' is not assignable to type 'number'");
    expect(readFileSync(file, 'utf8')).toBe(broken);
    expect(readdirSync(join(checkout, 'notebooks'))).toContain('convnets.failed.ipynb');
  });
});
