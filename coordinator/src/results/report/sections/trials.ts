import type { Results, TrialResult } from '@crossfold/shared/results';
import { completedFolds, ranked, type ScoredFold, scoredFolds } from '../../select.ts';
import {
  belowText,
  count,
  decimal,
  interval,
  meanPercent,
  percent,
  points,
  pText,
  statusText,
  stoppedAt,
  valueText,
  whole,
} from '../../text.ts';
import { significance } from '../../verdict.ts';
import { dots } from '../charts/dots.ts';
import { floorOf, parallel } from '../charts/parallel.ts';
import { type Html, html } from '../html.ts';
import { type ParameterColumn, parameterColumns } from '../parameters.ts';
import { courseCharts } from './course.ts';
import { foldTable } from './folds.ts';
import { searchPart } from './search.ts';

/** What is drawn and listed of large searches; results.json has everything. */
/** Characters of a parameter's value that a cell shows. */
const maxValue = 40;
const limits = { rows: 1000, dots: 40, lines: 600, details: 12 };

/**
 * Several trials: which is best and how sure that is, as a table, as points, and against their parameters.
 *
 * @param isUnderWay whether there is more to come
 */
export function trialsSection(results: Results, isUnderWay = false): Html | undefined {
  const { trials, best } = results;
  if (trials.length < 2) return undefined;
  const order = ranked(trials);
  const columns = parameterColumns(trials);
  const lines = parallel(order.slice(0, limits.lines), columns, best?.trial);
  return html`<section aria-labelledby="trials"><h2 id="trials">Trials</h2>
${trialDots(order, results)}
${lines === undefined ? undefined : html`<figure class="wide"><h3>Parameters and accuracy</h3><div class="scroll">${lines}</div><figcaption>A line is a trial, the stronger the better.</figcaption></figure>`}
${searchPart(results, isUnderWay)}
<div class="tools" hidden><label>Filter <input type="search" data-filters="trial-table" aria-describedby="trials-shown" placeholder="trial, value or status"></label><span id="trials-shown" role="status"></span></div>
<div class="scroll">${trialTable(order, columns, results)}</div>
${legendOf(columns)}
</section>`;
}

function trialDots(order: readonly TrialResult[], { best, nested }: Results): Html | undefined {
  // Nested, a trial's mean is that of the inner folds.
  const foldsOf = (trial: TrialResult): ScoredFold[] =>
    scoredFolds(trial).filter(({ within }) => nested === undefined || within !== undefined);
  const nameOf = (trial: TrialResult): string => {
    const epoch = stoppedAt(trial);
    return `trial ${trial.trial}${epoch === undefined ? '' : `, epoch ${epoch}`}`;
  };
  const scored = order.filter(({ summary }) => summary !== null);
  const floor = floorOf(scored);
  const shown = scored.filter(({ summary }) => (summary?.accuracy.mean ?? 0) >= floor).slice(0, limits.dots);
  if (shown.length === 0) return undefined;
  const rows = shown.map((trial) => ({
    label: nameOf(trial),
    points: foldsOf(trial).map((fold) => ({
      value: fold.validation.accuracy,
      tip: `trial ${trial.trial}, fold ${fold.fold}: ${percent(fold.validation.accuracy)}${fold.status === 'completed' ? '' : `, ${fold.status} after ${count(fold.epochs ?? 0, 'epoch')}`}`,
      key: `trial-${trial.trial}`,
    })),
    ...(trial.summary === null ? {} : { summary: trial.summary.accuracy }),
    ...(trial.trial === best?.trial ? { kind: 'best' as const } : {}),
  }));
  const left = order.length - shown.length;
  return html`<figure class="wide"><h3>Accuracy</h3><div class="scroll">${dots({
    rows,
    width: 960,
    description: `Accuracy of ${shown.length} trials in each fold, with mean and 95 % confidence interval. The numbers are in the table of trials.`,
  })}</div><figcaption>Points: folds. Line and whiskers: mean and its 95 % confidence interval, for each trial by itself; whether two trials differ is judged fold by fold, in the table.${left > 0 ? ` The best ${shown.length} of ${order.length} are shown.` : ''}</figcaption></figure>`;
}

function trialTable(order: readonly TrialResult[], columns: readonly ParameterColumn[], results: Results): Html {
  const left = order.length - limits.rows;
  return html`<table class="sortable" id="trial-table"><caption>All trials${left > 0 ? html` <small>(the best ${limits.rows}; results.json has ${left} more)</small>` : undefined}</caption>
<thead><tr><th scope="col">trial</th><th scope="col">accuracy</th><th scope="col">95 % interval</th><th scope="col">below the best</th><th scope="col">p</th><th scope="col" class="text">verdict</th>${columns.map(({ name }) => html`<th scope="col">${name}</th>`)}<th scope="col">folds</th><th scope="col">loss</th><th scope="col">weights</th></tr></thead>
<tbody>${order.slice(0, limits.rows).map((trial) => trialRow(trial, columns, results))}</tbody></table>`;
}

function trialRow(trial: TrialResult, columns: readonly ParameterColumn[], { best, split }: Results): Html {
  const { summary, comparison, weights, status, folds, parameters } = trial;
  const isBest = trial.trial === best?.trial;
  const kind = isBest ? 'best' : status === 'completed' ? '' : status;
  const scores =
    summary === null
      ? html`<td></td><td></td>`
      : html`<td data-value="${summary.accuracy.mean}">${meanPercent(summary.accuracy)}</td><td data-value="${summary.accuracy.ci95[0] ?? ''}">${interval(summary.accuracy)}</td>`;
  const compared =
    comparison === undefined
      ? html`<td></td><td></td>`
      : html`<td data-value="${comparison.difference}" data-tip="${comparedTip(comparison)}">${belowText(comparison)}</td><td data-value="${comparison.pAdjusted}">${pText(comparison.pAdjusted)}</td>`;
  const done = completedFolds(trial).length;
  const wanted = status === 'running' ? split.folds * split.repeats : folds.length;
  const ofParameters = columns.map(({ path }) =>
    path in parameters ? parameterCell(parameters[path]) : html`<td></td>`,
  );
  return html`<tr data-key="trial-${trial.trial}" class="${kind}"><th scope="row">${trial.trial}</th>${scores}${compared}<td class="text">${verdictOf(trial, best)}</td>${ofParameters}<td data-value="${done}">${done} of ${wanted}</td>${summary === null ? html`<td></td>` : html`<td data-value="${summary.loss.mean}">${decimal(summary.loss.mean)}</td>`}${weights === undefined ? html`<td></td>` : html`<td data-value="${weights}">${whole(weights)}</td>`}</tr>`;
}

function comparedTip({ ci95: [low, high], folds, at }: NonNullable<TrialResult['comparison']>): string {
  const known = low !== undefined && high !== undefined;
  const interval = known ? `95 % interval ${points(low)} to ${points(high)}` : 'the same on every fold: no interval';
  const where = at === undefined ? '' : `\nafter epoch ${at.epoch}: ${percent(at.trial)}, the best ${percent(at.best)}`;
  return `${interval}\non ${folds} folds that both have${where}`;
}

/** A value that is a whole mapping is shown in part; pointing at it shows all. */
function parameterCell(value: unknown): Html {
  const text = valueText(value);
  return text.length <= maxValue
    ? html`<td>${text}</td>`
    : html`<td class="text" data-value="${text}" data-tip="${text}">${text.slice(0, maxValue - 1)}…</td>`;
}

/** One or two words on where a trial stands. */
function verdictOf(one: TrialResult, best: Results['best']): string {
  const { trial, status, comparison } = one;
  const words: string[] = [
    ...(trial === best?.trial ? ['best'] : []),
    ...(trial === best?.oneStandardError && trial !== best.trial ? ['smallest'] : []),
    ...(best?.undecided.includes(trial) === true ? ['undecided'] : []),
    ...(status === 'completed' ? [] : [statusText(one)]),
  ];
  if (status === 'pruned' && comparison !== undefined && comparison.pAdjusted >= significance) words.push('undecided');
  if (words.length > 0) return words.join(', ');
  return comparison === undefined ? '' : 'worse';
}

/** Full paths of the parameters whose names are cut short, and what p is. */
function legendOf(columns: readonly ParameterColumn[]): Html {
  const short = columns.filter(({ name, path }) => name !== path);
  return html`<p class="note">“Below the best” is the mean difference on the folds that both have, of a trial that was stopped early after the epoch that is named, where neither was whole; p says how often chance alone would make one so large if there were none in truth (corrected resampled t-test after Nadeau and Bengio, adjusted for the number of trials after Benjamini and Hochberg; a race stops trials by another p, that of its decision at the time, which stands with whom it stopped). Undecided: cannot be told apart from the best, p is 0.05 or more. Smallest: the smallest net within one standard error of the best.${
    short.length === 0
      ? undefined
      : html` Parameters: ${short.map(({ name, path }, i) => html`${i === 0 ? '' : ', '}${name} is <code>${path}</code>`)}.`
  }</p>`;
}

/** The other trials, the better ones first, each with its folds and curves folded away. */
export function otherTrialsSection(results: Results): Html | undefined {
  const shown = results.nested === undefined ? results.best?.trial : undefined;
  const others = ranked(results.trials).filter((trial) => trial.trial !== shown && completedFolds(trial).length > 0);
  if (results.trials.length < 2 || others.length === 0) return undefined;
  const left = others.length - limits.details;
  return html`<section aria-labelledby="others"><h2 id="others">${shown === undefined ? 'Each trial' : 'Other trials'}</h2>
${others
  .slice(0, limits.details)
  .map(
    (trial) =>
      html`<details class="trial" data-name="trial-${trial.trial}"><summary>Trial ${trial.trial}: ${trial.summary === null ? '' : meanPercent(trial.summary.accuracy)}</summary><div class="scroll">${foldTable(trial, results.split.repeats > 1, `Folds of trial ${trial.trial}`)}</div>${courseOf(trial)}</details>`,
  )}${left > 0 ? html`<p class="note">${left} more are in results.json and history.csv.</p>` : undefined}</section>`;
}

/** A trial's learning curves; nothing where its histories are not there, as of many trials while they are under way. */
function courseOf(trial: TrialResult): Html | undefined {
  const drawn = completedFolds(trial).filter(({ history }) => history.loss.length > 0);
  return drawn.length === 0 ? undefined : courseCharts(drawn);
}
