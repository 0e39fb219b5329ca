import { type ScaleContinuousNumeric, scaleLinear } from 'd3-scale';
import { type Html, html } from '../html.ts';

export type Scale = ScaleContinuousNumeric<number, number>;

export interface Axis {
  /** Smallest and largest value to show; widened to round numbers unless `exact`. */
  readonly domain: readonly [number, number];
  readonly label: string;
  readonly ticks: number;
  readonly format: 'number' | 'percent' | 'whole';
  readonly exact?: boolean;
}

export interface PlotSpec {
  readonly width: number;
  readonly height: number;
  /** What a screen reader says in the picture's place. */
  readonly description: string;
  readonly x: Axis;
  /** Without it there is no vertical axis, and rows are labelled by whoever draws them. */
  readonly y?: Axis;
  readonly margin: { readonly top: number; readonly right: number; readonly bottom: number; readonly left: number };
}

export interface Area {
  readonly x: Scale;
  readonly y: Scale;
  readonly left: number;
  readonly right: number;
  readonly top: number;
  readonly bottom: number;
}

/** Coordinates in pictures: a tenth of a unit is finer than anybody sees. */
export const at = (value: number): string => String(Math.round(value * 10) / 10);

/** A picture with axes and grid; `draw` fills it. It scales with the page, and takes its colours from the style sheet. */
export function plot(spec: PlotSpec, draw: (area: Area) => Html): Html {
  const { width, height, margin, description } = spec;
  const [left, right] = [margin.left, width - margin.right];
  const [top, bottom] = [margin.top, height - margin.bottom];
  const x = scaleOf(spec.x, left, right);
  const y = spec.y === undefined ? scaleLinear([0, 1], [bottom, top]) : scaleOf(spec.y, bottom, top);
  return html`<svg class="plot" viewBox="0 0 ${width} ${height}" role="img" aria-label="${description}">
<g class="grid" aria-hidden="true">${horizontalTicks(spec.x, x, top, bottom)}${spec.y === undefined ? undefined : verticalTicks(spec.y, y, left, right)}
<text class="x title" x="${at((left + right) / 2)}" y="${height - 4}">${spec.x.label}</text></g>
${draw({ x, y, left, right, top, bottom })}</svg>`;
}

/** Width of a character of a label at most, and the least room between two labels. */
const characterWidth = 7;
const labelGap = 8;

/** Every tick has its line; of labels so many that they do not run into each other. */
function horizontalTicks(axis: Axis, x: Scale, top: number, bottom: number): Html[] {
  const ticks = ticksOf(axis, x);
  const widest = Math.max(0, ...ticks.map(([, label]) => label.length)) * characterWidth + labelGap;
  const [[first] = [0], [second] = [first]] = ticks;
  const apart = Math.abs(x(second) - x(first));
  const every = apart === 0 ? 1 : Math.ceil(widest / apart);
  return ticks.map(
    ([tick, label], i) =>
      html`<line x1="${at(x(tick))}" x2="${at(x(tick))}" y1="${top}" y2="${bottom}"/>${i % every === 0 ? html`<text class="x" x="${at(x(tick))}" y="${bottom + 17}">${label}</text>` : undefined}`,
  );
}

const verticalTicks = (axis: Axis, y: Scale, left: number, right: number): Html[] =>
  ticksOf(axis, y).map(
    ([tick, label]) =>
      html`<line x1="${left}" x2="${right}" y1="${at(y(tick))}" y2="${at(y(tick))}"/><text class="y" x="${left - 7}" y="${at(y(tick) + 4)}">${label}</text>`,
  );

function scaleOf({ domain, ticks, exact }: Axis, from: number, to: number): Scale {
  const scale = scaleLinear(domain, [from, to]);
  return exact === true ? scale : scale.nice(ticks);
}

function ticksOf(axis: Axis, scale: Scale): [number, string][] {
  const ticks = scale.ticks(axis.ticks).filter((tick) => axis.format !== 'whole' || Number.isInteger(tick));
  const format = scale.tickFormat(axis.ticks, axis.format === 'percent' ? '%' : undefined);
  return ticks.map((tick) => [tick, axis.format === 'whole' ? String(tick) : format(tick).replace('%', ' %')]);
}

/** A domain with some room around values, inside of bounds. */
export function around(
  values: readonly number[],
  least = 0.01,
  [low, high]: readonly [number, number] = [0, 1],
): [number, number] {
  const [min, max] = extentOf(values);
  const pad = Math.max((max - min) * 0.08, (least - (max - min)) / 2, 1e-6);
  return [Math.max(low, min - pad), Math.min(high, max + pad)];
}

/** The least and the greatest value, of however many. */
export function extentOf(values: readonly number[]): [number, number] {
  let [min, max] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
  for (const value of values) {
    if (value < min) min = value;
    if (value > max) max = value;
  }
  return [min, max];
}
