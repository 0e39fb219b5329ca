import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { join, relative, resolve } from 'node:path';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';
import { z } from 'zod';
import { codeDigest, codeOf } from '../../setup/notebook/digest.mjs';

const root = resolve(import.meta.dirname, '../..');
const file = join(root, 'notebooks/convnets.ipynb');
const text = z.union([z.string(), z.array(z.string())]);
const Notebook = z.object({
  metadata: z.object({
    crossfold: z.object({ cells: z.string() }),
    kernelspec: z.object({ name: z.literal('tslab') }),
  }),
  cells: z.array(
    z.object({
      cell_type: z.enum(['code', 'markdown']),
      source: text,
      execution_count: z.int().nullish(),
      outputs: z
        .array(
          z.object({
            output_type: z.string(),
            name: z.string().optional(),
            text: text.optional(),
            data: z.record(z.string(), text).optional(),
          }),
        )
        .default([]),
    }),
  ),
});

const committed = await readFile(file, 'utf8');
const notebook = Notebook.parse(JSON.parse(committed));
const outputs = notebook.cells.flatMap((cell) => cell.outputs);

it('the committed outputs are of the cells as they are (npm run notebook), without errors', () => {
  expect(notebook.metadata.crossfold.cells).toBe(codeDigest(notebook));
  expect(outputs.filter(({ output_type, name }) => output_type === 'error' || name === 'stderr')).toEqual([]);
  const counts = notebook.cells.filter(({ cell_type }) => cell_type === 'code').map((cell) => cell.execution_count);
  expect(counts).toEqual(counts.map((_, i) => i + 1));
});

it('the committed copy is small, and shows pictures and plots', () => {
  expect(committed.length).toBeLessThan(3_000_000);
  const kinds = outputs.flatMap(({ data = {} }) => Object.keys(data));
  expect(kinds.filter((kind) => kind === 'image/png').length).toBeGreaterThanOrEqual(8);
  expect(kinds.filter((kind) => kind === 'image/svg+xml').length).toBeGreaterThanOrEqual(8);
  const said = outputs.flatMap((output) => [output.text ?? []].flat()).join('');
  expect(said).toMatch(/mean +\d+\.\d+ ± \d+\.\d+ %/);
});

it('the cells are TypeScript that fits the library', async () => {
  const place = join(root, 'node_modules', '.crossfold');
  await mkdir(place, { recursive: true });
  const folder = await mkdtemp(join(place, 'notebook-'));
  try {
    const code = codeOf(notebook)
      .join('\n')
      .replaceAll("'./stand-in.mjs'", `'${relative(folder, root)}/notebooks/stand-in.mjs'`);
    await writeFile(join(folder, 'cells.ts'), code);
    const config = {
      extends: join(root, 'tests/tsconfig.json'),
      // As the kernel has it: what is between brackets is taken to be there.
      compilerOptions: { noUncheckedIndexedAccess: false },
      include: [join(folder, 'cells.ts'), join(root, 'tests/support/tslab.d.ts')],
    };
    await writeFile(join(folder, 'tsconfig.json'), JSON.stringify(config));
    await writeFile(join(folder, 'package.json'), '{ "type": "module" }');
    const tsc = join(root, 'node_modules/typescript/bin/tsc');
    const result = await promisify(execFile)(process.execPath, [tsc, '-p', folder]).catch((error: unknown) => error);
    expect(result).toMatchObject({ stdout: '' });
  } finally {
    await rm(folder, { recursive: true });
  }
});
