import type { Builder, Dataquery } from '@grafana/grafana-foundation-sdk/cog';
import {
  BigValueColorMode,
  BigValueGraphMode,
  GraphGradientMode,
  LegendDisplayMode,
  LegendPlacement,
  LineInterpolation,
  ReduceDataOptionsBuilder,
  SortOrder,
  StackingConfigBuilder,
  StackingMode,
  TableCellDisplayMode,
  TooltipDisplayMode,
  VisibilityMode,
  VizLegendOptionsBuilder,
  VizTextDisplayOptionsBuilder,
  VizTooltipOptionsBuilder,
} from '@grafana/grafana-foundation-sdk/common';
import type { DataTransformerConfig, DynamicConfigValue } from '@grafana/grafana-foundation-sdk/dashboard';
import {
  FieldColorBuilder,
  FieldColorModeId,
  ThresholdsConfigBuilder,
  ThresholdsMode,
} from '@grafana/grafana-foundation-sdk/dashboard';
import { DataqueryBuilder, PromQueryFormat } from '@grafana/grafana-foundation-sdk/prometheus';
import { PanelBuilder as StatBuilder } from '@grafana/grafana-foundation-sdk/stat';
import { PanelBuilder as TableBuilder } from '@grafana/grafana-foundation-sdk/table';
import { PanelBuilder as TimeSeriesBuilder } from '@grafana/grafana-foundation-sdk/timeseries';
import * as units from '@grafana/grafana-foundation-sdk/units';

/** The one data source, as provisioning/datasources names it. */
export const source = { type: 'prometheus', uid: 'crossfold-prometheus' } as const;

/** Grafana's ids of units. */
export const Unit = {
  ratio: units.PercentUnit,
  percent: units.Percent,
  seconds: units.Seconds,
  bytes: units.BytesIEC,
  bytesPerSecond: units.BytesPerSecondSI,
  perSecond: units.CountsPerSecond,
  count: units.Short,
  celsius: units.Celsius,
  watt: units.Watt,
  hertz: units.Hertz,
} as const;

/** A line for each series that an expression has, over time. */
export const query = (expr: string, legend: string): DataqueryBuilder =>
  new DataqueryBuilder().datasource(source).expr(expr.trim()).legendFormat(legend).range();

/** What an expression is now, as rows of a table with a column for each label. */
export const rows = (expr: string): DataqueryBuilder =>
  new DataqueryBuilder().datasource(source).expr(expr.trim()).format(PromQueryFormat.Table).instant();

/** What an expression is now. */
export const now = (expr: string, legend: string): DataqueryBuilder =>
  new DataqueryBuilder().datasource(source).expr(expr.trim()).legendFormat(legend).instant();

/** Names queries A, B, C... as Grafana would, so that transformations and overrides can name them. */
const named = (queries: readonly DataqueryBuilder[]): Builder<Dataquery>[] =>
  queries.map((one, index) => one.refId(String.fromCharCode(65 + index)));

export interface Shape {
  readonly title: string;
  /** Shown at the panel's corner: what it says and what to make of it. */
  readonly description: string;
  /** Of 24. */
  readonly width: number;
  readonly height: number;
  readonly unit: string;
  readonly decimals?: number;
  readonly noValue?: string;
}

/** Values from which on a colour holds; the first colour holds below the second's value. */
export type Steps = readonly [string, ...(readonly [number, string][])];

export const thresholds = ([base, ...steps]: Steps): ThresholdsConfigBuilder =>
  new ThresholdsConfigBuilder()
    .mode(ThresholdsMode.Absolute)
    .steps([{ value: null, color: base }, ...steps.map(([value, color]) => ({ value, color }))]);

/** Lines over time, with a table of their last values for a legend. */
export function lines(shape: Shape, ...queries: DataqueryBuilder[]): TimeSeriesBuilder {
  const panel = new TimeSeriesBuilder()
    .title(shape.title)
    .description(shape.description)
    .datasource(source)
    .span(shape.width)
    .height(shape.height)
    .unit(shape.unit)
    .targets(named(queries))
    .lineWidth(2)
    .lineInterpolation(LineInterpolation.Linear)
    .gradientMode(GraphGradientMode.None)
    .fillOpacity(0)
    .showPoints(VisibilityMode.Auto)
    .pointSize(4)
    .spanNulls(30_000)
    .legend(
      new VizLegendOptionsBuilder()
        .displayMode(LegendDisplayMode.Table)
        .placement(LegendPlacement.Right)
        .showLegend(true)
        .calcs(['lastNotNull']),
    )
    .tooltip(new VizTooltipOptionsBuilder().mode(TooltipDisplayMode.Multi).sort(SortOrder.Descending));
  if (shape.decimals !== undefined) panel.decimals(shape.decimals);
  return panel;
}

/** Areas on top of each other: parts of a whole. */
export const stacked = (shape: Shape, ...queries: DataqueryBuilder[]): TimeSeriesBuilder =>
  lines(shape, ...queries)
    .fillOpacity(60)
    .lineWidth(1)
    .stacking(new StackingConfigBuilder().mode(StackingMode.Normal).group('A'));

/** Numbers of this moment, coloured by thresholds, with the line that led to them where it says something. */
export function stat(
  shape: Shape,
  steps: Steps,
  queries: readonly DataqueryBuilder[],
  graph: BigValueGraphMode = BigValueGraphMode.None,
): StatBuilder {
  const panel = new StatBuilder()
    .title(shape.title)
    .description(shape.description)
    .datasource(source)
    .span(shape.width)
    .height(shape.height)
    .unit(shape.unit)
    .targets(named(queries))
    .thresholds(thresholds(steps))
    .colorScheme(new FieldColorBuilder().mode(FieldColorModeId.Thresholds))
    .colorMode(BigValueColorMode.Value)
    .graphMode(graph)
    .reduceOptions(new ReduceDataOptionsBuilder().calcs(['lastNotNull']).values(false).fields(''))
    .text(new VizTextDisplayOptionsBuilder().valueSize(28))
    .noValue(shape.noValue ?? '–');
  if (shape.decimals !== undefined) panel.decimals(shape.decimals);
  return panel;
}

/** A column of a table: where it comes from, and how it is shown. */
export interface Column {
  /** A label, or the value of a query by its letter: `Value #A`. */
  readonly field: string;
  readonly title: string;
  readonly unit?: string;
  readonly decimals?: number;
  readonly more?: readonly DynamicConfigValue[];
}

/** Rows that queries share by their labels, a column each; everything else is left out. */
export function table(
  shape: Omit<Shape, 'unit'>,
  queries: readonly DataqueryBuilder[],
  columns: readonly Column[],
  steps: readonly DataTransformerConfig[] = [],
): TableBuilder {
  const panel = new TableBuilder()
    .title(shape.title)
    .description(shape.description)
    .datasource(source)
    .span(shape.width)
    .height(shape.height)
    .noValue(shape.noValue ?? '–')
    .cellOptions({ type: TableCellDisplayMode.Auto })
    .targets(named(queries))
    .transformations([
      { id: 'merge', options: {} },
      { id: 'filterFieldsByName', options: { include: { names: columns.map(({ field }) => field) } } },
      {
        id: 'organize',
        options: {
          indexByName: Object.fromEntries(columns.map(({ field }, index) => [field, index])),
          renameByName: Object.fromEntries(columns.map(({ field, title }) => [field, title])),
          excludeByName: {},
        },
      },
      ...steps,
    ]);
  for (const { title, unit, decimals, more = [] } of columns)
    panel.overrideByName(title, [
      ...(unit === undefined ? [] : [{ id: 'unit', value: unit }]),
      ...(decimals === undefined ? [] : [{ id: 'decimals', value: decimals }]),
      ...more,
    ]);
  return panel;
}
