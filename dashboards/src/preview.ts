/**
 * Draws the boards' queries, roughly as Grafana would, from a Prometheus: a look at what they show where no Grafana can
 * be had. `node dashboards/dist/preview.js http://127.0.0.1:9090 SECONDS out.html`
 */
import { writeFileSync } from 'node:fs';
import type { Panel } from '@grafana/grafana-foundation-sdk/dashboard';
import { boards } from './boards.ts';

interface Series {
  readonly name: string;
  readonly values: readonly (readonly [number, number])[];
}
interface Answer {
  readonly metric: Readonly<Record<string, string>>;
  readonly value?: readonly [number, string];
  readonly values?: readonly (readonly [number, string])[];
}
interface Target {
  readonly refId: string;
  readonly expr: string;
  readonly legendFormat?: string;
  readonly format?: string;
}

const [prometheus = 'http://127.0.0.1:9090', seconds = '300', out = 'boards.html'] = process.argv.slice(2);
const end = Date.now() / 1000;
const step = Math.max(1, Number(seconds) / 300);
const colours = ['#3274d9', '#56a64b', '#e0b400', '#e02f44', '#a352cc', '#ff780a', '#37872d', '#8ab8ff'];

async function ask(path: string, parameters: Record<string, string>): Promise<readonly Answer[]> {
  const response = await fetch(`${prometheus}/api/v1/${path}?${new URLSearchParams(parameters)}`);
  const answer = (await response.json()) as { status: string; error?: string; data?: { result: readonly Answer[] } };
  if (answer.data === undefined) throw new Error(`${parameters.query}: ${answer.error}`);
  return answer.data.result;
}

async function variables(): Promise<Readonly<Record<string, string>>> {
  const [newest] = await ask('query', {
    query: 'topk(1, max by (experiment) (crossfold_experiment_created_timestamp_seconds))',
  });
  return {
    experiment: newest?.metric.experiment ?? 'none',
    trial: '0',
    instance: '.*',
    host: '.*',
    gpu: '.*',
    parameter: 'training.optimizer.learningRate',
    __range: `${seconds}s`,
  };
}

const escaped = (text: string): string => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;');
const named = (target: Target, metric: Answer['metric']): string =>
  (target.legendFormat ?? '').replaceAll(/\{\{(\w+)\}\}/g, (_, label: string) => metric[label] ?? '');

function shown(value: number, unit: string | undefined): string {
  if (unit === 'percentunit') return `${(100 * value).toFixed(2)} %`;
  if (unit === 'percent') return `${value.toFixed(0)} %`;
  if (unit === 's') return value < 1 ? `${(1000 * value).toFixed(1)} ms` : `${value.toFixed(1)} s`;
  if (unit === 'bytes' || unit === 'Bps') return `${(value / 1e6).toFixed(2)} M${unit === 'Bps' ? 'B/s' : 'B'}`;
  return Math.abs(value) >= 100 ? value.toFixed(0) : String(Number(value.toPrecision(4)));
}

function chart(series: readonly Series[], unit: string | undefined, height: number): string {
  const all = series.flatMap(({ values }) => values.map(([, value]) => value)).filter(Number.isFinite);
  const low = Math.min(...all);
  const high = Math.max(...all);
  const span = high - low || 1;
  const from = end - Number(seconds);
  const width = 560;
  const x = (at: number): string => (60 + ((at - from) / Number(seconds)) * (width - 70)).toFixed(1);
  const y = (value: number): string => (height - 20 - ((value - low) / span) * (height - 30)).toFixed(1);
  const lines = series.map(
    ({ values }, index) =>
      `<polyline fill="none" stroke="${colours[index % colours.length]}" stroke-width="1.5" points="${values.map(([at, value]) => `${x(at)},${y(value)}`).join(' ')}"/>`,
  );
  const legend = series.map(
    ({ name, values }, index) =>
      `<span style="color:${colours[index % colours.length]}">■</span> ${escaped(name)} <b>${shown(values.at(-1)?.[1] ?? Number.NaN, unit)}</b>`,
  );
  return `<svg width="${width}" height="${height}"><text x="2" y="14">${shown(high, unit)}</text><text x="2" y="${height - 18}">${shown(low, unit)}</text>${lines.join('')}</svg><div class="legend">${legend.join(' &nbsp; ')}</div>`;
}

async function draw(panel: Panel, values: Readonly<Record<string, string>>): Promise<string> {
  const fill = (text: string): string =>
    text.replaceAll(/\$\{?(\w+)\}?/g, (whole, name: string) => values[name] ?? whole);
  const targets = (panel.targets ?? []) as unknown as readonly Target[];
  const unit = panel.fieldConfig?.defaults?.unit;
  const head = `<h3>${escaped(fill(panel.title ?? ''))}</h3>`;
  const size = `style="grid-column:span ${panel.gridPos?.w ?? 12}"`;
  if (panel.type === 'timeseries') {
    const answers = await Promise.all(
      targets.map(async (target) =>
        (
          await ask('query_range', {
            query: fill(target.expr),
            start: `${end - Number(seconds)}`,
            end: `${end}`,
            step: `${step}`,
          })
        ).map(({ metric, values: points = [] }) => ({
          name: named(target, metric),
          values: points.map(([at, value]) => [at, Number(value)] as const),
        })),
      ),
    );
    const series = answers.flat();
    return `<section ${size}>${head}${series.length === 0 ? '<i>no data</i>' : chart(series, unit, 150)}</section>`;
  }
  const answers = await Promise.all(
    targets.map(async (target) => ({ target, result: await ask('query', { query: fill(target.expr) }) })),
  );
  if (panel.type === 'table' || panel.type === 'xychart') {
    const rows = new Map<string, Record<string, string>>();
    const keys = targets.length > 1 ? ['trial', 'fold'] : undefined;
    for (const { target, result } of answers)
      for (const { metric, value } of result) {
        const key = (keys ?? Object.keys(metric)).map((label) => metric[label] ?? '').join('|');
        const row = rows.get(key) ?? {};
        rows.set(key, { ...row, ...metric, [target.refId]: shown(Number(value?.[1]), undefined) });
      }
    const columns = [...new Set([...rows.values()].flatMap((row) => Object.keys(row)))];
    const cells = [...rows.values()].map(
      (row) => `<tr>${columns.map((c) => `<td>${escaped(row[c] ?? '')}</td>`).join('')}</tr>`,
    );
    return `<section ${size}>${head}<table><tr>${columns.map((c) => `<th>${c}</th>`).join('')}</tr>${cells.join('')}</table></section>`;
  }
  const numbers = answers.flatMap(({ target, result }) =>
    result.map(
      ({ metric, value }) => `<big>${shown(Number(value?.[1]), unit)}</big> ${escaped(named(target, metric))}`,
    ),
  );
  return `<section ${size}>${head}${numbers.length === 0 ? (panel.fieldConfig?.defaults?.noValue ?? '<i>no data</i>') : numbers.join('<br>')}</section>`;
}

const values = await variables();
const parts: string[] = [];
for (const board of Object.values(boards())) {
  const panels = (board.panels ?? []).filter((panel): panel is Panel => panel.type !== 'row');
  const drawn = await Promise.all(panels.map((panel) => draw(panel, values)));
  parts.push(`<h1>${board.title}</h1><div class="board">${drawn.join('')}</div>`);
}
const style =
  'body{font:12px sans-serif;background:#f4f5f5;width:1220px}.board{display:grid;grid-template-columns:repeat(24,1fr);gap:6px}section{background:#fff;border:1px solid #ddd;padding:6px;overflow:hidden}h3{margin:0 0 4px;font-size:12px}big{font-size:20px}text{font-size:10px}td,th{padding:1px 6px;text-align:left}.legend{font-size:11px}';
writeFileSync(
  out,
  `<!doctype html><meta charset="utf-8"><title>Boards</title><style>${style}</style>${parts.join('')}`,
);
