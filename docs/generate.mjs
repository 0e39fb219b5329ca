/**
 * Writes docs/experiment.schema.json, which editors check and complete experiment files by, and docs/experiment.md, from
 * the very schemas that the commands check with (shared/src/config) and the comments at their fields. `npm run docs`; a
 * test sees to it that both are up to date.
 */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { Experiment } from '@crossfold/shared/config/experiment';
import { z } from 'zod';

/**
 * @typedef {{
 *   type?: string, const?: unknown, enum?: unknown[], anyOf?: Json[], oneOf?: Json[], items?: Json | false, prefixItems?: Json[],
 *   properties?: Record<string, Json>, required?: string[], default?: unknown, description?: string, pattern?: string,
 *   minimum?: number, maximum?: number, exclusiveMinimum?: number, exclusiveMaximum?: number, additionalProperties?: unknown,
 *   title?: string, $schema?: string,
 * }} Json the part of JSON Schema that zod writes
 */

const config = resolve(import.meta.dirname, '../shared/src/config');

/**
 * The comments of schemas and their fields, by what stands below them: `Name` of a schema, `Name.field` within it, and
 * `literal.field` within an alternative that a literal names.
 */
function comments() {
  /** @type {Map<string, string>} */
  const found = new Map();
  for (const file of readdirSync(config)) {
    const source = readFileSync(resolve(config, file), 'utf8');
    let schema = '';
    let literal = '';
    const pattern =
      /(?:\/\*\*((?:(?!\*\/)[\s\S])*)\*\/\s*)?(?:^(?:export )?const (\w+)\b|^\s+(?:(?:type|name|method): z\.literal\('([\w-]+)'\)|(\w+)(?=[:,])))/gm;
    for (const [, comment, constant, tag, field] of source.matchAll(pattern)) {
      if (constant !== undefined) [schema, literal] = [constant, ''];
      if (tag !== undefined) literal = tag;
      if (comment === undefined) continue;
      const text = comment
        .split('\n')
        .map((line) => line.replace(/^\s*\*? ?/, '').trim())
        .filter((line) => !line.startsWith('@'))
        .join(' ')
        .trim();
      if (constant !== undefined) found.set(constant, text);
      else if (field !== undefined) found.set(`${literal === '' ? schema : literal}.${field}`, text);
    }
  }
  return found;
}

/** Where the schema of a place of the experiment is declared. */
const declared = new Map([
  ['', 'Experiment'],
  ['dataset', 'DatasetSpec'],
  ['dataset.image', 'ImageSpec'],
  ['training', 'TrainingSpec'],
  ['training.earlyStopping', 'EarlyStoppingSpec'],
  ['training.clip', 'ClipSpec'],
  ['training.average', 'AverageSpec'],
  ['augment', 'AugmentSpec'],
]);

/** @returns {Json} */
export function experimentSchema() {
  const texts = comments();
  const schema = /** @type {Json} */ (
    z.toJSONSchema(Experiment, { io: 'input', reused: 'inline', unrepresentable: 'any' })
  );
  describe(schema, '', texts);
  // A file that has no name gets its own.
  const required = (schema.required ?? []).filter((field) => field !== 'name');
  return { ...schema, required, title: 'An experiment of Crossfold' };
}

/** @param {Json} schema @param {string} path @param {Map<string, string>} texts */
function describe(schema, path, texts) {
  const options = alternativesOf(schema);
  for (const option of options) {
    const tag = tagOf(option)?.value;
    for (const [field, below] of Object.entries(option.properties ?? {})) {
      const place = path === '' ? field : `${path}.${field}`;
      const text =
        (tag === undefined ? undefined : texts.get(`${tag}.${field}`)) ?? texts.get(`${declared.get(path)}.${field}`);
      if (text !== undefined) below.description = text;
      describe(below, place, texts);
    }
    if (option.items) describe(option.items, path, texts);
  }
}

/** @param {Json} schema @returns {Json[]} */
const alternativesOf = (schema) => {
  const options = schema.oneOf ?? schema.anyOf;
  return options === undefined ? [schema] : options.flatMap(alternativesOf);
};

/** The field whose one value says which alternative it is. @param {Json} schema */
function tagOf(schema) {
  for (const field of ['type', 'name', 'method']) {
    const value = schema.properties?.[field]?.const;
    if (value !== undefined) return { field, value: String(value) };
  }
  return undefined;
}

/** @param {Json} schema @returns {string} what a value may be, in words */
function allowed(schema) {
  const options = alternativesOf(schema);
  if (options.length > 1) return [...new Set(options.map(allowed))].join(' or ');
  if (schema.const !== undefined) return `\`${schema.const}\``;
  if (schema.enum !== undefined) return schema.enum.map((value) => `\`${value}\``).join(', ');
  if (schema.prefixItems !== undefined) return `[${schema.prefixItems.map(allowed).join(', ')}]`;
  if (schema.type === 'array') return schema.items ? `a list of ${allowed(schema.items)}` : 'a list';
  if (schema.type === 'boolean') return '`true`, `false`';
  if (schema.type === 'integer' || schema.type === 'number')
    return `${schema.type === 'integer' ? 'whole number' : 'number'}${range(schema)}`;
  if (schema.type === 'object') return schema.properties === undefined ? 'a mapping' : 'see below';
  return schema.type === 'string' ? 'text' : 'anything';
}

/** @param {Json} schema */
function range({ minimum, maximum, exclusiveMinimum, exclusiveMaximum }) {
  const most = maximum !== undefined && Math.abs(maximum) >= Number.MAX_SAFE_INTEGER ? undefined : maximum;
  const least = minimum !== undefined && Math.abs(minimum) >= Number.MAX_SAFE_INTEGER ? undefined : minimum;
  const bounds = [
    ...(least === undefined ? [] : [`≥ ${least}`]),
    ...(exclusiveMinimum === undefined ? [] : [`> ${exclusiveMinimum}`]),
    ...(most === undefined ? [] : [`≤ ${most}`]),
    ...(exclusiveMaximum === undefined ? [] : [`< ${exclusiveMaximum}`]),
  ];
  return bounds.length === 0 ? '' : ` ${bounds.join(', ')}`;
}

/** @param {unknown} text */
const cell = (text) => String(text).replaceAll('|', '\\|').replaceAll('\n', ' ');

/** @param {Json} schema an object @param {string | undefined} skip */
function table(schema, skip) {
  const rows = Object.entries(schema.properties ?? {})
    .filter(([field]) => field !== skip)
    .map(([field, below]) => {
      const fallback =
        below.default !== undefined
          ? `\`${JSON.stringify(below.default)}\``
          : (schema.required ?? []).includes(field)
            ? '**required**'
            : '';
      return `| \`${field}\` | ${cell(allowed(below))} | ${fallback} | ${cell(below.description ?? '')} |`;
    });
  if (rows.length === 0) return 'No other fields.';
  return ['| field | allowed | default | |', '| --- | --- | --- | --- |', ...rows].join('\n');
}

/** @param {Json} schema @param {string} path @returns {string[]} */
function sections(schema, path) {
  const options = alternativesOf(schema).filter(({ properties }) => properties !== undefined);
  const text = options.flatMap((option) => {
    const tag = tagOf(option);
    if (tag === undefined) return [table(option, undefined)];
    return [`**\`${tag.field}: ${tag.value}\`**`, table(option, tag.field)];
  });
  /** @type {Map<string, Json>} */
  const nested = new Map();
  for (const option of options)
    for (const [field, below] of Object.entries(option.properties ?? {})) {
      const place = path === '' ? field : `${path}.${field}`;
      const inner = below.type === 'array' && below.items ? below.items : below;
      if (alternativesOf(inner).some(({ properties }) => properties !== undefined) && !nested.has(place))
        nested.set(place, inner);
    }
  return [
    ...(text.length === 0
      ? []
      : [
          path === '' ? '## The file' : `${'#'.repeat(Math.min(4, 2 + path.split('.').length - 1))} \`${path}\``,
          ...text,
        ]),
    ...[...nested].flatMap(([place, below]) => sections(below, place)),
  ];
}

const introduction = `# The experiment file

<!-- Made by npm run docs from shared/src/config; edit the comments there. -->

An experiment is one YAML file. Everything in it is checked before anything starts: an unknown field, a value that is not
allowed or fields that do not go together end with one line that names the field, the value, what is allowed, and the line
in the file. \`npx crossfold run FILE --set training.epochs=1\` sets any field for one run, by its dotted path.

Editors that know the YAML language server check and complete experiment files with this as their first line:

\`\`\`yaml
# yaml-language-server: $schema=../docs/experiment.schema.json
\`\`\``;

/** @param {Json} schema */
export const reference = (schema) => `${[introduction, ...sections(schema, '')].join('\n\n')}\n`;

/** @param {Json} schema */
export const schemaText = (schema) => `${JSON.stringify(schema, null, 2)}\n`;

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  const schema = experimentSchema();
  writeFileSync(resolve(import.meta.dirname, 'experiment.schema.json'), schemaText(schema));
  writeFileSync(resolve(import.meta.dirname, 'experiment.md'), reference(schema));
}
