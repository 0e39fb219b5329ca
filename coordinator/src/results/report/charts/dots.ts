import type { Summary } from '@crossfold/shared/results';
import { percent } from '../../text.ts';
import { type Html, html } from '../html.ts';
import { type Area, around, at, extentOf, plot } from './plot.ts';

export interface DotRow {
  readonly label: string;
  readonly points: readonly { readonly value: number; readonly tip: string; readonly key?: string }[];
  /** Its mean and interval are drawn over the points. */
  readonly summary?: Summary;
  readonly kind?: 'best' | 'test';
}

export interface DotSpec {
  readonly rows: readonly DotRow[];
  readonly description: string;
  /** Drawn through all rows. */
  readonly across?: Summary;
  readonly width?: number;
}

/** Accuracies as points, a row for each of what is compared, with mean and 95 % interval. */
export function dots({ rows, description, across, width = 480 }: DotSpec): Html {
  const rowHeight = rows.length > 16 ? 17 : 26;
  const longest = Math.max(...rows.map(({ label }) => label.length));
  const margin = { top: 8, right: 24, bottom: 40, left: Math.min(170, 18 + 7 * longest) };
  const values = rows.flatMap(({ points, summary }) => [
    ...points.map(({ value }) => value),
    ...(summary === undefined ? [] : [summary.mean]),
  ]);
  const [least, most] = extentOf(values);
  // Intervals that reach far beyond all points, as those of two folds do, are cut off.
  const reach = Math.max(most - least, 0.02);
  const ends = rows.flatMap(({ summary }) => summary?.ci95 ?? []).concat(across?.ci95 ?? []);
  const shown = [...values, ...ends.map((end) => Math.min(most + reach, Math.max(least - reach, clampRatio(end))))];
  return plot(
    {
      width,
      height: margin.top + margin.bottom + rows.length * rowHeight,
      margin,
      description,
      x: { domain: around(shown), label: 'accuracy', ticks: width > 600 ? 8 : 5, format: 'percent' },
    },
    (area) =>
      html`${across === undefined ? undefined : acrossMark(across, area)}${rows.map((row, i) =>
        rowMark(row, area, area.top + (i + 0.5) * rowHeight),
      )}`,
  );
}

const clampRatio = (value: number): number => Math.min(1, Math.max(0, value));

function acrossMark({ mean, ci95 }: Summary, { x, top, bottom }: Area): Html {
  const [low, high] = ci95.map(clampRatio);
  return html`${
    low === undefined || high === undefined
      ? undefined
      : html`<rect class="band" x="${at(x(low))}" y="${top}" width="${at(x(high) - x(low))}" height="${bottom - top}"/>`
  }<line class="meanline" x1="${at(x(mean))}" x2="${at(x(mean))}" y1="${top}" y2="${bottom}"/>`;
}

function rowMark({ label, points, summary, kind }: DotRow, area: Area, y: number): Html {
  const { x, left, right } = area;
  return html`<line class="row" x1="${left}" x2="${right}" y1="${at(y)}" y2="${at(y)}"/><text class="y label${kind === 'best' ? ' strong' : ''}" x="${left - 8}" y="${at(y + 4)}">${label}</text>${
    summary === undefined ? undefined : interval(summary, area, y)
  }${points.map(({ value, tip, key }) =>
    kind === 'test'
      ? html`<path class="dot test" d="M${at(x(value))} ${at(y - 7)}l7 7l-7 7l-7 -7z" data-tip="${tip}"/>`
      : html`<circle class="dot${kind === 'best' ? ' best' : ''}" cx="${at(x(value))}" cy="${at(y)}" r="5" data-tip="${tip}"${key === undefined ? undefined : html` data-key="${key}"`}/>`,
  )}`;
}

function interval({ mean, ci95 }: Summary, { x, left, right }: Area, y: number): Html {
  const [low, high] = ci95.map(clampRatio);
  const known = low !== undefined && high !== undefined;
  const place = (value: number): number => Math.min(right, Math.max(left, x(value)));
  const whisker = known
    ? html`<path class="whisker" d="M${at(place(low))} ${at(y - 5)}v10M${at(place(low))} ${at(y)}H${at(place(high))}M${at(place(high))} ${at(y - 5)}v10"/>`
    : undefined;
  const tip = `mean ${percent(mean)}${known ? `\n95 % interval ${percent(low)} to ${percent(high)}` : ''}`;
  return html`<g data-tip="${tip}">${whisker}<path class="meanmark" d="M${at(x(mean))} ${at(y - 8)}v16"/></g>`;
}
