import type { CompletedFold, EndedFold, FoldResult, Results, TrialResult } from '@crossfold/shared/results';
import { bestFold, completedFolds } from '../../select.ts';
import { count, decimal, meanPercent, percent, seconds, whole } from '../../text.ts';
import { foldKey } from '../charts/curves.ts';
import { type DotRow, dots } from '../charts/dots.ts';
import { type Html, html } from '../html.ts';

/** Folds that the table shows; all of them are in the results. */
const maxRows = 200;
/** With more folds than this, each repeat is one row of points. */
const maxDotRows = 40;

/**
 * Each fold of a trial: as points, and as a table.
 *
 * @param of names the trial in the heading, where there are several
 */
export function foldsSection(results: Results, trial: TrialResult, of: string): Html {
  const completed = completedFolds(trial);
  const repeated = results.split.repeats > 1;
  const table = html`<div class="scroll">${foldTable(trial, repeated, 'Each fold')}</div>`;
  return html`<section aria-labelledby="folds"><h2 id="folds">Folds${of}</h2>
${
  completed.length === 0
    ? table
    : html`<div class="pair uneven">${foldDots(completed, trial, results)}
${table}</div>`
}</section>`;
}

const foldName = (fold: FoldResult, repeated: boolean): string =>
  repeated ? `repeat ${fold.repeat}, fold ${fold.fold}` : `fold ${fold.fold}`;

function foldDots(completed: readonly CompletedFold[], trial: TrialResult, { split, test }: Results): Html {
  const repeated = split.repeats > 1;
  const point = (fold: CompletedFold) => ({
    value: fold.validation.accuracy,
    tip: `${foldName(fold, repeated)}: ${percent(fold.validation.accuracy)} of ${count(fold.validationSamples, 'sample')}`,
    key: foldKey(fold),
  });
  const repeats = [...new Set(completed.map(({ repeat }) => repeat))];
  const rows: DotRow[] =
    completed.length <= maxDotRows
      ? completed.map((fold) => ({ label: foldName(fold, repeated), points: [point(fold)] }))
      : repeats.map((repeat) => ({
          label: repeated ? `repeat ${repeat}` : 'folds',
          points: completed.filter((fold) => fold.repeat === repeat).map(point),
        }));
  if (trial.summary !== null && completed.length > 1)
    rows.push({ label: 'mean', points: [], summary: trial.summary.accuracy, kind: 'best' });
  if (test !== undefined && test.trial === trial.trial)
    rows.push({
      label: 'test set',
      points: [{ value: test.accuracy, tip: `test set: ${percent(test.accuracy)}` }],
      kind: 'test',
    });
  const interval = completed.length > 1 ? '; line and band: their mean and its 95 % confidence interval' : '';
  return html`<figure>${dots({
    rows,
    width: 400,
    description: `Accuracy of each fold, ${meanPercent(trial.summary?.accuracy ?? { mean: 0, std: 0, min: 0, max: 0, ci95: [] })}. The numbers are in the table of folds.`,
    ...(trial.summary !== null && completed.length > 1 ? { across: trial.summary.accuracy } : {}),
  })}<figcaption>Accuracy on each fold’s validation samples${interval}.</figcaption></figure>`;
}

export function foldTable(trial: TrialResult, repeated: boolean, caption: string): Html {
  const completed = completedFolds(trial);
  const best = completed.length > 1 ? bestFold(completed) : undefined;
  const { summary, folds } = trial;
  const left = folds.length - maxRows;
  return html`<table class="sortable"><caption>${caption}${left > 0 ? html` <small>(the first ${maxRows}; results.json has ${left} more)</small>` : undefined}</caption>
<thead><tr>${repeated ? html`<th scope="col">repeat</th>` : undefined}<th scope="col">fold</th><th scope="col">accuracy</th><th scope="col">loss</th><th scope="col">epochs</th><th scope="col">images/s</th><th scope="col">time</th><th scope="col" class="text">trained by</th></tr></thead>
<tbody>${folds.slice(0, maxRows).map((fold) => foldRow(fold, fold === best, repeated))}</tbody>
${
  summary === null || completed.length < 2
    ? undefined
    : html`<tfoot>${footRow('mean', percent(summary.accuracy.mean), decimal(summary.loss.mean), repeated)}${footRow('std', percent(summary.accuracy.std), decimal(summary.loss.std), repeated)}</tfoot>`
}</table>`;
}

const footRow = (name: string, accuracy: string, loss: string, repeated: boolean): Html =>
  html`<tr>${repeated ? html`<td></td>` : undefined}<th scope="row">${name}</th><td>${accuracy}</td><td>${loss}</td><td colspan="4"></td></tr>`;

function foldRow(fold: FoldResult, best: boolean, repeated: boolean): Html {
  const start = html`${repeated ? html`<td>${fold.repeat}</td>` : undefined}<th scope="row">${fold.fold}</th>`;
  const workers = fold.workers.join(', ');
  if (fold.status !== 'completed') {
    const why = `${fold.status}${fold.error === undefined ? '' : `: ${fold.error}`}`;
    return html`<tr class="${fold.status}">${start}${endedCells(fold, why)}<td class="text">${workers}</td></tr>`;
  }
  const { validation, epochs, bestEpoch, imagesPerSecond } = fold;
  const kept = bestEpoch < epochs - 1 ? html` <small>(kept ${bestEpoch + 1})</small>` : undefined;
  return html`<tr data-key="${foldKey(fold)}"${best ? html` class="best"` : undefined}>${start}<td data-value="${validation.accuracy}">${percent(validation.accuracy)}</td><td data-value="${validation.loss}">${decimal(validation.loss)}</td><td data-value="${epochs}">${epochs}${kept}</td><td data-value="${imagesPerSecond}">${whole(imagesPerSecond)}</td><td data-value="${fold.seconds}">${seconds(fold.seconds)}</td><td class="text">${workers}</td></tr>`;
}

/** What a fold that was not trained to its end had come to, where it had come to anything, and how it ended. */
function endedCells({ validation, epochs }: EndedFold, why: string): Html {
  if (validation === undefined || epochs === undefined) return html`<td colspan="5" class="text">${why}</td>`;
  return html`<td data-value="${validation.accuracy}">${percent(validation.accuracy)}</td><td data-value="${validation.loss}">${decimal(validation.loss)}</td><td data-value="${epochs}">${epochs}</td><td colspan="2" class="text">${why}</td>`;
}
