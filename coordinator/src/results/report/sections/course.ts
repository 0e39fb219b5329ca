import type { CompletedFold } from '@crossfold/shared/results';
import { fewestSmoothed, overfitsFrom } from '../../overfitting.ts';
import { decimal, percent } from '../../text.ts';
import { type Band, bandOf, curves, smoothed } from '../charts/curves.ts';
import { type Html, html } from '../html.ts';

/** Epochs that the table of the means shows; all of them are in the history. */
const maxRows = 100;

/**
 * Losses and accuracies by epoch: curves, and the means as a table.
 *
 * @param of names the trial in the heading, where there are several
 */
export function courseSection(folds: readonly CompletedFold[], of: string): Html | undefined {
  if (folds.length === 0) return undefined;
  const several = folds.length > 1;
  const from = overfitsFrom(folds);
  const epochs = Math.min(...folds.map((fold) => fold.history.loss.length));
  return html`<section aria-labelledby="course"><h2 id="course">Learning curves${of}</h2>
<ul class="legend"><li><i class="swatch val"></i>validation</li><li><i class="swatch train"></i>training</li>${
    several
      ? html`<li><i class="swatch thick"></i>mean over the folds</li><li><i class="swatch thin"></i>one fold</li><li><i class="swatch band"></i>± one standard deviation</li>`
      : undefined
  }${folds.some((fold) => fold.bestEpoch < fold.epochs - 1) ? html`<li><i class="swatch kept"></i>epoch whose weights were kept</li>` : undefined}${from === undefined ? undefined : html`<li><i class="swatch overfits"></i>epoch ${from + 1}: it overfits from here on</li>`}</ul>
${courseCharts(folds)}${
  epochs < fewestSmoothed
    ? undefined
    : html`
<details data-name="smoothed"><summary>Smoothed</summary><p class="note">Each value is 80 % of the one before it and 20 % of the epoch’s own.</p>${courseCharts(smoothed(folds), from)}</details>`
}
<details data-name="means"><summary>${several ? 'Means over the folds' : 'The numbers'}</summary><div class="scroll">${meansTable(folds)}</div></details></section>`;
}

/**
 * Loss and accuracy by epoch, side by side.
 *
 * @param from the epoch from which on the net overfits, as the histories as they are tell it
 */
export const courseCharts = (folds: readonly CompletedFold[], from = overfitsFrom(folds)): Html =>
  html`<div class="pair"><figure><h3>Loss</h3>${curves(folds, { title: 'loss', train: 'loss', validation: 'valLoss', format: (value) => decimal(value), overfitsFrom: from })}</figure>
<figure><h3>Accuracy</h3>${curves(folds, { title: 'accuracy', train: 'accuracy', validation: 'valAccuracy', format: percent, overfitsFrom: from })}</figure></div>`;

function meansTable(folds: readonly CompletedFold[]): Html {
  const series = [
    { name: 'training loss', of: 'loss', format: decimal },
    { name: 'validation loss', of: 'valLoss', format: decimal },
    { name: 'training accuracy', of: 'accuracy', format: percent },
    { name: 'validation accuracy', of: 'valAccuracy', format: percent },
  ] as const;
  const bands = series.map(({ of }) => bandOf(folds.map(({ history }) => history[of])));
  const epochs = Math.min(...bands.map(({ mean }) => mean.length));
  const cell = (format: (value: number) => string, { mean, std }: Band, epoch: number): string =>
    `${format(mean[epoch] ?? 0)}${folds.length > 1 ? ` ± ${format(std[epoch] ?? 0).replace(' %', '')}` : ''}`;
  const rows = Array.from({ length: Math.min(epochs, maxRows) }, (_, epoch) => epoch);
  return html`<table><caption>By epoch${folds.length > 1 ? ', mean and standard deviation over the folds' : ''}${epochs > maxRows ? html` <small>(the first ${maxRows}; history.csv has all)</small>` : undefined}</caption>
<thead><tr><th scope="col">epoch</th>${series.map(({ name }) => html`<th scope="col">${name}</th>`)}</tr></thead>
<tbody>${rows.map(
    (epoch) =>
      html`<tr><th scope="row">${epoch + 1}</th>${series.map(({ format }, i) => html`<td>${cell((value) => format(value), bands[i] ?? { mean: [], std: [] }, epoch)}</td>`)}</tr>`,
  )}</tbody></table>`;
}
