import { namesIn } from './promql.ts';

type Json = string | number | boolean | null | readonly Json[] | { readonly [key: string]: Json };

/** A part of a board with one thing in it spoilt. */
export interface Damage {
  readonly kind: string;
  readonly what: string;
  readonly damaged: unknown;
}

/** Keys whose own keys are data: names of fields, texts. */
const free = ['renameByName', 'indexByName', 'excludeByName'];
/** Strings, by the keys that they stand at, that name something which there has to be. */
const kinds: Readonly<Record<string, string>> = {
  unit: 'unit',
  color: 'colour',
  fixedColor: 'colour',
  iconColor: 'colour',
  calcs: 'reducer',
  names: 'name of a field',
  field: 'name of a field',
  xField: 'name of a field',
  targetField: 'name of a field',
  columnField: 'name of a field',
  rowField: 'name of a field',
  valueField: 'name of a field',
};
const hasLabels = ['legendFormat', 'titleFormat', 'textFormat'];

/**
 * Every name in a part of a board (a panel, variable or annotation) misspelt, one at a time: units, colours, ids of
 * transformations, matchers and reducers, fields, and in queries metrics, labels wherever they stand and the values that
 * are known of them.
 *
 * @param isListed whether a matcher's value is one of a list
 */
export function* damages(part: unknown, isListed: (expr: string, value: string) => boolean): Generator<Damage> {
  for (const { path, value } of leaves(part as Json)) {
    const key = String(path.at(-1));
    const above = path.map(String);
    const list = String(path.at(-2));
    const spoil = (kind: string, spoilt: Json): Damage => ({
      kind,
      what: `${above.join('.')}: ${JSON.stringify(value)} → ${JSON.stringify(spoilt)}`,
      damaged: replaced(part as Json, path, spoilt),
    });
    if (typeof value !== 'string') continue;
    const kind = kinds[typeof path.at(-1) === 'number' ? list : key];
    if (kind !== undefined) yield spoil(kind, `${value}x`);
    if (key === 'id' && above.includes('transformations')) yield spoil('transformation', `${value}x`);
    if (key === 'id' && list === 'matcher') yield spoil('matcher', `${value}x`);
    if (key === 'options' && list === 'matcher') yield spoil('field of an override', value.replace(/.(\/?)$/, 'qq$1'));
    if (key === 'value' && propertyOf(part as Json, path) === 'custom.fillBelowTo')
      yield spoil('field below', `${value}x`);
    if (key === 'value' && propertyOf(part as Json, path) === 'unit') yield spoil('unit', `${value}x`);
    if (key === 'url' && value.includes('__data.fields'))
      yield spoil('field of a link', value.replace(/(__data\.fields\.\w+)/, '$1x'));
    if (key === 'regex' && value !== '') yield spoil('label of a variable', value.replace('="', 'x="'));
    if (hasLabels.includes(key))
      for (const { index } of value.matchAll(/\}\}/g))
        yield spoil('label of a legend', `${value.slice(0, index)}x${value.slice(index)}`);
    if (key === 'query' && /^label_values|^query_result/.test(value)) {
      yield spoil(
        'label of a variable',
        value.replace(/\)+$/, (end) => `x${end}`),
      );
      yield spoil('kind of a variable', value.startsWith('label') ? value.replace('label', 'lable') : `${value} `);
    }
    if (key === 'expr' || (key === 'query' && /^label_values/.test(value))) {
      const from = key === 'expr' ? 0 : 'label_values('.length;
      const expr = key === 'expr' ? value : value.slice(from, value.lastIndexOf(','));
      for (const name of namesIn(expr)) {
        const text = expr.slice(name.from, name.to);
        if (name.kind === 'value' && !isListed(expr, text)) continue;
        const spoilt = text.startsWith('crossfold_') ? text.replace('crossfold', 'crosfold') : `${text}x`;
        const put = expr.slice(0, name.from) + spoilt + expr.slice(name.to);
        yield spoil(`${name.kind} in a query`, value.slice(0, from) + put + value.slice(from + expr.length));
      }
    }
  }
  for (const { path, value } of objects(part as Json))
    if (free.includes(String(path.at(-1))))
      for (const name of Object.keys(value)) {
        const { [name]: one, ...rest } = value;
        const spoilt = { ...rest, [`${name}x`]: one ?? null };
        yield {
          kind: 'column of a table',
          what: `${path.join('.')}: ${name}`,
          damaged: replaced(part as Json, path, spoilt),
        };
      }
}

const enums = [
  ...['type', 'repeatDirection', 'graphMode', 'colorMode', 'justifyMode', 'textMode', 'percentChangeColorMode', 'fill'],
  ...['orientation', 'mode', 'displayMode', 'placement', 'sort', 'lineInterpolation', 'gradientMode', 'showPoints'],
  ...[
    'cellHeight',
    'align',
    'format',
    'valueMode',
    'namePlacement',
    'sizing',
    'show',
    'mapping',
    'destinationType',
    'emptyValue',
  ],
];

/** Every value of an enum in a part of a board made one that there is not, one at a time, each of a kind once. */
export function* wrongEnums(part: unknown): Generator<Damage> {
  const seen = new Set<string>();
  for (const { path, value } of leaves(part as Json)) {
    const what = path.map((one) => (typeof one === 'number' ? '*' : one)).join('.');
    if (typeof value !== 'string' || !enums.includes(String(path.at(-1))) || seen.has(what)) continue;
    seen.add(what);
    yield { kind: 'enum', what, damaged: replaced(part as Json, path, `${value}x`) };
  }
}

/** Every key in a part of a board misspelt, one at a time, each of a kind once: keys that are data stay. */
export function* misspelt(part: unknown): Generator<Damage> {
  const seen = new Set<string>();
  for (const { path, value } of objects(part as Json)) {
    const kind = path.map((one) => (typeof one === 'number' ? '*' : one)).join('.');
    if (free.includes(String(path.at(-1))) || /mappings.*options|properties\.\*\.value/.test(kind)) continue;
    for (const key of Object.keys(value)) {
      const what = `${kind}.${key}`;
      if (seen.has(what)) continue;
      seen.add(what);
      const { [key]: one, ...rest } = value;
      yield { kind: 'key', what, damaged: replaced(part as Json, path, { ...rest, [`${key}x`]: one ?? null }) };
    }
  }
}

type Path = readonly (string | number)[];

function* leaves(value: Json, path: Path = []): Generator<{ path: Path; value: Json }> {
  if (typeof value !== 'object' || value === null) yield { path, value };
  else for (const [key, inner] of entries(value)) yield* leaves(inner, [...path, key]);
}

function* objects(value: Json, path: Path = []): Generator<{ path: Path; value: Readonly<Record<string, Json>> }> {
  if (typeof value !== 'object' || value === null) return;
  if (!isList(value)) yield { path, value };
  for (const [key, inner] of entries(value)) yield* objects(inner, [...path, key]);
}

const isList = (value: object): value is readonly Json[] => Array.isArray(value);
const entries = (value: readonly Json[] | { readonly [key: string]: Json }): (readonly [string | number, Json])[] =>
  isList(value) ? value.map((inner, index) => [index, inner] as const) : Object.entries(value);

function replaced(value: Json, [key, ...path]: Path, by: Json): Json {
  if (key === undefined) return by;
  if (typeof value !== 'object' || value === null) throw new Error(`there is no ${key} here`);
  if (isList(value)) return value.map((inner, index) => (index === key ? replaced(inner, path, by) : inner));
  return { ...value, [key]: replaced(value[key] ?? null, path, by) };
}

/** The id of the setting that an override's value is of. */
function propertyOf(part: Json, path: Path): unknown {
  const property = path.slice(0, -1).reduce<unknown>((at, key) => (at as Record<string, unknown>)[String(key)], part);
  return (property as { id?: unknown }).id;
}
