/**
 * Draws boards from a Prometheus, simply: a look at what their queries show where no Grafana can be had. Titles, units,
 * columns, colours and lines are the boards' own; the drawing is not Grafana's, and says so.
 *
 *     npm run dashboards:preview -- http://127.0.0.1:9090 300 boards.html [BOARD] [END]
 *
 * The last 300 seconds up to END (seconds since 1970, now by default), of one board or of all.
 */
import { writeFileSync } from 'node:fs';
import type { Panel } from '@grafana/grafana-foundation-sdk/dashboard';
import { boards } from './boards.ts';
import type { PreviewPanel, Series } from './draw.ts';
import { curvesIn, drawChart, drawNumbers, drawTable, page, section, timeAxis } from './draw.ts';

interface Answer {
  readonly metric: Readonly<Record<string, string>>;
  readonly value?: readonly [number, string];
  readonly values?: readonly (readonly [number, string])[];
}

const [prometheus = 'http://127.0.0.1:9090', seconds = '300', out = 'boards.html', only, until] = process.argv.slice(2);
const end = until === undefined ? Date.now() / 1000 : Number(until);
const start = end - Number(seconds);

async function ask(path: string, parameters: Record<string, string>): Promise<readonly Answer[]> {
  const response = await fetch(`${prometheus}/api/v1/${path}?${new URLSearchParams(parameters)}`);
  const answer = (await response.json()) as { status: string; error?: string; data?: { result: readonly Answer[] } };
  if (answer.data === undefined) throw new Error(`${parameters.query}: ${answer.error}`);
  return answer.data.result;
}
const at = (query: string): Promise<readonly Answer[]> => ask('query', { query, time: `${end}` });

/** What a person would have chosen: the newest experiment, its first trial, everything else. */
async function variables(): Promise<Readonly<Record<string, string>>> {
  const created = 'crossfold_experiment_created_timestamp_seconds';
  const [newest] = await at(`topk(1, max by (experiment) (last_over_time(${created}[${seconds}s])))`);
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

const legend = (format: string | undefined, metric: Answer['metric']): string =>
  (format ?? '').replaceAll(/\{\{(\w+)\}\}/g, (_, label: string) => metric[label] ?? '');

async function draw(panel: PreviewPanel, values: Readonly<Record<string, string>>): Promise<string> {
  const fill = (text: string): string =>
    text.replaceAll(/\$\{?(\w+)\}?/g, (whole, name: string) => values[name] ?? whole);
  const { targets = [] } = panel;
  const title = fill(panel.title ?? '');
  if (panel.type === 'timeseries') {
    const step = `${Math.max(1, Number(seconds) / 300)}`;
    const answers = await Promise.all(
      targets.map(async ({ expr, legendFormat }) => {
        const range = { query: fill(expr), start: `${start}`, end: `${end}`, step };
        return (await ask('query_range', range)).map(
          ({ metric, values: points = [] }): Series => ({
            name: legend(legendFormat, metric),
            values: points.map(([time, value]) => [time, Number(value)] as const),
          }),
        );
      }),
    );
    return section(panel, title, drawChart(panel, answers.flat(), timeAxis(start, end)));
  }
  const answers = await Promise.all(targets.map(async (target) => ({ target, result: await at(fill(target.expr)) })));
  if (panel.type === 'table' || panel.type === 'xychart' || panel.type === 'trend') {
    // Rows that have the same labels, but for those that one query alone has, are one.
    const shared = Object.keys(answers[0]?.result[0]?.metric ?? {});
    const rows = new Map<string, Record<string, string>>();
    for (const { target, result } of answers)
      for (const { metric, value } of result) {
        const key = shared.map((label) => metric[label] ?? '').join('|');
        const field = targets.length > 1 ? `Value #${target.refId}` : 'Value';
        rows.set(key, { ...rows.get(key), ...metric, [field]: value?.[1] ?? '' });
      }
    if (panel.type !== 'trend') return section(panel, title, drawTable(panel, [...rows.values()]));
    const { series, axis } = curvesIn(panel, [...rows.values()]);
    return section(panel, title, drawChart(panel, series, axis));
  }
  const numbers = answers.flatMap(({ target, result }) =>
    result.map(({ metric, value }) => ({ name: legend(target.legendFormat, metric), value: Number(value?.[1]) })),
  );
  return section(panel, title, drawNumbers(panel, numbers));
}

const values = await variables();
const chosen = Object.entries(boards()).filter(([file]) => only === undefined || file === `${only}.json`);
if (chosen.length === 0) throw new Error(`there is no board ${only}; there are ${Object.keys(boards()).join(', ')}`);
const parts: string[] = [];
for (const [, board] of chosen) {
  const panels = (board.panels ?? []).filter((panel): panel is Panel => panel.type !== 'row');
  const drawn = await Promise.all(panels.map((panel) => draw(panel as unknown as PreviewPanel, values)));
  parts.push(`<h1>${board.title} <small>${values.experiment}</small></h1><div class="board">${drawn.join('')}</div>`);
}
writeFileSync(out, page(parts));
