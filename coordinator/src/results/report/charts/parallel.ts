import type { TrialResult } from '@crossfold/shared/results';
import { scaleLinear, scaleLog, scalePoint } from 'd3-scale';
import { percent, valueText } from '../../text.ts';
import { type Html, html } from '../html.ts';
import type { ParameterColumn } from '../parameters.ts';
import { around, at } from './plot.ts';

const maxAxes = 8;
const maxTicks = 12;
const shades = 8;
/** Labels that are nearer to each other than this would lie on one another. */
const leastGap = 13;
const [width, height] = [960, 320];
const [top, bottom, side] = [40, height - 16, 70];

interface Axis {
  readonly name: string;
  readonly ticks: readonly { readonly y: number; readonly label: string }[];
  /** Where a trial crosses it; undefined where it does not have the parameter. */
  y(trial: TrialResult): number | undefined;
}

/**
 * Parallel coordinates: an axis for each parameter that differs between trials, one for accuracy, and a line through
 * them for each trial, the darker the better. Undefined where no parameter differs.
 */
export function parallel(
  trials: readonly TrialResult[],
  columns: readonly ParameterColumn[],
  best: number | undefined,
): Html | undefined {
  const scored = trials.filter(({ summary }) => summary !== null);
  const varied = columns.filter(({ path }) => valuesOf(scored, path).size > 1).slice(0, maxAxes);
  if (scored.length < 2 || varied.length === 0) return undefined;
  const floor = floorOf(scored);
  const accuracies = scored.map((trial) => Math.max(floor, accuracyOf(trial)));
  const accuracy = scaleLinear(around(accuracies), [bottom, top]).nice(6).clamp(true);
  const format = accuracy.tickFormat(6, '%');
  const axes: Axis[] = [
    ...varied.map((column) => parameterAxis(scored, column)),
    {
      name: 'accuracy',
      ticks: accuracy.ticks(6).map((tick) => ({ y: accuracy(tick), label: format(tick).replace('%', ' %') })),
      y: (trial) => accuracy(accuracyOf(trial)),
    },
  ];
  const x = (axis: number): number => side + (axis * (width - 2 * side)) / (axes.length - 1);
  // The best are drawn last, over the others; of equal ones, the one that is the best.
  const isBest = ({ trial }: TrialResult): number => Number(trial === best);
  const inOrder = [...scored].sort((a, b) => accuracyOf(a) - accuracyOf(b) || isBest(a) - isBest(b));
  const shade = (rank: number): number => 1 + Math.floor((shades * rank) / inOrder.length);
  return html`<svg class="plot parallel" viewBox="0 0 ${width} ${height}" role="img" aria-label="Parameters and accuracy of ${scored.length} trials as parallel coordinates, an axis each for ${axes.map(({ name }) => name).join(', ')}. The numbers are in the table of trials.">
${inOrder.map((trial, rank) => lineOf(trial, axes, x, `shade-${shade(rank)}${trial.trial === best ? ' best' : ''}`, varied))}
<g class="axes" aria-hidden="true">${axes.map(
    ({ name, ticks }, i) =>
      html`<line x1="${at(x(i))}" x2="${at(x(i))}" y1="${top}" y2="${bottom}"/><text class="x strong" x="${at(x(i))}" y="18">${name}</text>${ticks.map(
        ({ y, label }) => html`<text class="tick" x="${at(x(i) + 6)}" y="${at(y + 4)}">${label}</text>`,
      )}`,
  )}</g></svg>`;
}

/**
 * Accuracy below which trials are so much worse than most that they would press those together: three times as far below
 * the best as the median is.
 */
export function floorOf(trials: readonly TrialResult[]): number {
  const sorted = trials.map(accuracyOf).sort((a, b) => b - a);
  const [best = 0, median = 0] = [sorted[0], sorted[sorted.length >> 1]];
  return best - Math.max(3 * (best - median), 0.01);
}

const accuracyOf = ({ summary }: TrialResult): number => summary?.accuracy.mean ?? 0;

const valuesOf = (trials: readonly TrialResult[], path: string): Set<string> =>
  new Set(trials.map(({ parameters }) => (path in parameters ? valueText(parameters[path]) : '')));

function parameterAxis(trials: readonly TrialResult[], { path, name }: ParameterColumn): Axis {
  const found = trials.flatMap(({ parameters }) => (path in parameters ? [parameters[path]] : []));
  const numbers = found.filter((value) => typeof value === 'number');
  if (numbers.length === found.length && new Set(numbers).size > 1) return numberAxis(numbers, path, name);
  const names = [...new Set(found.map(valueText))].sort((a, b) => a.localeCompare(b, 'en', { numeric: true }));
  const place = scalePoint(names, [bottom, top]).padding(0.2);
  const stride = Math.ceil(names.length / maxTicks);
  return {
    name,
    ticks: names
      .filter((_, i) => i % stride === 0)
      .map((label) => ({ y: place(label) ?? bottom, label: label.length > 16 ? `${label.slice(0, 15)}…` : label })),
    y: ({ parameters }) => (path in parameters ? place(valueText(parameters[path])) : undefined),
  };
}

function numberAxis(numbers: readonly number[], path: string, name: string): Axis {
  const [min, max] = [Math.min(...numbers), Math.max(...numbers)];
  const wide = min > 0 && max / min >= 20;
  const scale = wide ? scaleLog([min, max], [bottom, top]) : scaleLinear([min, max], [bottom, top]);
  const own = [...new Set(numbers)].sort((a, b) => a - b);
  // Few values are all named; of many, round ones.
  const ticks = own.length <= 6 ? own : scale.ticks(6);
  return {
    name: wide ? `${name} (log)` : name,
    ticks: legible(
      ticks.slice(0, maxTicks).map((tick) => ({ y: scale(tick), label: String(Number(tick.toPrecision(4))) })),
    ),
    y: ({ parameters }) => {
      const value = parameters[path];
      return typeof value === 'number' ? scale(value) : undefined;
    },
  };
}

/** Ticks without those that lie on others; the first and the last stay. */
export function legible<T extends { readonly y: number }>(ticks: readonly T[]): T[] {
  const last = ticks.at(-1);
  const kept: T[] = [];
  for (const tick of ticks) {
    const near = [kept.at(-1), tick === last ? undefined : last].some(
      (other) => other !== undefined && Math.abs(other.y - tick.y) < leastGap,
    );
    if (near && tick === last && kept.length > 1) kept.pop();
    if (!near || tick === last) kept.push(tick);
  }
  return kept;
}

function lineOf(
  trial: TrialResult,
  axes: readonly Axis[],
  x: (axis: number) => number,
  kind: string,
  columns: readonly ParameterColumn[],
): Html {
  let path = '';
  let draws = false;
  axes.forEach((axis, i) => {
    const y = axis.y(trial);
    if (y !== undefined) path += `${draws ? 'L' : 'M'}${at(x(i))} ${at(y)}`;
    draws = y !== undefined;
  });
  const tip = [
    `trial ${trial.trial}: ${percent(accuracyOf(trial))}`,
    ...columns.flatMap(({ path: at, name }) =>
      at in trial.parameters ? [`${name} ${valueText(trial.parameters[at])}`] : [],
    ),
  ].join('\n');
  return html`<path class="line ${kind}" data-key="trial-${trial.trial}" data-tip="${tip}" d="${path}"/>`;
}
