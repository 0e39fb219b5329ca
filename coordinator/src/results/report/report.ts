import type { CompletedFold, Results } from '@crossfold/shared/results';
import { completedFolds } from '../aggregate.ts';
import { count, decimal, meanDecimal, meanPercent, percent, seconds, splitText, whole } from '../text.ts';
import { type Html, html, raw } from './html.ts';

export interface ReportInput {
  readonly results: Results;
  /** The resolved experiment, `experiment.yaml`. */
  readonly yaml: string;
}

const style = `:root{color-scheme:light dark;font:16px/1.5 system-ui,sans-serif}body{max-width:60rem;margin:2rem auto;padding:0 1rem}
table{border-collapse:collapse;margin:1rem 0}th,td{padding:.25rem .75rem;border-bottom:1px solid #8884;text-align:right}
th:first-child,td:first-child{text-align:left}caption{text-align:left;font-weight:600}pre{overflow:auto}code{overflow-wrap:anywhere}`;

/** The report of an experiment: one page that needs nothing but itself. */
export function reportHtml({ results, yaml }: ReportInput): string {
  const { trials, best, test, split, dataset } = results;
  const trial = trials.find((t) => t.trial === best?.trial) ?? trials[0];
  const folds = trial === undefined ? [] : completedFolds(trial);
  const page = html`<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>${results.name}: report</title><style>${raw(style)}</style></head><body><main>
<h1>${results.name}</h1>
<p>${splitText(split)} of ${count(dataset.samples, 'sample')} of ${dataset.name}: ${results.status} in ${seconds(results.wallSeconds)}.</p>
${trial?.summary == null ? undefined : html`<p><strong>Validation accuracy ${meanPercent(trial.summary.accuracy)}</strong>, loss ${meanDecimal(trial.summary.loss)}.</p>`}
${test === undefined ? undefined : html`<p><strong>Test accuracy ${percent(test.accuracy)}</strong> on ${count(test.samples, 'held-out sample')}.</p>`}
${foldTable(folds)}
${folds.length === 0 ? undefined : confusion(folds, dataset.classes)}
<h2>To run it again</h2><p>The split's digest is <code>${split.digest}</code>.</p><pre><code>${yaml}</code></pre>
</main></body></html>
`;
  return page.html;
}

const foldTable = (folds: readonly CompletedFold[]): Html => html`<table><caption>Each fold</caption>
<thead><tr><th scope="col">Fold</th><th scope="col">Accuracy</th><th scope="col">Loss</th><th scope="col">Epochs</th><th scope="col">Images/s</th><th scope="col">Time</th><th scope="col">Trained by</th></tr></thead>
<tbody>${folds.map(
  (fold) =>
    html`<tr><th scope="row">${fold.fold}</th><td>${percent(fold.validation.accuracy)}</td><td>${decimal(fold.validation.loss)}</td><td>${fold.epochs}</td><td>${whole(fold.imagesPerSecond)}</td><td>${seconds(fold.seconds)}</td><td>${fold.workers.join(', ')}</td></tr>`,
)}</tbody></table>`;

function confusion(folds: readonly CompletedFold[], classes: readonly string[]): Html {
  const cell = (t: number, p: number): number =>
    folds.reduce((sum, fold) => sum + (fold.validation.confusionMatrix[t]?.[p] ?? 0), 0);
  return html`<table><caption>Confusion matrix over all folds: rows are the true classes, columns the predicted ones</caption>
<thead><tr><td></td>${classes.map((name) => html`<th scope="col">${name}</th>`)}</tr></thead>
<tbody>${classes.map((name, t) => html`<tr><th scope="row">${name}</th>${classes.map((_, p) => html`<td>${cell(t, p)}</td>`)}</tr>`)}</tbody></table>`;
}
