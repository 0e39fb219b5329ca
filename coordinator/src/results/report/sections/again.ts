import type { Results, TrialResult } from '@crossfold/shared/results';
import { engineText } from '../../engine-text.ts';
import { completedFolds } from '../../select.ts';
import { count, sizesOf, splitText } from '../../text.ts';
import { type Html, html } from '../html.ts';

/** What it takes to get the same results again, to the bit on the same kind of machine. */
export function againSection(results: Results, trial: TrialResult | undefined, yaml: string): Html {
  const { dataset, split, seed, engine, software } = results;
  const facts: readonly (readonly [string, Html | string])[] = [
    ['crossfold', software],
    ...(engine === null ? [] : [['engine', engineText(engine)] as const]),
    ['seed', String(seed)],
    [
      'data',
      html`${dataset.name}, ${count(dataset.samples, 'training sample')}; digest of the manifest ${code(dataset.digest)}`,
    ],
    ...sizesOf(dataset).map(
      ([size, digest]) => [`data at ${size}`, html`digest of the manifest ${code(digest)}`] as const,
    ),
    ['split', html`${splitText(split)}; digest of folds.json ${code(split.digest)}`],
  ];
  const folds = trial === undefined ? [] : completedFolds(trial);
  return html`<section aria-labelledby="again"><h2 id="again">To run it again</h2>
<p>Save the experiment below as <code>experiment.yaml</code> (it is in the run’s folder too), and run it. The same seed gives the same splits, initial weights and batches; on the same engine it gives the same weights, bit for bit, whatever the number of workers.</p>
<div class="copy"><pre class="command"><code>npx crossfold run experiment.yaml</code></pre></div>
<dl class="facts">${facts.map(([name, value]) => html`<div><dt>${name}</dt><dd>${value}</dd></div>`)}</dl>
<div class="copy"><h3 id="yaml">experiment.yaml</h3><pre tabindex="0" role="region" aria-labelledby="yaml"><code>${yaml}</code></pre></div>
${
  folds.length === 0
    ? undefined
    : html`<details data-name="digests"><summary>Digests of the folds’ weights</summary><div class="scroll"><table><caption>SHA-256 of each fold’s weights: equal digests, equal models</caption><thead><tr><th scope="col">fold</th><th scope="col" class="text">digest</th></tr></thead><tbody>${folds.map(
        (fold) =>
          html`<tr><th scope="row">${split.repeats > 1 ? `${fold.repeat}/` : ''}${fold.fold}</th><td class="text">${code(fold.weightsSha256)}</td></tr>`,
      )}</tbody></table></div></details>`
}</section>`;
}

const code = (text: string): Html => html`<code class="digest">${text}</code>`;
