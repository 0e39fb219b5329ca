import type { Results, TrialResult } from '@crossfold/shared/results';
import { findings } from '../findings.ts';
import { completedFolds } from '../select.ts';
import { type Html, html } from './html.ts';
import { asset, page } from './page.ts';
import { againSection } from './sections/again.ts';
import { classesSection } from './sections/classes.ts';
import { courseSection } from './sections/course.ts';
import { foldsSection } from './sections/folds.ts';
import { mistakesSection } from './sections/mistakes.ts';
import { overview } from './sections/overview.ts';
import { otherTrialsSection, trialsSection } from './sections/trials.ts';

export interface ReportInput {
  readonly results: Results;
  /** The resolved experiment, `experiment.yaml`. */
  readonly yaml: string;
}

/** What a page adds that a coordinator serves. */
export interface ServedParts {
  /** While its experiment is under way. */
  readonly live?: LivePart;
  /** What can be done with the experiment, for whoever has the token. */
  readonly manage?: Html;
}

/** What a page adds while its experiment is under way. */
export interface LivePart {
  /** How it stands, above everything else. */
  readonly head: Html;
  /** The state that stands in the place of the results', which know final states alone. */
  readonly state: string;
}

/**
 * The report of an experiment: one page that needs nothing but itself, and whose policy forbids it the network and any
 * script or style but its own. It is complete without the script, which adds pointing, sorting and filtering.
 */
export function reportHtml({ results, yaml }: ReportInput, { live, manage }: ServedParts = {}): string {
  const found = findings(results);
  const { trial } = found;
  const folds = trial === undefined ? [] : completedFolds(trial);
  const of = headingOf(results, trial);
  const body = html`<main>
${live === undefined ? undefined : html`${live.head}\n`}${overview(results, found, live?.state)}
${trialsSection(results, live !== undefined)}
${trial === undefined ? undefined : foldsSection(results, trial, of)}
${courseSection(folds, of)}
${classesSection(folds, results, of)}
${mistakesSection(results)}
${otherTrialsSection(results)}
${againSection(results, trial, yaml)}${
  manage === undefined
    ? undefined
    : html`
${manage}`
}
</main>
${tooltip}`;
  return page({
    title: `${results.name}: Crossfold report`,
    body,
    scripts: scriptsOf(live !== undefined, manage !== undefined),
    isLive: live !== undefined || manage !== undefined,
  });
}

/** The scripts of a page, in their order: those after the first find the page as it has seen it served. */
export const scriptsOf = (isLive: boolean, canWrite: boolean): string[] => [
  ...(isLive ? [asset('live.js')] : []),
  asset('report.js'),
  ...(canWrite ? [asset('manage.js')] : []),
];

/** Where the script tells the numbers of what is pointed at. */
export const tooltip = html`<div id="tip" role="tooltip" hidden></div>`;

/** What a heading adds where there are several trials. */
function headingOf({ trials, best, nested }: Results, trial: TrialResult | undefined): string {
  if (trial === undefined || trials.length < 2) return '';
  if (nested !== undefined) return ' of what was found in each';
  return ` of trial ${trial.trial}${best === null ? '' : ', the best'}`;
}
