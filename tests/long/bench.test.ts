import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';
import { documentedCommands, root } from '../support/documents.ts';

// The benchmarks as the documents name them: minutes each, and those with peers install them first.
const benchmarks = [...new Set(documentedCommands.map(({ line }) => line))].filter((line) =>
  /^npm run bench\b/.test(line),
);

it('are there', () => expect(benchmarks.length).toBeGreaterThanOrEqual(7));

it.each(benchmarks)('%s', { timeout: 3_600_000 }, async (line) => {
  const [program = '', ...words] = line.split(/\s+/);
  const { stdout } = await promisify(execFile)(program, words, { cwd: root, maxBuffer: 2 ** 26 });
  expect(stdout).toMatch(/\d/);
});
