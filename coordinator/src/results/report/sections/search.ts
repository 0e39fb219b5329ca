import type { Results, SearchRound } from '@crossfold/shared/results';
import { count, percent, points, pText, whole } from '../../text.ts';
import { type Html, html } from '../html.ts';

/** Rounds, and trials dropped in one, that are listed; results.json has all. */
const [maxRounds, maxDropped] = [60, 30];

/** How a search went, or goes: what it saved, and whom it dropped on what evidence. */
export function searchPart({ search }: Results, isUnderWay: boolean): Html | undefined {
  if (search === undefined) return undefined;
  const { method, foldEpochs, exhaustiveFoldEpochs, rounds } = search;
  const share = exhaustiveFoldEpochs === 0 ? 1 : foldEpochs / exhaustiveFoldEpochs;
  const stopped = rounds.reduce((sum, { dropped }) => sum + dropped.length, 0);
  const saved = isUnderWay
    ? ` so far, of the ${whole(exhaustiveFoldEpochs)} that all trials to their ends would take`
    : foldEpochs < exhaustiveFoldEpochs
      ? `, ${percent(share)} of the ${whole(exhaustiveFoldEpochs)} that all trials to their ends would have taken`
      : '';
  const isRace = rounds.some(({ dropped }) => dropped.some(({ pValue }) => pValue !== undefined));
  const racing = isRace
    ? html`<p class="note">p in the race is that of the decision, on the folds seen by then, against whoever led, with a variance that leans on all pairs; that in the table of trials is against the best in the end, adjusted for their number. They differ.</p>`
    : undefined;
  return html`<p class="note">Search by ${method}: ${count(foldEpochs, 'epoch')} of a fold were trained${saved}${stopped === 0 ? '' : `; ${count(stopped, 'trial')} ${stopped === 1 ? 'was' : 'were'} stopped early`}.</p>
${stopped === 0 ? undefined : html`<details data-name="rounds"><summary>Who was stopped, and on what evidence</summary><div class="scroll">${roundTable(rounds)}</div>${racing}</details>`}`;
}

function roundTable(rounds: readonly SearchRound[]): Html {
  const nested = rounds.some(({ within }) => within !== undefined);
  const told = rounds.filter(({ dropped }) => dropped.length > 0);
  return html`<table><caption>Decisions of the search${told.length > maxRounds ? html` <small>(the first ${maxRounds}; results.json has all)</small>` : undefined}</caption>
<thead><tr>${nested ? html`<th scope="col">within fold</th>` : undefined}<th scope="col">folds seen</th><th scope="col">epochs</th><th scope="col">trials in</th><th scope="col" class="text">stopped</th></tr></thead>
<tbody>${told
    .slice(0, maxRounds)
    .map(
      ({ within, folds, epochs, scores, dropped }) =>
        html`<tr>${nested ? html`<td>${within ?? ''}</td>` : undefined}<td>${folds}</td><td>${epochs}</td><td>${scores.length}</td><td class="text">${dropped.slice(0, maxDropped).map(droppedText).join('; ')}${dropped.length > maxDropped ? ` and ${dropped.length - maxDropped} more` : ''}</td></tr>`,
    )}</tbody></table>`;
}

function droppedText({ trial, reason, versus, behind, pValue }: SearchRound['dropped'][number]): string {
  if (reason === 'lost') return `trial ${trial} (a fold of it failed or was cancelled)`;
  const by = behind === undefined ? '' : `${points(behind)} behind${versus === undefined ? '' : ` trial ${versus}`}`;
  const p = pValue === undefined ? '' : `, p ${pText(pValue)} in the race`;
  return `trial ${trial}${by === '' && p === '' ? '' : ` (${by}${p})`}`;
}
