import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { Results, TrialResult } from '@crossfold/shared/results';
import { findings } from '../findings.ts';
import { completedFolds } from '../select.ts';
import { html, raw } from './html.ts';
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

/**
 * The report of an experiment: one page that needs nothing but itself, and whose policy forbids it the network and any
 * script or style but its own. It is complete without the script, which adds pointing, sorting and filtering.
 */
export function reportHtml({ results, yaml }: ReportInput): string {
  const found = findings(results);
  const { trial } = found;
  const folds = trial === undefined ? [] : completedFolds(trial);
  const of = headingOf(results, trial);
  const style = asset('report.css');
  const script = asset('report.js');
  const policy = `default-src 'none'; img-src data:; style-src '${hash(style)}'; script-src '${hash(script)}'; base-uri 'none'; form-action 'none'`;
  return html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="${policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>${results.name}: Crossfold report</title>
<style>${raw(style)}</style>
</head>
<body>
<main>
${overview(results, found)}
${trialsSection(results)}
${trial === undefined ? undefined : foldsSection(results, trial, of)}
${courseSection(folds, of)}
${classesSection(folds, results, of)}
${mistakesSection(results)}
${otherTrialsSection(results)}
${againSection(results, trial, yaml)}
</main>
<div id="tip" role="tooltip" hidden></div>
<script>${raw(script)}</script>
</body>
</html>
`.html;
}

/** What a heading adds where there are several trials. */
function headingOf({ trials, best, nested }: Results, trial: TrialResult | undefined): string {
  if (trial === undefined || trials.length < 2) return '';
  if (nested !== undefined) return ' of what was found in each';
  return ` of trial ${trial.trial}${best === null ? '' : ', the best'}`;
}

/** A file of `coordinator/assets/report`; the same from src/ and from dist/. */
const asset = (name: string): string =>
  readFileSync(new URL(`../../../assets/report/${name}`, import.meta.url), 'utf8').trim();

const hash = (text: string): string => `sha256-${createHash('sha256').update(text).digest('base64')}`;
