import { existsSync, readdirSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { main } from '@crossfold/coordinator/cli/main';
import { Experiment } from '@crossfold/shared/config/experiment';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { experimentSchema, reference, schemaText } from '../../docs/generate.mjs';
import { documentedCommands, mentionedVerbs, pages, read, root } from '../support/documents.ts';
import { fakeWorld } from '../support/fake-client.ts';

const commands = [...documentedCommands, ...mentionedVerbs].map(({ page, line }): [page: string, line: string] => [
  page,
  line,
]);

describe('what is made from the schemas is up to date (npm run docs)', () => {
  const schema = experimentSchema();
  it('docs/experiment.schema.json', () => {
    expect(read('docs/experiment.schema.json')).toBe(schemaText(schema));
  });
  it('docs/experiment.md, in which every field of the experiment has its row', () => {
    expect(read('docs/experiment.md')).toBe(reference(schema));
    for (const field of Object.keys(Experiment.def.innerType.shape))
      expect(reference(schema)).toContain(`| \`${field}\` |`);
  });
  it('every example uses fields that the schema knows', () => {
    for (const file of readdirSync(join(root, 'examples')).filter((name) => name.endsWith('.yaml'))) {
      const experiment = parse(read(`examples/${file}`)) as Record<string, unknown>;
      expect(Object.keys(schema.properties ?? {})).toEqual(expect.arrayContaining(Object.keys(experiment)));
      expect(Object.keys(experiment)).toEqual(expect.arrayContaining(schema.required ?? []));
    }
  });
});

/** Help of a verb, of a verb of `inspect` or `data` included. */
async function helpOf(words: readonly string[]): Promise<string> {
  const world = fakeWorld({});
  await main([...words.filter((word) => /^[a-z]+$/.test(word)).slice(0, 2), '--help'], world.context);
  return world.out();
}

describe('commands in the documents', () => {
  it('are there', () => expect(commands.length).toBeGreaterThan(15));

  it.each(commands.filter(([, line]) => /^(npx )?crossfold /.test(line)))('%s: %s', async (_, line) => {
    const words = line.replace(/^(npx )?crossfold /, '').split(/\s+/);
    const verb = words[0] ?? '';
    const help = await helpOf(verb === 'inspect' || verb === 'data' ? words : [verb]);
    if (!verb.startsWith('--')) expect(help).toContain(`Usage: crossfold ${verb}`);
    for (const flag of words.filter((word) => /^--[a-z]/.test(word))) expect(help).toContain(flag.split('=')[0]);
    for (const file of words.filter((word) => /^examples\//.test(word)))
      expect(existsSync(join(root, file))).toBe(true);
  });

  it.each(commands.filter(([, line]) => /^(npm|node) /.test(line)))('%s: %s', (_, line) => {
    const { scripts } = JSON.parse(read('package.json')) as { scripts: Record<string, string> };
    const [program, first = '', second = ''] = line.split(/\s+/);
    if (program === 'node') expect(existsSync(join(root, first))).toBe(true);
    else if (first !== 'config') expect(Object.keys(scripts)).toContain(first === 'run' ? second : first);
  });
});

it.each(
  commands.flatMap(([, line]) =>
    [...line.matchAll(/^npm (?:test|run test:long) -- (\S+)/g)].map(([, name = '']) => name),
  ),
)('there is a test called %s', (name) => {
  const files = ['unit', 'cluster', 'engine', 'long'].flatMap((kind) =>
    readdirSync(join(root, 'tests', kind)).map((file) => `tests/${kind}/${file}`),
  );
  expect(files.some((file) => file.includes(name))).toBe(true);
});

it("the README's tree has every folder of the checkout, and no other", () => {
  const [, tree = ''] = /## The tree\n\n```\n([\s\S]*?)```/.exec(read('README.md')) ?? [];
  const rows = [...tree.matchAll(/^([\w-]+)\/ /gm)].map(([, name]) => name);
  const ignored = read('.gitignore').split('\n');
  const folders = readdirSync(root, { withFileTypes: true })
    .filter((entry) => entry.isDirectory() && !entry.name.startsWith('.') && !ignored.includes(`${entry.name}/`))
    .map(({ name }) => name);
  expect(rows.sort()).toEqual(folders.sort());
  const kinds = readdirSync(join(root, 'tests'), { withFileTypes: true }).filter((entry) => entry.isDirectory());
  for (const { name } of kinds) expect(tree).toContain(`${name}/`);
});

describe('links', () => {
  it.each(pages)('%s leads nowhere in vain', (page) => {
    const targets = [...read(page).matchAll(/\]\(([^)#\s]+)[^)]*\)/g)].map(([, target = '']) => target);
    const local = targets.filter((target) => !/^[a-z]+:/.test(target));
    const missing = local.filter((target) => !existsSync(resolve(root, page, '..', target)));
    expect(missing).toEqual([]);
  });
});

describe('CONTRIBUTING', () => {
  const rows = read('CONTRIBUTING.md')
    .split('\n')
    .filter((line) => /^\| a/.test(line));

  it('has a row for each thing that may be added', () => expect(rows.length).toBeGreaterThanOrEqual(13));

  it.each(rows)('%s', (row) => {
    const mentions = [...row.matchAll(/`([\w./-]+)`(?: \(`(\w+)`(?:, `(\w+)`)?\))?/g)];
    const files = mentions.filter(([, text = '']) => text.includes('/'));
    expect(files.length).toBeGreaterThanOrEqual(1);
    for (const [, file = '', ...names] of files) {
      expect(existsSync(join(root, file)), file).toBe(true);
      for (const name of names) if (name !== undefined) expect(read(file), file).toMatch(new RegExp(`\\b${name}\\b`));
    }
    // What it was done for is found where it says that such things are declared or done.
    const example = /\| `([\w-]+)` \|[^|]*\|$/.exec(row)?.[1];
    const texts = files.filter(([, file = '']) => /\.\w+$/.test(file)).map(([, file = '']) => read(file));
    if (example !== undefined) expect(texts.some((text) => text.includes(example))).toBe(true);
  });
});
