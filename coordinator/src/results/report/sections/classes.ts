import type { CompletedFold, Results, Scores } from '@crossfold/shared/results';
import type { PooledScores } from '../../pooled.ts';
import { mistakes, pooledScores, supportOf } from '../../pooled.ts';
import { count, decimal, percent, whole } from '../../text.ts';
import { type Html, html } from '../html.ts';

/** Classes up to which a matrix can be taken in; beyond, the most frequent mistakes are listed. */
const maxMatrix = 30;
const maxMistakes = 25;

/** What was taken for what, and scores of each class: over all folds, and of the test set. */
export function classesSection(
  folds: readonly CompletedFold[],
  { dataset, test }: Results,
  of: string,
): Html | undefined {
  if (folds.length === 0) return undefined;
  const { classes } = dataset;
  const pooled = pooledScores(folds, classes.length);
  const total = count(
    supportOf(pooled.confusionMatrix).reduce((sum, n) => sum + n, 0),
    'validation sample',
  );
  const name = folds.length > 1 ? `All folds: ${total}` : `The fold: ${total}`;
  const sets: readonly (readonly [string, PooledScores])[] = [
    [name, pooled],
    ...(test === undefined ? [] : [[`Test set: ${count(test.samples, 'sample')}`, test] as const]),
  ];
  const drawn = classes.length <= maxMatrix ? matrix : mistakeTable;
  return html`<section aria-labelledby="classes"><h2 id="classes">Classes${of}</h2>
${classes.length <= maxMatrix ? html`<p class="note">Rows are the true classes, columns the predicted ones. Right answers are on the diagonal; mistakes are coloured by their share of the true class.${folds.length > 1 ? ' Each validation sample counts for the fold whose model was not trained on it.' : ''} <button type="button" class="shares" aria-pressed="false" hidden>show shares</button></p>` : undefined}
<div class="pair matrices">${sets.map(([caption, scores]) => html`<div class="scroll">${drawn(caption, scores.confusionMatrix, classes)}</div>`)}</div>
<div class="scroll">${classTable(classes, pooled, folds, test)}</div></section>`;
}

function matrix(caption: string, confusionMatrix: readonly (readonly number[])[], classes: readonly string[]): Html {
  const support = supportOf(confusionMatrix);
  const most = Math.max(...mistakes(confusionMatrix).map(({ count: n, of }) => n / of), 0);
  const cell = (n: number, actual: number, predicted: number): Html => {
    const share = n / Math.max(1, support[actual] ?? 0);
    const right = actual === predicted;
    const what = right ? 'recognised' : `taken for ${classes[predicted]}`;
    return html`<td class="${heat(share, right, most)}" data-share="${(100 * share).toFixed(share > 0.9995 || share === 0 ? 0 : 1)}" data-tip="${`${classes[actual]} ${what}: ${whole(n)} of ${whole(support[actual] ?? 0)} (${percent(share)})`}">${n}</td>`;
  };
  return html`<table class="matrix${classes.length > 15 ? ' dense' : classes.length < 5 ? ' roomy' : ''}"><caption>${caption}</caption>
<thead><tr><th scope="col"><span class="away">true class</span></th>${classes.map((name) => html`<th scope="col">${name}</th>`)}</tr></thead>
<tbody>${confusionMatrix.map((row, actual) => html`<tr><th scope="row">${classes[actual]}</th>${row.map((n, predicted) => cell(n, actual, predicted))}</tr>`)}</tbody></table>`;
}

/**
 * One of ten shades. Right answers take theirs from their share of the class. Mistakes are seldom that many: theirs grow
 * up to `most`, the largest share of any.
 */
function heat(share: number, right: boolean, most: number): string {
  if (share === 0) return 'zero';
  if (right) return `right h${Math.max(1, Math.round(10 * share))}`;
  return `wrong h${1 + Math.round((5 * share) / Math.max(most, 0.04))}`;
}

function mistakeTable(
  caption: string,
  confusionMatrix: readonly (readonly number[])[],
  classes: readonly string[],
): Html {
  const rows = mistakes(confusionMatrix).slice(0, maxMistakes);
  return html`<table class="sortable"><caption>Most frequent mistakes. ${caption}</caption>
<thead><tr><th scope="col" class="text">true class</th><th scope="col" class="text">taken for</th><th scope="col">samples</th><th scope="col">of the class</th></tr></thead>
<tbody>${rows.map((row) => html`<tr><th scope="row" class="text">${classes[row.actual]}</th><td class="text">${classes[row.predicted]}</td><td data-value="${row.count}">${whole(row.count)}</td><td data-value="${row.count / row.of}">${percent(row.count / row.of)}</td></tr>`)}</tbody></table>`;
}

function classTable(
  classes: readonly string[],
  pooled: PooledScores,
  folds: readonly CompletedFold[],
  test: Scores | undefined,
): Html {
  const measures = [
    ['precision', 'precision'],
    ['recall', 'recall'],
    ['F1', 'f1'],
  ] as const;
  const sets = [pooled, ...(test === undefined ? [] : [test])];
  const supports = sets.map(({ confusionMatrix }) => supportOf(confusionMatrix));
  const macro = (values: readonly number[]): number => values.reduce((sum, v) => sum + v, 0) / values.length;
  const areas = folds.flatMap(({ validation }) => (validation.rocAuc === undefined ? [] : [validation.rocAuc]));
  const auc =
    areas.length === 0
      ? undefined
      : html`<p class="note">Area under the ROC curve: ${decimal(macro(areas))}${areas.length > 1 ? ' (mean over the folds)' : ''}${test?.rocAuc === undefined ? '' : `; ${decimal(test.rocAuc)} on the test set`}.</p>`;
  return html`<table class="sortable"><caption>Scores of each class</caption>
<thead>${test === undefined ? undefined : html`<tr><td></td><th scope="colgroup" colspan="4">validation, all folds</th><th scope="colgroup" colspan="4">test set</th></tr>`}
<tr class="columns"><th scope="col" class="text">class</th>${sets.map(() => html`<th scope="col">samples</th>${measures.map(([name]) => html`<th scope="col">${name}</th>`)}`)}</tr></thead>
<tbody>${classes.map(
    (name, k) =>
      html`<tr><th scope="row" class="text">${name}</th>${sets.map(
        (scores, s) =>
          html`<td data-value="${supports[s]?.[k] ?? 0}">${whole(supports[s]?.[k] ?? 0)}</td>${measures.map(([, key]) => html`<td data-value="${scores[key][k] ?? 0}">${percent(scores[key][k] ?? 0)}</td>`)}`,
      )}</tr>`,
  )}</tbody>
<tfoot><tr><th scope="row" class="text">mean</th>${sets.map((scores) => html`<td></td>${measures.map(([, key]) => html`<td>${percent(macro(scores[key]))}</td>`)}`)}</tr></tfoot></table>${auc}`;
}
