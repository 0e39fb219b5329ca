/** The drawing of `preview.ts`: panels as HTML and SVG, after what their JSON says. */

interface Step {
  readonly value: number | null;
  readonly color: string;
}
interface Settings {
  readonly unit?: string;
  readonly decimals?: number;
  readonly noValue?: string;
  readonly thresholds?: { readonly steps: readonly Step[] };
  readonly displayName?: string;
  readonly custom?: {
    readonly thresholdsStyle?: { readonly mode: string };
    readonly stacking?: { mode?: string };
    readonly showPoints?: string;
  };
}
interface Property {
  readonly id: string;
  readonly value: unknown;
}
/** What is drawn of a panel's JSON. */
export interface PreviewPanel {
  readonly type: string;
  readonly title?: string;
  readonly gridPos?: { readonly w: number; readonly h: number };
  readonly targets?: readonly {
    readonly refId: string;
    readonly expr: string;
    readonly legendFormat?: string;
  }[];
  readonly fieldConfig?: {
    readonly defaults: Settings;
    readonly overrides: readonly {
      readonly matcher: { readonly id: string; readonly options: string };
      readonly properties: readonly Property[];
    }[];
  };
  readonly transformations?: readonly { readonly id: string; readonly options: unknown }[];
  readonly options?: { readonly xField?: string };
}
/** A table's row: its fields by their names. */
export type Row = Readonly<Record<string, string>>;
/** What a chart is drawn over, from where to where, and what stands below it. */
export interface Axis {
  readonly start: number;
  readonly end: number;
  readonly ticks: readonly (readonly [at: number, text: string])[];
}
export interface Series {
  readonly name: string;
  readonly values: readonly (readonly [number, number])[];
}

const palette = ['#73bf69', '#f2cc0c', '#8ab8ff', '#ff780a', '#f2495c', '#5794f2', '#b877d9', '#705da0', '#37872d'];
const named: Readonly<Record<string, string>> = {
  text: '#ccccdc',
  green: '#73bf69',
  yellow: '#f2cc0c',
  orange: '#ff9830',
  red: '#f2495c',
  blue: '#5794f2',
  'light-blue': '#8ab8ff',
  purple: '#b877d9',
};
const colourOf = (name: string): string => named[name] ?? name;
const rowHeight = 30;

const escaped = (text: string): string => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;');

function shown(value: number, { unit, decimals }: Settings): string {
  if (!Number.isFinite(value)) return '–';
  const places = (most: number): string => value.toFixed(decimals ?? most);
  if (unit === 'percentunit') return `${(100 * value).toFixed(decimals ?? 1)}%`;
  if (unit === 'percent') return `${places(0)}%`;
  if (unit === 's') {
    if (value >= 60) return `${Math.floor(value / 60)} min ${Math.round(value % 60)} s`;
    return value < 1 ? `${(1000 * value).toPrecision(3)} ms` : `${places(1)} s`;
  }
  if (unit === 'bytes') return `${(value / 2 ** 20).toFixed(1)} MiB`;
  if (unit === 'Bps') return `${(value / 1e6).toFixed(2)} MB/s`;
  return `${decimals === undefined ? Number(value.toPrecision(4)) : value.toFixed(decimals)}${unit === 'cps' ? ' /s' : ''}`;
}

/** The settings of one field: the panel's own, and what overrides say of it. */
function settingsFor(panel: PreviewPanel, name: string): Readonly<Record<string, unknown>> & Settings {
  const { defaults = {}, overrides = [] } = panel.fieldConfig ?? {};
  const own = overrides.filter(({ matcher: { id, options } }) =>
    id === 'byRegexp' ? new RegExp(options.replace(/^\/|\/$/g, '')).test(name) : options === name,
  );
  const set = own.flatMap(({ properties }) => properties.map(({ id, value }) => [id, value] as const));
  return { ...defaults, ...Object.fromEntries(set) };
}

const stepColour = ({ thresholds }: Settings, value: number): string =>
  colourOf(thresholds?.steps.findLast((step) => step.value === null || value >= step.value)?.color ?? 'text');

export const section = ({ gridPos }: PreviewPanel, title: string, body: string): string =>
  `<section style="grid-column:span ${gridPos?.w ?? 12};height:${(gridPos?.h ?? 8) * rowHeight}px"><h3>${escaped(title)}</h3>${body}</section>`;

export function drawNumbers(panel: PreviewPanel, numbers: readonly { name: string; value: number }[]): string {
  if (numbers.length === 0) return `<p class="numbers">${panel.fieldConfig?.defaults.noValue ?? '–'}</p>`;
  const drawn = numbers.map(({ name, value }) => {
    const settings = settingsFor(panel, name);
    const colour = stepColour(settings, value);
    return `<span><small>${escaped(name)}</small><big style="color:${colour}">${shown(value, settings)}</big></span>`;
  });
  return `<p class="numbers">${drawn.join('')}</p>`;
}

const optionsOf = ({ transformations = [] }: PreviewPanel, wanted: string): unknown =>
  transformations.find(({ id }) => id === wanted)?.options;

const renamedIn = (panel: PreviewPanel): Readonly<Record<string, string>> =>
  (optionsOf(panel, 'organize') as { renameByName: Readonly<Record<string, string>> } | undefined)?.renameByName ?? {};

/** The curves that a Trend panel's transformations make of rows, and its axis: what is counted along it. */
export function curvesIn(panel: PreviewPanel, rows: readonly Row[]): { series: Series[]; axis: Axis } {
  const matrix = optionsOf(panel, 'groupingToMatrix') as
    | { readonly columnField: string; readonly rowField: string; readonly valueField: string }
    | undefined;
  const titles = Object.entries(renamedIn(panel));
  const along = matrix?.rowField ?? titles.find(([, title]) => title === panel.options?.xField)?.[0] ?? '';
  const { displayName = '' } = panel.fieldConfig?.defaults ?? {};
  const points = new Map<string, [number, number][]>();
  const add = (name: string, row: Row, field: string): void => {
    if (row[field] === undefined) return;
    points.set(name, [...(points.get(name) ?? []), [Number(row[along]), Number(row[field])]]);
  };
  // biome-ignore lint/suspicious/noTemplateCurlyInString: Grafana's variable
  const called = (column: string | undefined): string => displayName.replace('${__field.name}', column ?? '');
  const ordered = rows.toSorted((a, b) => Number(a[along]) - Number(b[along]));
  if (matrix === undefined)
    for (const [field, title] of titles.filter(([name]) => name !== along))
      for (const row of ordered) add(title, row, field);
  else {
    const columns = [...new Set(rows.map((row) => row[matrix.columnField]))].toSorted();
    for (const column of columns)
      for (const row of ordered) if (row[matrix.columnField] === column) add(called(column), row, matrix.valueField);
  }
  const all = ordered.map((row) => Number(row[along]));
  const [first = 0, last = 1] = [all[0], all.at(-1)];
  const every = Math.max(1, Math.ceil((last - first) / 10));
  const ticks = [...new Set(all)].filter((at) => (at - first) % every === 0).map((at) => [at, `${at}`] as const);
  return {
    series: [...points].map(([name, values]) => ({ name, values })),
    axis: { start: first, end: last > first ? last : first + 1, ticks },
  };
}

/** Columns, their titles and their colours are what the panel's transformations and overrides say. */
export function drawTable(panel: PreviewPanel, rows: readonly Row[]): string {
  const columns = Object.entries(renamedIn(panel));
  const cell = (field: string, title: string, text: string | undefined): string => {
    if (text === undefined || text === '') return '<td></td>';
    const settings = settingsFor(panel, title);
    const [mapping] = (settings.mappings ?? []) as { options: Record<string, { color: string }> }[];
    const number = field.startsWith('Value');
    const colour = number ? stepColour(settings, Number(text)) : colourOf(mapping?.options[text]?.color ?? 'text');
    return `<td style="color:${colour}">${number ? shown(Number(text), settings) : escaped(text)}</td>`;
  };
  const body = rows.map(
    (row) => `<tr>${columns.map(([field, title]) => cell(field, title, row[field])).join('')}</tr>`,
  );
  return `<table><tr>${columns.map(([, title]) => `<th>${escaped(title)}</th>`).join('')}</tr>${body.join('')}</table>`;
}

/** Of a stretch of time: seconds since 1970. */
export const timeAxis = (start: number, end: number): Axis => ({
  start,
  end,
  ticks: [0.1, 0.5, 0.9].map((part) => {
    const time = start + part * (end - start);
    return [time, new Date(time * 1000).toISOString().slice(11, 19)];
  }),
});

/** Lines with a legend of their last values; dashed where the board draws a limit; filled between two where it says so. */
export function drawChart(panel: PreviewPanel, series: readonly Series[], { start, end, ticks: below }: Axis): string {
  if (series.length === 0) return '<p class="numbers">no data</p>';
  const defaults = panel.fieldConfig?.defaults ?? {};
  const [width, height] = [((panel.gridPos?.w ?? 12) / 24) * 1180 - 150, (panel.gridPos?.h ?? 8) * rowHeight - 50];
  const isStacked = defaults.custom?.stacking?.mode === 'normal';
  const drawn = isStacked ? stacked(series) : series;
  const all = drawn.flatMap(({ values }) => values.map(([, value]) => value)).filter(Number.isFinite);
  const [low, high] = [isStacked ? 0 : Math.min(...all), Math.max(...all)];
  const span = high - low || 1;
  const x = (at: number): number => 55 + ((at - start) / (end - start)) * (width - 65);
  const y = (value: number): number => height - 18 - ((value - low) / span) * (height - 28);
  const points = ({ values }: Series): string =>
    values.map(([time, value]) => `${x(time).toFixed(1)},${y(value).toFixed(1)}`).join(' ');
  const lines = drawn.map((one, index) => {
    const settings = settingsFor(panel, one.name);
    const fixed = (settings.color as { fixedColor?: string } | undefined)?.fixedColor;
    const colour = fixed === undefined ? palette[index % palette.length] : colourOf(fixed);
    const lower = drawn.find(({ name }) => name === settings['custom.fillBelowTo']);
    const band =
      lower === undefined
        ? ''
        : `<polygon fill="${colour}" opacity="0.2" points="${points(one)} ${points({ ...lower, values: lower.values.toReversed() })}"/>`;
    const dash = settings['custom.lineStyle'] === undefined ? '' : ' stroke-dasharray="5 4"';
    const thick = Number(settings['custom.lineWidth'] ?? 1.6);
    const shows = settings['custom.showPoints'] ?? settings.custom?.showPoints;
    const dots = shows === 'always' ? one.values : [];
    const circles = dots.map(([at, value]) => `<circle cx="${x(at)}" cy="${y(value)}" r="2.5" fill="${colour}"/>`);
    return {
      svg: `${band}${circles.join('')}<polyline fill="none" stroke="${colour}" stroke-width="${thick}"${dash} points="${points(one)}"/>`,
      legend: `<tr><td style="color:${colour}">▬</td><td>${escaped(one.name)}</td><td>${shown(series[index]?.values.at(-1)?.[1] ?? Number.NaN, settings)}</td></tr>`,
    };
  });
  const limits = (defaults.custom?.thresholdsStyle === undefined ? [] : (defaults.thresholds?.steps ?? [])).flatMap(
    ({ value, color }) =>
      value === null || value < low || value > high
        ? []
        : [`<path stroke="${colourOf(color)}" stroke-dasharray="6 4" d="M55 ${y(value)}H${width - 5}"/>`],
  );
  const ticks = [low, (low + high) / 2, high].map(
    (value) =>
      `<text x="50" y="${y(value) + 3}" text-anchor="end">${shown(value, defaults)}</text><path stroke="#2c3235" d="M55 ${y(value)}H${width - 5}"/>`,
  );
  const texts = below.map(
    ([at, text]) => `<text x="${x(at)}" y="${height - 3}" text-anchor="middle">${escaped(text)}</text>`,
  );
  return `<div class="chart"><svg width="${width}" height="${height}">${ticks.join('')}${texts.join('')}${lines.map(({ svg }) => svg).join('')}${limits.join('')}</svg><table class="legend">${lines.map((line) => line.legend).join('')}</table></div>`;
}

/** Each on top of those before it, at the times that it has. */
function stacked(series: readonly Series[]): Series[] {
  const sums = new Map<number, number>();
  return series.map(({ name, values }) => ({
    name,
    values: values.map(([time, value]) => {
      const sum = (sums.get(time) ?? 0) + value;
      sums.set(time, sum);
      return [time, sum] as const;
    }),
  }));
}

const style = `body{font:12px Inter,system-ui,sans-serif;background:#111217;color:#ccccdc;width:1220px;margin:10px auto}
h1{font-size:17px;font-weight:500;margin:4px 2px 8px}h1 small{font-size:12px;opacity:.7}.board{display:grid;grid-template-columns:repeat(24,1fr);gap:6px}
section{background:#181b1f;border:1px solid #2c3235;border-radius:2px;padding:6px 8px;overflow:hidden;box-sizing:border-box}h3{margin:0 0 4px;font-size:12px;font-weight:500}
.numbers{display:flex;gap:14px;justify-content:space-around;align-items:center;height:70%;margin:0}.numbers span{display:grid;text-align:center}big{font-size:22px}small{opacity:.75}
.chart{display:flex;gap:6px}text{font-size:10px;fill:#8e8e9b}table{border-collapse:collapse;width:100%}td,th{padding:2px 8px;text-align:left;font-weight:400}th{color:#6e9fff}tr+tr td{border-top:1px solid #22262b}
.legend{width:auto;align-self:flex-start;font-size:11px;white-space:nowrap}.legend td{padding:0 3px;border:0}.legend td:nth-child(2){max-width:105px;overflow:hidden;text-overflow:ellipsis}.chart svg{flex:none}footer{opacity:.6;font-size:11px;margin:6px 2px}`;

export const page = (boards: readonly string[]): string =>
  `<!doctype html><meta charset="utf-8"><title>Boards</title><style>${style}</style>${boards.join('')}<footer>The boards' own queries, titles, units and colours, drawn by npm run dashboards:preview; Grafana draws them its own way.</footer>`;
