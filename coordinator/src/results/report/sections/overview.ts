import type { Results } from '@crossfold/shared/results';
import type { Findings } from '../../findings.ts';
import { bestFold, completedFolds } from '../../select.ts';
import { count, leftOutText, meanDecimal, percent, points, seconds, splitText, whole } from '../../text.ts';
import { type Html, html } from '../html.ts';

/**
 * Title, verdict and the figures that people ask for first.
 *
 * @param state of an experiment that is under way: its results are of what is finished
 */
export function overview(results: Results, found: Findings, state?: string): Html {
  const { name, id, status, dataset, split, submittedAt, trials } = results;
  const when = `${submittedAt.slice(0, 10)} ${submittedAt.slice(11, 16)} UTC`;
  return html`<header class="top"><p class="kind">Crossfold report</p>
<h1>${name} <span class="badge ${state ?? status}">${state ?? status}</span></h1>
<p class="facts">${splitText(split)}${trials.length > 1 ? `, ${count(trials.length, 'trial')}` : ''} · ${dataset.name}, ${count(dataset.samples, 'sample')}${leftOutText(dataset)}, ${count(dataset.classes.length, 'class', 'classes')} · <time datetime="${submittedAt}">${when}</time> · <span class="id">${id}</span></p></header>
<section aria-labelledby="verdict"><h2 id="verdict">Verdict${state === undefined ? '' : ' so far'}</h2>
<p class="lead">${found.verdict}</p>
${found.ranking.map((text) => html`<p class="ranking">${text}</p>`)}
${found.problems.length === 0 ? undefined : html`<ul class="problems">${found.problems.map((text) => html`<li>${text}</li>`)}</ul>`}
<dl class="cards">${cards(results, found)}</dl>
${found.remarks.length === 0 ? undefined : html`<ul class="remarks">${found.remarks.map((text) => html`<li>${text}</li>`)}</ul>`}
</section>`;
}

function cards({ test, wallSeconds, trials }: Results, { trial }: Findings): Html[] {
  const folds = trial === undefined ? [] : completedFolds(trial);
  const summary = trial?.summary ?? undefined;
  const best = bestFold(folds);
  const all = trials.flatMap(completedFolds);
  const images = all.reduce((sum, fold) => sum + fold.samplesSeen, 0);
  const workers = new Set(trials.flatMap((each) => each.folds.flatMap((fold) => fold.workers)));
  const made: Html[] = [];
  const isWhole = trial?.status !== 'running';
  if (summary !== undefined && isWhole)
    made.push(
      card(
        'validation accuracy',
        percent(summary.accuracy.mean),
        folds.length > 1 ? `± ${points(summary.accuracy.std)} over ${count(folds.length, 'fold')}` : 'on one split',
        'main',
      ),
    );
  if (test !== undefined)
    made.push(card('test accuracy', percent(test.accuracy), `${count(test.samples, 'held-out sample')}`, 'main'));
  if (summary !== undefined && isWhole)
    made.push(card('validation loss', meanDecimal(summary.loss), 'lower is better'));
  if (best !== undefined && folds.length > 1 && isWhole)
    made.push(card('best fold', percent(best.validation.accuracy), `fold ${best.fold}`));
  made.push(
    card(
      'time',
      seconds(wallSeconds),
      `${count(workers.size, 'worker')}${images === 0 ? '' : `, ${whole(images / Math.max(wallSeconds, 1e-9))} images/s in all`}`,
    ),
  );
  return made;
}

const card = (label: string, value: string, note: string, kind = ''): Html =>
  html`<div class="card ${kind}"><dt>${label}</dt><dd><strong>${value}</strong> <small>${note}</small></dd></div>`;
