import type { Builder, Dataquery } from '@grafana/grafana-foundation-sdk/cog';
import {
  BigValueColorMode,
  BigValueGraphMode,
  GraphGradientMode,
  GraphThresholdsStyleConfigBuilder,
  GraphThresholdsStyleMode,
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
import type {
  DataSourceRef,
  DataTransformerConfig,
  DynamicConfigValue,
} from '@grafana/grafana-foundation-sdk/dashboard';
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
import type { PanelBuilder as TrendBuilder } from '@grafana/grafana-foundation-sdk/trend';
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

/** A query's letter. */
export const letter = (index: number): string => String.fromCharCode(65 + index);

/** Names queries A, B, C... as Grafana would, so that transformations and overrides can name them. */
const named = (queries: readonly DataqueryBuilder[]): Builder<Dataquery>[] =>
  queries.map((one, index) => one.refId(letter(index)));

/** Values from which on a colour holds; the first colour holds below the second's value. */
export type Steps = readonly [string, ...(readonly [number, string][])];

export interface Shape {
  readonly title: string;
  /** Shown at the panel's corner: what it says and what to make of it. */
  readonly description: string;
  /** Of 24. */
  readonly width: number;
  readonly height: number;
  /** Undefined where columns have units of their own. */
  readonly unit?: string;
  readonly decimals?: number;
  readonly noValue?: string;
  /** From which values on it is how bad: colours of a number, dashed lines over time. */
  readonly steps?: Steps;
}

/** What builders of panels have in common. */
interface AnyPanelBuilder {
  title(title: string): this;
  description(description: string): this;
  datasource(source: DataSourceRef): this;
  span(width: number): this;
  height(height: number): this;
  unit(unit: string): this;
  decimals(decimals: number): this;
  noValue(text: string): this;
  thresholds(thresholds: ThresholdsConfigBuilder): this;
  targets(queries: Builder<Dataquery>[]): this;
}

/** Gives a panel of any kind its shape and its queries. */
export function shaped<P extends AnyPanelBuilder>(panel: P, shape: Shape, queries: readonly DataqueryBuilder[]): P {
  panel
    .title(shape.title)
    .description(shape.description)
    .datasource(source)
    .span(shape.width)
    .height(shape.height)
    .targets(named(queries));
  if (shape.unit !== undefined) panel.unit(shape.unit);
  if (shape.decimals !== undefined) panel.decimals(shape.decimals);
  if (shape.noValue !== undefined) panel.noValue(shape.noValue);
  if (shape.steps !== undefined) panel.thresholds(thresholds(shape.steps));
  return panel;
}

const stepsOf = ([base, ...steps]: Steps) => [
  { value: null, color: base },
  ...steps.map(([value, color]) => ({ value, color })),
];

const thresholds = (steps: Steps): ThresholdsConfigBuilder =>
  new ThresholdsConfigBuilder().mode(ThresholdsMode.Absolute).steps(stepsOf(steps));

/** The same for one field of a panel. */
export const fieldSteps = (steps: Steps): DynamicConfigValue => ({
  id: 'thresholds',
  value: { mode: ThresholdsMode.Absolute, steps: stepsOf(steps) },
});

/** Lines with a table of their last values for a legend. */
export const drawn = <P extends TimeSeriesBuilder | TrendBuilder>(panel: P): P => {
  panel
    .lineWidth(2)
    .lineInterpolation(LineInterpolation.Linear)
    .gradientMode(GraphGradientMode.None)
    .fillOpacity(0)
    .legend(
      new VizLegendOptionsBuilder()
        .displayMode(LegendDisplayMode.Table)
        .placement(LegendPlacement.Right)
        .showLegend(true)
        .calcs(['lastNotNull']),
    )
    .tooltip(new VizTooltipOptionsBuilder().mode(TooltipDisplayMode.Multi).sort(SortOrder.Descending));
  return panel;
};

/** Lines over time. */
export function lines(shape: Shape, ...queries: DataqueryBuilder[]): TimeSeriesBuilder {
  const panel = drawn(shaped(new TimeSeriesBuilder(), shape, queries))
    .showPoints(VisibilityMode.Auto)
    .pointSize(4)
    .spanNulls(30_000);
  if (shape.steps !== undefined)
    panel.thresholdsStyle(new GraphThresholdsStyleConfigBuilder().mode(GraphThresholdsStyleMode.Dashed));
  return panel;
}

/** Areas on top of each other: parts of a whole. */
export const stacked = (shape: Shape, ...queries: DataqueryBuilder[]): TimeSeriesBuilder =>
  lines(shape, ...queries)
    .fillOpacity(60)
    .lineWidth(1)
    .stacking(new StackingConfigBuilder().mode(StackingMode.Normal).group('A'));

/** The last value that is there, of each series. */
export const lastOf = (): ReduceDataOptionsBuilder =>
  new ReduceDataOptionsBuilder().calcs(['lastNotNull']).values(false).fields('');

/** Numbers of this moment, coloured by thresholds. */
export const stat = (shape: Shape, ...queries: readonly DataqueryBuilder[]): StatBuilder =>
  shaped(new StatBuilder(), { noValue: '–', steps: ['text'], ...shape }, queries)
    .colorScheme(new FieldColorBuilder().mode(FieldColorModeId.Thresholds))
    .colorMode(BigValueColorMode.Value)
    .graphMode(BigValueGraphMode.None)
    .reduceOptions(lastOf())
    .text(new VizTextDisplayOptionsBuilder().valueSize(28));

/** A column of a table: where it comes from, and how it is shown. */
export interface Column {
  /** A label, or the value of a query by its letter: `Value #A`. */
  readonly field: string;
  readonly title: string;
  readonly unit?: string;
  readonly decimals?: number;
  /** From which values on it is how bad. */
  readonly steps?: Steps;
  /** Texts that have a colour. */
  readonly colours?: Readonly<Record<string, string>>;
  readonly more?: readonly DynamicConfigValue[];
}

/** Colours of the states that jobs and workers are in. */
export const stateColours = {
  queued: 'text',
  forming: 'light-blue',
  running: 'blue',
  paused: 'purple',
  completed: 'green',
  failed: 'red',
  cancelled: 'orange',
  pruned: 'yellow',
} as const;

const coloured: DynamicConfigValue = { id: 'custom.cellOptions', value: { type: TableCellDisplayMode.ColorText } };

function settingsOf({ unit, decimals, steps, colours, more = [] }: Column): DynamicConfigValue[] {
  const mapped = Object.entries(colours ?? {}).map(([text, color], index) => [text, { color, index }] as const);
  return [
    ...(unit === undefined ? [] : [{ id: 'unit', value: unit }]),
    ...(decimals === undefined ? [] : [{ id: 'decimals', value: decimals }]),
    ...(steps === undefined ? [] : [fieldSteps(steps), coloured]),
    ...(colours === undefined
      ? []
      : [{ id: 'mappings', value: [{ type: 'value', options: Object.fromEntries(mapped) }] }, coloured]),
    ...more,
  ];
}

/** Rows that queries share by their labels, a column each; everything else is left out. Sorted by a column's title. */
export function table(
  shape: Shape,
  queries: readonly DataqueryBuilder[],
  columns: readonly Column[],
  sort?: { readonly field: string; readonly desc?: boolean },
): TableBuilder {
  const steps: DataTransformerConfig[] = [
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
    ...(sort === undefined ? [] : [{ id: 'sortBy', options: { sort: [sort] } }]),
  ];
  const panel = shaped(new TableBuilder(), { noValue: '–', ...shape }, queries)
    .cellOptions({ type: TableCellDisplayMode.Auto })
    .transformations(steps);
  for (const column of columns) {
    const settings = settingsOf(column);
    if (settings.length > 0) panel.overrideByName(column.title, settings);
  }
  return panel;
}
