import { meanOf, sampleStd } from '@crossfold/shared/metrics/summary';
import type { CompletedFold } from '@crossfold/shared/results';
import { area, line } from 'd3-shape';
import { type Html, html } from '../html.ts';
import { type Area, around, at, extentOf, plot } from './plot.ts';

export interface CurveSpec {
  readonly title: string;
  /** Histories of training and of validation. */
  readonly train: 'loss' | 'accuracy';
  readonly validation: 'valLoss' | 'valAccuracy';
  readonly format: (value: number) => string;
  /** The epoch, from 0, from which on the net overfits: marked where there is one. */
  readonly overfitsFrom: number | undefined;
}

/** How much of the value before each keeps when a curve is smoothed. */
const smoothing = 0.8;

/** Histories that follow theirs as an exponential average, so that their course is seen through their noise. */
export function smoothed(folds: readonly CompletedFold[]): CompletedFold[] {
  const smooth = (values: readonly number[]): number[] => {
    let average = values[0] ?? 0;
    return values.map((value) => {
      average = smoothing * average + (1 - smoothing) * value;
      return average;
    });
  };
  return folds.map((fold) => {
    const { loss, accuracy, valLoss, valAccuracy } = fold.history;
    const history = {
      loss: smooth(loss),
      accuracy: smooth(accuracy),
      valLoss: smooth(valLoss),
      valAccuracy: smooth(valAccuracy),
    };
    return { ...fold, history };
  });
}

/** Folds whose own lines are drawn; with more the mean says all that can be seen. */
const maxLines = 60;
/** Epochs that are drawn of a history, and that can be pointed at. */
const maxPoints = 300;
const maxStops = 100;

/** Mean and standard deviation over the folds at each epoch, as far as all of them have it. */
export interface Band {
  readonly mean: readonly number[];
  readonly std: readonly number[];
}

export function bandOf(series: readonly (readonly number[])[]): Band {
  const epochs = Math.min(...series.map(({ length }) => length));
  const across = Array.from({ length: epochs }, (_, epoch) => series.map((values) => values[epoch] ?? 0));
  return { mean: across.map(meanOf), std: across.map(sampleStd) };
}

/**
 * Learning curves: a thin line a fold, the mean over the folds as a thick one, and one standard deviation to either side
 * of the validation's mean as a band. Beyond the epoch where the first fold ended there are only the others' lines.
 */
export function curves(folds: readonly CompletedFold[], spec: CurveSpec): Html {
  const percent = spec.train === 'accuracy';
  const train = folds.map(({ history }) => history[spec.train]);
  const validation = folds.map(({ history }) => history[spec.validation]);
  const epochs = Math.max(...folds.map(({ history }) => history.loss.length));
  const every = [...train, ...validation].flat();
  const bands = { train: bandOf(train), validation: bandOf(validation) };
  const last = (values: readonly number[]): string => spec.format(values.at(-1) ?? 0);
  return plot(
    {
      width: 480,
      height: 300,
      margin: { top: 10, right: 12, bottom: 42, left: 54 },
      description: `${spec.title} by epoch over ${folds.length} folds; in the end ${last(bands.train.mean)} on training samples and ${last(bands.validation.mean)} on validation samples. The numbers are in the table below.`,
      x: { domain: [1, Math.max(2, epochs)], label: 'epoch', ticks: 8, format: 'whole', exact: true },
      y: {
        domain: percent ? around(every) : [0, extentOf(every)[1]],
        label: '',
        ticks: 6,
        format: percent ? 'percent' : 'number',
      },
    },
    (frame) =>
      html`${bandPath(bands.validation, frame)}${overfitMark(spec.overfitsFrom, frame)}${folds
        .slice(0, maxLines)
        .map(
          (fold, i) =>
            html`<g data-key="${foldKey(fold)}">${linePath(train[i] ?? [], 'fold train', frame)}${linePath(validation[i] ?? [], 'fold val', frame)}${bestMark(fold, validation[i] ?? [], frame)}</g>`,
        )}${linePath(bands.train.mean, 'mean train', frame)}${linePath(bands.validation.mean, 'mean val', frame)}${stops(folds, spec, bands, epochs, frame)}`,
  );
}

/** Names a fold in the page, for what belongs to it to be found. */
export const foldKey = ({ repeat, fold }: { readonly repeat: number; readonly fold: number }): string =>
  `fold-${repeat}.${fold}`;

/** [epoch from 1, value], thinned out where there are more than anybody sees. */
function points(values: readonly number[]): [number, number][] {
  const stride = Math.ceil(values.length / maxPoints);
  return values
    .map((value, i): [number, number] => [i + 1, value])
    .filter((_, i) => i % stride === 0 || i === values.length - 1);
}

function linePath(values: readonly number[], kind: string, { x, y }: Area): Html | undefined {
  if (values.length === 0) return undefined;
  if (values.length === 1) return html`<circle class="${kind}" cx="${at(x(1))}" cy="${at(y(values[0] ?? 0))}" r="3"/>`;
  const path = line<[number, number]>(
    ([epoch]) => x(epoch),
    ([, value]) => y(value),
  ).digits(1)(points(values));
  return html`<path class="${kind}" d="${path ?? ''}"/>`;
}

function bandPath({ mean, std }: Band, { x, y, top, bottom }: Area): Html | undefined {
  if (mean.length < 2 || std.every((value) => value === 0)) return undefined;
  const clamp = (value: number): number => Math.min(bottom, Math.max(top, y(value)));
  const path = area<[number, number]>()
    .x(([epoch]) => x(epoch))
    .y0(([epoch, value]) => clamp(value - (std[epoch - 1] ?? 0)))
    .y1(([epoch, value]) => clamp(value + (std[epoch - 1] ?? 0)))
    .digits(1)(points(mean));
  return html`<path class="band" d="${path ?? ''}"/>`;
}

/** Marks the epoch whose weights were kept, where that is not the last. */
function bestMark(fold: CompletedFold, values: readonly number[], { x, y }: Area): Html | undefined {
  if (fold.bestEpoch === values.length - 1) return undefined;
  return html`<circle class="kept" cx="${at(x(fold.bestEpoch + 1))}" cy="${at(y(values[fold.bestEpoch] ?? 0))}" r="3.5"/>`;
}

/** A line at the epoch from which on the net overfits. */
function overfitMark(epoch: number | undefined, { x, top, bottom }: Area): Html | undefined {
  if (epoch === undefined) return undefined;
  return html`<line class="overfits" x1="${at(x(epoch + 1))}" x2="${at(x(epoch + 1))}" y1="${top}" y2="${bottom}"/>`;
}

/** Strips to point at, one an epoch, that tell its numbers. */
function stops(
  folds: readonly CompletedFold[],
  { train, validation, format }: CurveSpec,
  bands: { readonly train: Band; readonly validation: Band },
  epochs: number,
  { x, top, bottom, left, right }: Area,
): Html[] {
  const stride = Math.ceil(epochs / maxStops);
  const width = epochs > 1 ? (x(2) - x(1)) * stride : right - left;
  const meanText = ({ mean, std }: Band, i: number): string =>
    `${format(mean[i] ?? 0)}${folds.length > 1 ? ` ± ${format(std[i] ?? 0)}` : ''}`;
  return Array.from({ length: Math.ceil(epochs / stride) }, (_, stop) => {
    const i = stop * stride;
    const lines = [`epoch ${i + 1}`];
    if (i < bands.validation.mean.length)
      lines.push(`validation ${meanText(bands.validation, i)}`, `training ${meanText(bands.train, i)}`);
    for (const fold of folds.length > 1 ? folds.slice(0, 12) : []) {
      const [v, t] = [fold.history[validation][i], fold.history[train][i]];
      if (v !== undefined && t !== undefined) lines.push(`fold ${fold.fold}: ${format(v)}, training ${format(t)}`);
    }
    const center = x(i + 1);
    const from = Math.max(left, center - width / 2);
    const to = Math.min(right, center + width / 2);
    return html`<g class="stop" data-tip="${lines.join('\n')}"><rect x="${at(from)}" y="${top}" width="${at(to - from)}" height="${bottom - top}"/><line x1="${at(center)}" x2="${at(center)}" y1="${top}" y2="${bottom}"/></g>`;
  });
}
