import type { z } from 'zod';
import { nearest } from './nearest.ts';
import type { Schema } from './schema.ts';
import { alternatives, isRecord, knownKeys, literals, schemasAt, shapeOf, unwrap } from './schema.ts';

export type Path = readonly PropertyKey[];

/** One thing that is wrong with a value, in the user's words. */
export interface Problem {
  readonly path: Path;
  readonly value?: string;
  readonly allowed: string;
}

type Issue = z.core.$ZodIssue;

/** Marks messages that no schema wrote, so that those that one did are told apart and kept. */
const unwritten = '?';

/**
 * What is wrong with a value by a schema; empty where nothing is. Unknown keys come first: a misspelt key is the reason
 * why the right one is missing.
 */
export function problemsOf(schema: Schema, value: unknown, issues: readonly Issue[]): readonly Problem[] {
  const flat = issues.flatMap((issue) => choose(issue, []));
  const unknown = flat.filter(({ code }) => code === 'unrecognized_keys');
  const others = flat.filter(({ code }) => code !== 'unrecognized_keys');
  return [...unknown, ...others].flatMap((issue) => describe(schema, value, issue));
}

/** To be given to `safeParse`, so that `problemsOf` can tell messages apart. */
export const parseOptions = { error: (): string => unwritten };

/** Takes a union's issue apart: the issues of the alternative that was probably meant, or the union's own. */
function choose(issue: Issue, prefix: Path): Issue[] {
  const path = [...prefix, ...issue.path];
  if (issue.code !== 'invalid_union' || issue.errors.length === 0) return [{ ...issue, path }];
  const inside = issue.errors.map((branch) => branch.flatMap((below) => choose(below, path)));
  const deep = inside.filter((branch) => branch.some((below) => below.path.length > path.length || isUnknown(below)));
  if (deep.length === 0) return [{ ...issue, path }];
  return deep.reduce((best, branch) => (misfit(branch, path) < misfit(best, path) ? branch : best));
}

const isUnknown = (issue: Issue): boolean => issue.code === 'unrecognized_keys';

/** How badly an alternative fits: a wrong tag is worse than any number of wrong fields. */
function misfit(branch: readonly Issue[], path: Path): number {
  return branch.reduce((sum, issue) => {
    // Keys of the alternative itself, rather than of something inside it, tell which alternative was meant.
    if (isUnknown(issue)) return sum + (issue.path.length === path.length ? 10 : 1);
    if (issue.code === 'invalid_value' && issue.values.length === 1) return sum + 100;
    return sum + (issue.path.length === path.length ? 1000 : 1);
  }, 0);
}

function describe(schema: Schema, value: unknown, issue: Issue): Problem[] {
  if (issue.code === 'unrecognized_keys') {
    const known = knownKeys(schema, value, issue.path);
    const kind = kindOf(schema, value, issue.path);
    const others = Object.keys(asRecord(valueAt(value, issue.path))).filter((key) => !issue.keys.includes(key));
    return issue.keys.map((key) => {
      // Known of another alternative than the one that the keys beside it are of.
      if (known.includes(key)) return { path: [...issue.path, key], allowed: `cannot stand beside ${list(others)}` };
      const meant = nearest(key, known);
      const glued = known.find((name) => key.startsWith(`${name}:`));
      const spelling = meant === undefined ? `known here: ${known.join(', ')}` : `did you mean ${meant}?`;
      const hint = glued === undefined ? spelling : `YAML needs a space after the colon, as in ${glued}: ...`;
      return { path: [...issue.path, key], allowed: `is not a known key${kind}; ${hint}` };
    });
  }
  const found = valueAt(value, issue.path);
  const misspelt = found === undefined ? misspeltKey(schema, value, issue.path) : undefined;
  if (misspelt !== undefined) return [misspelt];
  const own = issue.message === unwritten ? undefined : issue.message;
  const options = schemasAt(schema, value, issue.path);
  const allowed = own ?? `must be ${expectations(options)}`;
  const meant = typeof found === 'string' ? nearest(found, options.flatMap(literals).map(String)) : undefined;
  const hint = meant === undefined || own !== undefined ? '' : `; did you mean ${meant}?`;
  return [
    found === undefined
      ? { path: issue.path, allowed: `is missing; it ${allowed}` }
      : { path: issue.path, value: show(found), allowed: `${allowed}${hint}` },
  ];
}

/** The key that was probably meant to be one that is missing: of a union it is the one that says what is known beside it. */
function misspeltKey(schema: Schema, value: unknown, path: Path): Problem | undefined {
  const [missing, above] = [path.at(-1), path.slice(0, -1)];
  const known = knownKeys(schema, value, above);
  const unknown = Object.keys(asRecord(valueAt(value, above))).filter((key) => !known.includes(key));
  const key = unknown.find((one) => typeof missing === 'string' && nearest(one, [missing]) !== undefined);
  return key === undefined
    ? undefined
    : { path: [...above, key], allowed: `is not a known key; did you mean ${String(missing)}?` };
}

/** ` of type conv2d` where the object at the path says what it is, else nothing. */
function kindOf(schema: Schema, value: unknown, path: Path): string {
  const object = asRecord(valueAt(value, path));
  for (const option of schemasAt(schema, value, path))
    for (const [key, field] of Object.entries(shapeOf(option)))
      if (unwrap(field)._zod.def.type === 'literal' && literals(field).includes(object[key]))
        return ` of ${key} ${String(object[key])}`;
  return '';
}

/** What several alternatives allow: of mappings that a key tells apart, its values. */
function expectations(options: readonly Schema[]): string {
  const shapes = options.map(shapeOf);
  const tag = Object.keys(shapes[0] ?? {}).find((key) =>
    shapes.every((shape) => shape[key] !== undefined && unwrap(shape[key])._zod.def.type === 'literal'),
  );
  if (tag === undefined || shapes.length < 2) return list(options.map(expectation));
  const kinds = shapes.flatMap((shape) => (shape[tag] === undefined ? [] : literals(shape[tag]).map(String)));
  const [first = {}] = shapes;
  const isEnough = Object.entries(first).every(([key, field]) => key === tag || mayBeLeftOut(field));
  return `a mapping with ${tag}: ${list(kinds)}${isEnough ? `, as in { ${tag}: ${kinds[0]} }; its other fields have defaults` : ''}`;
}

const mayBeLeftOut = (field: Schema): boolean =>
  ['optional', 'default', 'prefault'].includes((field as z.core.$ZodTypes)._zod.def.type);

/** What a schema allows, in a few words. */
export function expectation(schema: Schema): string {
  const inner = unwrap(schema);
  const def = (inner as z.core.$ZodTypes)._zod.def;
  switch (def.type) {
    case 'literal':
    case 'enum':
      return list(literals(inner).map(String));
    case 'boolean':
      return 'true or false';
    case 'number':
      return isInteger(inner) ? `a whole number${range(inner)}` : `a number${range(inner)}`;
    case 'string':
      return 'a text';
    case 'array':
      return `a list${lengths(def.checks ?? [])}`;
    case 'union': {
      const options = alternatives(inner, undefined);
      return kindsOf(options) ?? list(options.map(expectation));
    }
    case 'object': {
      const keys = Object.keys(def.shape);
      return keys.length === 0 ? 'a mapping' : `a mapping with ${keys.join(', ')}`;
    }
    default:
      return `a ${def.type}`;
  }
}

/** `a mapping with name: sgd or adam` where alternatives are told apart by what a key of theirs says. */
function kindsOf(options: readonly Schema[]): string | undefined {
  const [first] = options;
  if (first === undefined || options.length < 2) return undefined;
  const isTag = (option: Schema, key: string): boolean => {
    const field = shapeOf(option)[key];
    return field !== undefined && unwrap(field)._zod.def.type === 'literal';
  };
  const tag = Object.keys(shapeOf(first)).find((key) => options.every((option) => isTag(option, key)));
  if (tag === undefined) return undefined;
  const kinds = options.flatMap((option) => literals(shapeOf(option)[tag] ?? option));
  return `a mapping with ${tag}: ${list(kinds.map(String))}`;
}

/** Checks of a number, those that its own kind implies included. */
function checksOf(schema: Schema): readonly z.core.$ZodChecks['_zod']['def'][] {
  const def = schema._zod.def as z.core.$ZodNumberFormatDef;
  const listed = (def.checks ?? []).map((check) => (check as z.core.$ZodChecks)._zod.def);
  return def.check === 'number_format' ? [def, ...listed] : listed;
}

const isInteger = (schema: Schema): boolean =>
  checksOf(schema).some((check) => check.check === 'number_format' && check.format.includes('int'));

function range(schema: Schema): string {
  const bounds: string[] = [];
  let from: unknown;
  let to: unknown;
  for (const check of checksOf(schema)) {
    if (check.check === 'greater_than') {
      if (check.inclusive) from = check.value;
      bounds.push(check.inclusive ? `of at least ${check.value}` : `above ${check.value}`);
    } else if (check.check === 'less_than') {
      if (check.inclusive) to = check.value;
      bounds.push(check.inclusive ? `of at most ${check.value}` : `below ${check.value}`);
    }
  }
  if (bounds.length === 2 && from !== undefined && to !== undefined) return ` from ${from} to ${to}`;
  return bounds.length === 0 ? '' : ` ${bounds.join(' and ')}`;
}

/** How long a list may be. */
function lengths(checks: readonly z.core.$ZodCheck[]): string {
  const bounds = checks.flatMap((check) => {
    const def = (check as z.core.$ZodChecks)._zod.def;
    if (def.check === 'min_length') return [`at least ${def.minimum}`];
    return def.check === 'max_length' ? [`at most ${def.maximum}`] : [];
  });
  return bounds.length === 0 ? '' : ` of ${bounds.join(' and ')}`;
}

function list(words: readonly string[]): string {
  const different = [...new Set(words)];
  return different.length <= 1
    ? (different[0] ?? 'something else')
    : `${different.slice(0, -1).join(', ')} or ${different.at(-1)}`;
}

/** A value as the user would recognise it, cut where it is long. */
export function show(value: unknown): string {
  // JSON has no word for what is no number, or without end.
  const text = typeof value === 'number' ? String(value) : (JSON.stringify(value) ?? String(value));
  return text.length <= 60 ? text : `${text.slice(0, 57)}...`;
}

export function valueAt(value: unknown, path: Path): unknown {
  let at = value;
  for (const key of path) {
    if (typeof at !== 'object' || at === null || !Object.hasOwn(at, key)) return undefined;
    at = (at as Record<PropertyKey, unknown>)[key];
  }
  return at;
}

const asRecord = (value: unknown): Record<string, unknown> => (isRecord(value) ? value : {});
