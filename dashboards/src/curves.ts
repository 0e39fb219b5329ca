import { VisibilityMode } from '@grafana/grafana-foundation-sdk/common';
import type { DataTransformerConfig } from '@grafana/grafana-foundation-sdk/dashboard';
import type { DataqueryBuilder } from '@grafana/grafana-foundation-sdk/prometheus';
import { PanelBuilder as TrendBuilder } from '@grafana/grafana-foundation-sdk/trend';
import { drawn, letter, rows, type Shape, shaped, Unit } from './panels.ts';

/** Curves over something that is counted, a label of what the queries bring; what the x axis is called. */
interface Over {
  readonly label: string;
  readonly axis: string;
}

/**
 * Grafana's Trend panel: as lines over time, with a number in the place of the time. It takes one table alone, whose rows
 * are in the order of that number.
 */
function curves(
  shape: Shape,
  { axis }: Over,
  queries: readonly DataqueryBuilder[],
  steps: DataTransformerConfig[],
): TrendBuilder {
  return drawn(shaped(new TrendBuilder(), shape, queries))
    .transformations(steps)
    .xField(axis)
    .showPoints(VisibilityMode.Always)
    .pointSize(5)
    .spanNulls(true)
    .overrideByName(axis, [
      { id: 'unit', value: Unit.count },
      { id: 'decimals', value: 0 },
      { id: 'custom.axisLabel', value: axis },
    ]);
}

/** Labels are texts, of which a curve needs numbers, the smallest first. */
const counted = (label: string): DataTransformerConfig[] => [
  { id: 'convertFieldType', options: { conversions: [{ targetField: label, destinationType: 'number' }] } },
  { id: 'sortBy', options: { sort: [{ field: label }] } },
];

/** A curve for each value of a second label, which is called `what` and that value. */
export const curvesBy = (
  shape: Shape,
  over: Over,
  { label, what }: { readonly label: string; readonly what: string },
  expr: string,
): TrendBuilder =>
  curves(
    shape,
    over,
    [rows(expr)],
    [
      { id: 'sortBy', options: { sort: [{ field: label }] } },
      ...counted(over.label),
      {
        id: 'groupingToMatrix',
        options: { columnField: label, rowField: over.label, valueField: 'Value', emptyValue: 'null' },
      },
      {
        id: 'organize',
        options: { indexByName: {}, renameByName: { [`${over.label}\\${label}`]: over.axis }, excludeByName: {} },
      },
    ],
  ).displayName(`${what} \${__field.name}`);

/** A curve for each query, by its name. */
export function curvesOf(shape: Shape, over: Over, queries: Readonly<Record<string, string>>): TrendBuilder {
  const names = Object.keys(queries);
  const fields = [over.label, ...names.map((_, index) => `Value #${letter(index)}`)];
  const titles = [over.axis, ...names];
  return curves(shape, over, Object.values(queries).map(rows), [
    { id: 'merge', options: {} },
    { id: 'filterFieldsByName', options: { include: { names: fields } } },
    ...counted(over.label),
    {
      id: 'organize',
      options: {
        indexByName: Object.fromEntries(fields.map((field, index) => [field, index])),
        renameByName: Object.fromEntries(fields.map((field, index) => [field, titles[index] ?? field])),
        excludeByName: {},
      },
    },
  ]);
}
