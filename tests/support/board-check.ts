import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { z } from 'zod';
import { source } from '../../dashboards/src/panels.ts';
import type { AnyBoard } from './grafana-schema.ts';
import type { Metrics } from './promql.ts';
import { checkQuery, namesIn } from './promql.ts';

/** What Grafana knows, and its schema leaves open. */
const ids = z
  .object({
    units: z.array(z.string()),
    transformations: z.array(z.string()),
    fieldMatchers: z.array(z.string()),
    reducers: z.array(z.string()),
    colours: z.array(z.string()),
  })
  .parse(JSON.parse(readFileSync(resolve(import.meta.dirname, '../fixtures/grafana/ids.json'), 'utf8')));

const Source = z.strictObject({ type: z.literal(source.type), uid: z.literal(source.uid) });
/** The parts of a panel that name things: the rest is as Grafana's own types have it. */
const Panel = z.looseObject({
  type: z.string(),
  title: z.string().exactOptional(),
  datasource: Source,
  targets: z
    .array(
      z.looseObject({
        refId: z.string(),
        datasource: Source,
        expr: z.string(),
        format: z.string().exactOptional(),
        legendFormat: z.string().exactOptional(),
      }),
    )
    .default([]),
  transformations: z.array(z.strictObject({ id: z.string(), options: z.unknown() })).default([]),
  fieldConfig: z
    .looseObject({
      defaults: z.looseObject({}),
      overrides: z.array(
        z.strictObject({
          matcher: z.strictObject({ id: z.string(), options: z.string() }),
          properties: z.array(z.strictObject({ id: z.string(), value: z.unknown() })),
        }),
      ),
    })
    .exactOptional(),
  options: z.looseObject({}).exactOptional(),
});
type Panel = z.infer<typeof Panel>;
type Target = Panel['targets'][number];

/** Options of the transformations that the boards use, as @grafana/data's types have them. */
const transformations = {
  merge: z.strictObject({}),
  filterFieldsByName: z.strictObject({ include: z.strictObject({ names: z.array(z.string()) }) }),
  organize: z.strictObject({
    indexByName: z.record(z.string(), z.int()),
    renameByName: z.record(z.string(), z.string()),
    excludeByName: z.record(z.string(), z.boolean()),
  }),
  convertFieldType: z.strictObject({
    conversions: z.array(z.strictObject({ targetField: z.string(), destinationType: z.literal('number') })),
  }),
  groupingToMatrix: z.strictObject({
    columnField: z.string(),
    rowField: z.string(),
    valueField: z.string(),
    emptyValue: z.enum(['true', 'false', 'null', 'empty', 'zero']),
  }),
  sortBy: z.strictObject({ sort: z.array(z.strictObject({ field: z.string(), desc: z.boolean().exactOptional() })) }),
} as const;

const legendLabels = (legend: string): string[] => [...legend.matchAll(/\{\{\s*(\w*)\s*\}\}/g)].map(([, l]) => l ?? '');

/** What is wrong with one panel beyond its form: ids that Grafana does not know, names of what its queries do not bring. */
export function panelProblems(input: unknown, metrics: Metrics): string[] {
  if (z.looseObject({ type: z.literal('row') }).safeParse(input).success) return [];
  const parsed = Panel.safeParse(input);
  if (!parsed.success) return [z.prettifyError(parsed.error)];
  const panel = parsed.data;
  const problems = [...idProblems(panel)];
  const brought: Brought[] = [];
  for (const target of panel.targets) {
    const { labels = new Set<string>(), problems: wrong } = checkQuery(target.expr, metrics);
    problems.push(...wrong);
    for (const label of legendLabels(target.legendFormat ?? ''))
      if (!labels.has(label))
        problems.push(`the legend ${target.legendFormat} names ${label}, which ${target.refId} lacks`);
    const asked = namesIn(target.expr).flatMap(({ kind, from, to }) =>
      kind === 'metric' ? [target.expr.slice(from, to)] : [],
    );
    const values = (label: string): readonly string[] | undefined =>
      asked.map((name) => metrics.get(name)?.get(label)).find((listed) => listed !== undefined);
    brought.push({ target, labels, values });
  }
  const fields = new Fields(panel, brought);
  problems.push(...fields.problems, ...nameProblems(panel, fields));
  return problems.map((problem) => `${panel.title}: ${problem}`);
}

/** A query, and the labels of what it brings, with their values where those are known. */
interface Brought {
  readonly target: Target;
  readonly labels: ReadonlySet<string>;
  readonly values: (label: string) => readonly string[] | undefined;
}

/** The names of the fields that overrides of a panel and links in it can go by. */
class Fields {
  readonly problems: string[] = [];
  /** Of a table, once it has been transformed. */
  #columns: string[] | undefined;
  /** Of series, labels in them left open. */
  readonly #series: RegExp[];
  readonly #examples: string[];

  constructor({ transformations: steps, targets }: Panel, brought: readonly Brought[]) {
    const tables = brought.filter(({ target }) => target.format === 'table');
    if (tables.length > 0)
      this.#columns = [
        'Time',
        ...new Set(tables.flatMap(({ labels }) => [...labels])),
        ...tables.map(({ target }) => (targets.length > 1 ? `Value #${target.refId}` : 'Value')),
      ];
    const series = brought.filter(({ target }) => target.format !== 'table');
    this.#series = series.map(({ target: { legendFormat = '' }, values }) => {
      const parts = legendFormat.split(/\{\{(\w*)\}\}/).map((text, index) => {
        if (index % 2 === 0) return escaped(text);
        return values(text)?.map(escaped).join('|') ?? '.+';
      });
      return new RegExp(`^${parts.map((part) => `(?:${part})`).join('')}$`);
    });
    this.#examples = series.map(({ target }) => (target.legendFormat ?? '').replaceAll(/\{\{\w*\}\}/g, 'x'));
    for (const { id, options } of steps) this.#transform(id, options);
  }

  has(name: string): boolean {
    return this.#columns?.includes(name) ?? this.#series.some((series) => series.test(name));
  }

  matches(pattern: RegExp): boolean {
    return (this.#columns ?? this.#examples).some((name) => pattern.test(name));
  }

  #need(step: string, names: readonly string[]): void {
    for (const name of names) if (!this.has(name)) this.problems.push(`${step}: there is no field ${name}`);
  }

  #transform(id: string, options: unknown): void {
    const schema = transformations[id as keyof typeof transformations];
    const parsed = schema?.safeParse(options);
    if (parsed?.success !== true) {
      this.problems.push(
        `transformation ${id}: ${parsed === undefined ? 'not known to this check' : z.prettifyError(parsed.error)}`,
      );
      return;
    }
    const { data } = parsed;
    if ('include' in data) {
      this.#need(id, data.include.names);
      this.#columns = data.include.names;
    } else if ('renameByName' in data) {
      const { indexByName, renameByName, excludeByName } = data;
      this.#need(
        id,
        [indexByName, renameByName, excludeByName].flatMap((names) => Object.keys(names)),
      );
      this.#columns = this.#columns
        ?.filter((name) => excludeByName[name] !== true)
        .map((name) => renameByName[name] ?? name);
    } else if ('conversions' in data)
      this.#need(
        id,
        data.conversions.map(({ targetField }) => targetField),
      );
    else if ('columnField' in data) {
      const { columnField, rowField, valueField } = data;
      this.#need(id, [columnField, rowField, valueField]);
      // Beside these there is a column for each value of one.
      this.#columns = [`${rowField}\\${columnField}`];
    } else if ('sort' in data)
      this.#need(
        id,
        data.sort.map(({ field }) => field),
      );
  }
}

const escaped = (text: string): string => text.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&');

function nameProblems({ fieldConfig, options }: Panel, fields: Fields): string[] {
  const problems: string[] = [];
  const need = (what: string, name: string): void => {
    if (!fields.has(name)) problems.push(`${what}: no query brings ${name}`);
  };
  for (const { matcher, properties } of fieldConfig?.overrides ?? []) {
    if (matcher.id === 'byName') need('an override', matcher.options);
    if (matcher.id === 'byRegexp') {
      const [, source] = /^\/(.*)\/$/.exec(matcher.options) ?? [];
      if (source === undefined || !fields.matches(new RegExp(source)))
        problems.push(`an override: no query brings what matches ${matcher.options}`);
    }
    for (const { id, value } of properties) if (id === 'custom.fillBelowTo') need(id, String(value));
  }
  if (options?.xField !== undefined) need('the x axis', String(options.xField));
  for (const [, name = ''] of JSON.stringify(fieldConfig ?? {}).matchAll(/\$\{__data\.fields\.(\w+)\}/g))
    need('a link', name);
  return problems;
}

/** Units, transformations, matchers, reducers, colours that Grafana does not know. */
function idProblems({ transformations: steps, fieldConfig, options }: Panel): string[] {
  const problems: string[] = [];
  const known = (what: keyof typeof ids, id: unknown): void => {
    if (typeof id !== 'string' || !ids[what].includes(id))
      problems.push(`Grafana knows no ${String(id)} among its ${what}`);
  };
  for (const { id } of steps) known('transformations', id);
  for (const { matcher, properties } of fieldConfig?.overrides ?? []) {
    known('fieldMatchers', matcher.id);
    for (const { id, value } of properties) if (id === 'unit') known('units', value);
  }
  // Wherever they stand: in defaults, in overrides, in mappings.
  const walk = (value: unknown): void => {
    if (typeof value !== 'object' || value === null) return;
    for (const [key, inner] of Object.entries(value)) {
      if (key === 'unit') known('units', inner);
      else if ((key === 'color' && typeof inner === 'string') || key === 'fixedColor') known('colours', inner);
      else if (key === 'calcs') for (const id of inner as unknown[]) known('reducers', id);
      else walk(inner);
    }
  };
  walk(fieldConfig);
  walk(options);
  return problems;
}

const Variable = z.discriminatedUnion('type', [
  z.looseObject({
    type: z.literal('query'),
    name: z.string(),
    regex: z.string().default(''),
    query: z.strictObject({ qryType: z.int(), query: z.string(), refId: z.string() }),
  }),
  z.looseObject({ type: z.literal('textbox'), name: z.string(), query: z.string().regex(/^https?:\/\/[^/]+$/) }),
]);
/** How Prometheus' data source numbers the kinds of a variable's query. */
const kinds = { label_values: 1, query_result: 3 } as const;

export function variableProblems(input: unknown, metrics: Metrics): string[] {
  const parsed = Variable.safeParse(input);
  if (!parsed.success) return [z.prettifyError(parsed.error)];
  if (parsed.data.type === 'textbox') return [];
  const { name, regex, query } = parsed.data;
  const [, kind = '', asked = ''] = /^(label_values|query_result)\((.*)\)$/.exec(query.query) ?? [];
  if (query.qryType !== kinds[kind as keyof typeof kinds])
    return [`${name}: ${query.query} is no query of type ${query.qryType}`];
  const [, expr = asked, label] = (kind === 'label_values' ? /^(.*), *(\w+)$/.exec(asked) : undefined) ?? [];
  const { labels = new Set<string>(), problems } = checkQuery(expr, metrics);
  const named = [
    ...(label === undefined ? [] : [label]),
    ...[...regex.matchAll(/(\w+)="/g)].map(([, one]) => one ?? ''),
  ];
  if (named.length === 0) return [`${name}: takes no label`];
  return [...problems, ...named.filter((one) => !labels.has(one)).map((one) => `${name}: ${expr} has no label ${one}`)];
}

const Annotation = z.looseObject({
  name: z.string(),
  expr: z.string(),
  iconColor: z.enum(ids.colours as [string, ...string[]]),
  titleFormat: z.string(),
  textFormat: z.string(),
});

export function annotationProblems(input: unknown, metrics: Metrics): string[] {
  const parsed = Annotation.safeParse(input);
  if (!parsed.success) return [z.prettifyError(parsed.error)];
  const { name, expr, titleFormat, textFormat } = parsed.data;
  const { labels = new Set<string>(), problems } = checkQuery(expr, metrics);
  const missing = legendLabels(titleFormat + textFormat).filter((label) => !labels.has(label));
  return [...problems, ...missing.map((label) => `${name}: ${expr} has no label ${label}`)];
}

/** All that is wrong with a board beyond its form. */
export const boardProblems = (board: AnyBoard, metrics: Metrics): string[] =>
  [
    ...board.panels.flatMap((panel) => panelProblems(panel, metrics)),
    ...(board.templating as { list: unknown[] }).list.flatMap((variable) => variableProblems(variable, metrics)),
    ...(board.annotations?.list ?? []).flatMap((annotation) => annotationProblems(annotation, metrics)),
  ].map((problem) => `${board.title}: ${problem}`);
