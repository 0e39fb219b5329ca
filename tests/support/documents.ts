import { readdirSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';

export const root = resolve(import.meta.dirname, '../..');
export const read = (file: string): string => readFileSync(join(root, file), 'utf8');

const below = (folder: string): string[] =>
  readdirSync(join(root, folder))
    .filter((name) => name.endsWith('.md'))
    .map((name) => `${folder}/${name}`);

/** Every page that a user reads. */
export const pages: readonly string[] = [
  'README.md',
  'CONTRIBUTING.md',
  ...['docs', 'dashboards', 'notebooks'].flatMap(below),
];

const isCommand = (line: string): boolean => /^([A-Z_]+=\S+ )*(npm|npx|node|docker|kubectl|jupyter)( |$)/.test(line);

/** Commands in a page's blocks, without comments and continuations, in order; examples of output are none. */
const blockCommands = (text: string): string[] =>
  [...text.matchAll(/^```([^\n]*)\n([\s\S]*?)^```$/gm)].flatMap(([, language = '', block = '']) =>
    block
      .replaceAll(/\\\n\s*/g, '')
      .split('\n')
      .map((line) => line.replace(/(^|\s)#.*$/, '').trim())
      .filter((line) => line !== '' && (language.startsWith('sh') || (language === '' && isCommand(line)))),
  );

/** What is said in code within a sentence or a table. */
const inlineCode = (text: string): string[] =>
  [...text.replaceAll(/^```[\s\S]*?^```$/gm, '').matchAll(/`([^`\n]+)`/g)].map(([, code = '']) => code.trim());

/** Whole commands; `npm ci failed` is a message. */
const inlineCommands = (text: string): string[] =>
  inlineCode(text).filter((code) => isCommand(code) && code.includes(' ') && !code.endsWith(' failed'));

export interface DocumentedCommand {
  readonly page: string;
  readonly line: string;
}

const fromPages = (linesOf: (text: string) => readonly string[]): DocumentedCommand[] =>
  pages.flatMap((page) => [...new Set(linesOf(read(page)))].map((line) => ({ page, line })));

/** Every command that the pages name, each page's own once. */
export const documentedCommands: readonly DocumentedCommand[] = fromPages((text) => [
  ...blockCommands(text),
  ...inlineCommands(text),
]);

/** Where a sentence names a verb, as in `crossfold status ID`. */
export const mentionedVerbs: readonly DocumentedCommand[] = fromPages((text) =>
  inlineCode(text).filter((code) => /^crossfold [a-z]/.test(code)),
);
