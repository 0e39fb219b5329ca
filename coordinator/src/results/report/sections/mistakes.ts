import type { Mistake, Reliability, Results } from '@crossfold/shared/results';
import { decimal, percent, whole } from '../../text.ts';
import { at, plot } from '../charts/plot.ts';
import { type Html, html } from '../html.ts';

/**
 * How far the net's probabilities can be trusted, and its most confident mistakes: on the test set, or where there is none,
 * on the samples that each fold's net was validated on.
 */
export function mistakesSection({ dataset, split, test, outOfFold }: Results): Html | undefined {
  const onTest = test?.reliability === undefined ? undefined : { ...test, reliability: test.reliability };
  const judged = onTest ?? outOfFold;
  if (judged === undefined) return undefined;
  const { samples, reliability, mistakes = [] } = judged;
  const where =
    onTest !== undefined
      ? `On the ${whole(samples)} samples of the test set`
      : `On the ${whole(samples)} validation samples, each asked of ${split.folds * split.repeats > 1 ? 'the net of its fold' : 'the net'}, which was not trained on it,`;
  const foldOf = (mistake: Mistake | OutOfFold): string | undefined => {
    if (!('fold' in mistake) || split.folds * split.repeats < 2) return undefined;
    return split.repeats > 1 ? `repeat ${mistake.repeat}, fold ${mistake.fold}` : `fold ${mistake.fold}`;
  };
  return html`<section aria-labelledby="mistakes"><h2 id="mistakes">How sure it is, and of what it should not be</h2>
<p class="note">${where} the probability of the predicted class is off by ${percent(reliability.error)} on average (expected calibration error). Points on the diagonal: as often right as it says; below it: too sure of itself.</p>
<div class="pair">${reliabilityPlot(reliability)}<div class="scroll">${reliabilityTable(reliability, onTest !== undefined ? 'Test set' : 'Validation samples')}</div></div>
${mistakes.length === 0 ? undefined : html`<h3>The most confident mistakes</h3><ul class="gallery">${mistakes.map((mistake) => mistakeItem(mistake, dataset.classes, foldOf(mistake)))}</ul>`}</section>`;
}

type OutOfFold = NonNullable<Results['outOfFold']>['mistakes'][number];

function reliabilityPlot({ bins }: Reliability): Html {
  const samples = bins.reduce((sum, bin) => sum + bin.samples, 0);
  const axis = { domain: [0, 1] as const, ticks: 5, format: 'percent' as const, exact: true };
  return html`<figure>${plot(
    {
      width: 420,
      height: 320,
      description: `Share of right predictions by their probability: ${bins.map((bin) => `${percent(bin.confidence)}: ${percent(bin.accuracy)}`).join('; ')}`,
      x: { ...axis, label: 'probability of the predicted class' },
      y: { ...axis, label: 'right' },
      margin: { top: 12, right: 16, bottom: 44, left: 52 },
    },
    ({ x, y }) => html`<line class="reference" x1="${at(x(0))}" y1="${at(y(0))}" x2="${at(x(1))}" y2="${at(y(1))}"/>
${bins.map((bin) => html`<circle class="point" cx="${at(x(bin.confidence))}" cy="${at(y(bin.accuracy))}" r="${at(3 + 9 * Math.sqrt(bin.samples / samples))}" data-tip="${`${whole(bin.samples)} samples of ${percent(bin.confidence)} on average: ${percent(bin.accuracy)} right`}"/>`)}`,
  )}</figure>`;
}

const reliabilityTable = ({ bins }: Reliability, of: string): Html =>
  html`<table><caption>${of}, by the probability of the predicted class</caption>
<thead><tr><th scope="col" class="text">probability</th><th scope="col">samples</th><th scope="col">mean</th><th scope="col">right</th></tr></thead>
<tbody>${bins.map((bin) => html`<tr><th scope="row" class="text">${(100 * bin.from).toFixed(0)} to ${(100 * bin.to).toFixed(0)} %</th><td>${whole(bin.samples)}</td><td>${percent(bin.confidence)}</td><td>${percent(bin.accuracy)}</td></tr>`)}</tbody></table>`;

function mistakeItem(
  { sample, name, label, predicted, confidence, loss, picture }: Mistake,
  classes: readonly string[],
  from: string | undefined,
): Html {
  const what = name ?? `sample ${sample}`;
  return html`<li><img src="${picture}" alt="${what}" width="128"><br><b>${classes[label]}</b>, taken for ${classes[predicted]}<br><span class="note">${percent(confidence)} sure, loss ${decimal(loss, 2)}<br>${what.split('/').map((part, i) => (i === 0 ? part : html`/<wbr>${part}`))}${from === undefined ? undefined : html`, ${from}`}</span></li>`;
}
