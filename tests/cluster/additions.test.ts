import { execFile } from 'node:child_process';
import { readdirSync, rmSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { copyCheckout } from '../support/checkout-copy.ts';
import { read, root } from '../support/documents.ts';

// What CONTRIBUTING.md shows a thing of each kind to be added by: it is added to a copy of the sources, which is then
// built, checked and tested as the checkout is.
interface Addition {
  readonly patch: string;
  /** Where CONTRIBUTING.md says that such a thing is declared. */
  readonly declaredIn: string;
  readonly files: readonly { readonly path: string; readonly isNew: boolean }[];
}

const additions: readonly Addition[] = [...read('CONTRIBUTING.md').matchAll(/^\| an? .*\]\((docs\/[^)]+)\)/gm)].map(
  ([row, patch = '']) => {
    const text = read(patch);
    const files = [...text.matchAll(/^diff --git a\/(\S+) b\/\S+\n(new file)?/gm)];
    return {
      patch,
      declaredIn: /`([^`]+)`/.exec(row)?.[1] ?? '',
      files: files.map(([, path = '', made]) => ({ path, isNew: made !== undefined })),
    };
  },
);
const tests = additions.flatMap(({ files }) =>
  files.map(({ path }) => path).filter((path) => path.endsWith('.test.ts')),
);
/** Those whose schema is taken apart by a `switch` or a record somewhere. */
const exhaustive = additions.filter(({ patch }) => /layer|optimizer|search-method|transport/.test(patch));

let copy: string;

interface Run {
  readonly code: unknown;
  readonly said: string;
}

const run = (program: string, words: readonly string[]): Promise<Run> =>
  new Promise((resolve) => {
    // A folder for temporary files within somebody's repository is none of it.
    const env = { ...process.env, GIT_CEILING_DIRECTORIES: join(copy, '..'), NO_COLOR: '1', FORCE_COLOR: '0' };
    execFile(program, words, { cwd: copy, env, maxBuffer: 2 ** 24 }, (error, out, err) =>
      resolve({ code: error === null ? 0 : (error.code ?? error.signal), said: out + err }),
    );
  });
const tool = (name: string, ...words: readonly string[]): Promise<Run> =>
  run(process.execPath, [join(root, 'node_modules', name), ...words]);
const tsc = (...words: readonly string[]): Promise<Run> => tool('typescript/bin/tsc', ...words);
const apply = (...words: readonly string[]): Promise<Run> => run('git', ['apply', '--whitespace=nowarn', ...words]);
const well = { code: 0, said: '' };

beforeAll(() => {
  copy = copyCheckout('additions', ['vitest.config.ts', 'biome.json', 'tests/support']);
  const checked = { extends: join(root, 'tests/tsconfig.json'), compilerOptions: { rootDir: '.' }, include: tests };
  writeFileSync(join(copy, 'tsconfig.additions.json'), JSON.stringify(checked));
});
afterAll(() => rmSync(copy, { recursive: true, force: true }));

describe('CONTRIBUTING.md', () => {
  it('has an addition of every kind, each with a test of its own', () => {
    const kinds = additions.map(({ patch }) => basename(patch, '.patch')).sort();
    expect(kinds).toEqual(['dataset', 'layer', 'metric', 'optimizer', 'search-method', 'transport']);
    expect(kinds.map((kind) => `${kind}.patch`)).toEqual(readdirSync(join(root, 'docs/additions')).sort());
    expect(tests).toHaveLength(additions.length);
    expect(exhaustive).toHaveLength(4);
  });

  it('what is only declared does not compile: the compiler names the other places', async () => {
    for (const { patch, declaredIn } of exhaustive)
      expect(await apply(`--include=${declaredIn}`, join(root, patch)), patch).toEqual(well);
    const { said } = await tsc('-b', '--pretty', 'false');
    for (const { patch, declaredIn, files } of exhaustive) {
      const others = files.filter(({ path, isNew }) => !isNew && path !== declaredIn).map(({ path }) => path);
      expect(others.length, patch).toBeGreaterThan(0);
      expect(others.filter((path) => !said.includes(`${path}(`))).toEqual([]);
      expect(await apply('-R', `--include=${declaredIn}`, join(root, patch)), patch).toEqual(well);
    }
  });

  it('the additions, all together, build, pass lint and types, and do what their tests say', async () => {
    for (const { patch } of additions) expect(await apply(join(root, patch)), patch).toEqual(well);
    expect(await tsc('-b', '--pretty', 'false')).toEqual(well);
    const touched = [...new Set(additions.flatMap(({ files }) => files.map(({ path }) => path)))];
    expect(await tool('@biomejs/biome/bin/biome', 'ci', '--colors=off', ...touched)).toMatchObject({ code: 0 });
    expect(await tsc('-p', 'tsconfig.additions.json', '--pretty', 'false')).toEqual(well);
    const { code, said } = await tool('vitest/vitest.mjs', 'run', ...tests);
    expect({ code, said: code === 0 ? '' : said }).toEqual(well);
    expect(said).toContain(`Test Files  ${tests.length} passed`);
  });
});
