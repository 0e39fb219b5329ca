import type { FoldResult, Results, TrialResult } from '@crossfold/shared/results';
import { engineText } from './engine-text.ts';
import { findings } from './findings.ts';
import { pooledScores, supportOf } from './pooled.ts';
import { completedFolds, ranked } from './select.ts';
import {
  belowText,
  decimal,
  meanDecimal,
  meanPercent,
  parametersText,
  percent,
  pText,
  seconds,
  sizesOf,
  splitText,
  statusText,
  whole,
} from './text.ts';

/** The report as Markdown, for where a page cannot go: issues, pull requests, notes. */
export function reportMarkdown(results: Results, yaml: string): string {
  const { trial, verdict, ranking, remarks, problems } = findings(results);
  const blocks = [
    `# ${escapeMarkdown(results.name)}`,
    `${splitText(results.split)} of ${escapeMarkdown(results.dataset.name)}, ${results.status} in ${seconds(results.wallSeconds)} (\`${results.id}\`)`,
    `**${escapeMarkdown(verdict)}**`,
    ...ranking.map(escapeMarkdown),
    list([...problems, ...remarks]),
    ...(results.trials.length > 1 ? ['## Trials', trialTable(results)] : []),
    ...(trial === undefined
      ? []
      : [`## Folds${results.trials.length > 1 ? ` of trial ${trial.trial}` : ''}`, foldTable(trial)]),
    ...(trial === undefined || completedFolds(trial).length === 0 ? [] : ['## Classes', classTable(trial, results)]),
    '## To run it again',
    list([
      `crossfold ${results.software}, seed ${results.seed}`,
      ...(results.engine === null ? [] : [engineText(results.engine)]),
      `data: ${results.dataset.name}, digest ${results.dataset.digest}`,
      ...sizesOf(results.dataset).map(([size, digest]) => `data at ${size}: digest ${digest}`),
      `split: digest ${results.split.digest}`,
    ]),
    '```sh\nnpx crossfold run experiment.yaml\n```',
    `${fence(yaml)}yaml\n${yaml.trimEnd()}\n${fence(yaml)}`,
  ];
  return `${blocks.filter((block) => block !== '').join('\n\n')}\n`;
}

/** Text that no Markdown can come of. */
export const escapeMarkdown = (text: string): string =>
  text
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll(/[\\`*_{}[\]|~#]/g, '\\$&')
    .replaceAll(/\s+/g, ' ');

/** A fence that is longer than any in the text. */
const fence = (text: string): string =>
  '`'.repeat(Math.max(3, ...[...text.matchAll(/`+/g)].map(([ticks]) => ticks.length + 1)));

const list = (items: readonly string[]): string => items.map((item) => `- ${escapeMarkdown(item)}`).join('\n');

/** A table whose columns are aligned by `l` and `r`. */
function table(align: string, head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`;
  const rule = [...align].map((side) => (side === 'r' ? '---:' : '---'));
  return [line(head), line(rule), ...rows.map((row) => line(row.map(escapeMarkdown)))].join('\n');
}

function foldTable(trial: TrialResult): string {
  const cells = (fold: FoldResult): string[] =>
    fold.status === 'completed'
      ? [percent(fold.validation.accuracy), decimal(fold.validation.loss), String(fold.epochs), seconds(fold.seconds)]
      : [fold.status, '', '', ''];
  const repeated = trial.folds.some(({ repeat }) => repeat > 0);
  const name = ({ repeat, fold }: FoldResult): string => (repeated ? `${repeat}/${fold}` : String(fold));
  const rows = trial.folds.map((fold) => [name(fold), ...cells(fold), fold.workers.join(', ')]);
  if (trial.summary !== null && completedFolds(trial).length > 1)
    rows.push(['mean', meanPercent(trial.summary.accuracy), meanDecimal(trial.summary.loss), '', '', '']);
  return table('rrrrrl', [repeated ? 'repeat/fold' : 'fold', 'accuracy', 'loss', 'epochs', 'time', 'trained by'], rows);
}

function trialTable({ trials, best }: Results): string {
  const rows = ranked(trials).map((trial) => [
    `${trial.trial}${trial.trial === best?.trial ? ' (best)' : ''}`,
    trial.summary === null ? '' : meanPercent(trial.summary.accuracy),
    trial.summary === null ? '' : meanDecimal(trial.summary.loss),
    trial.comparison === undefined ? '' : belowText(trial.comparison),
    trial.comparison === undefined ? '' : pText(trial.comparison.pAdjusted),
    `${completedFolds(trial).length}/${trial.folds.length}`,
    statusText(trial),
    parametersText(trial.parameters),
  ]);
  return table('lrrrrrll', ['trial', 'accuracy', 'loss', 'below the best', 'p', 'folds', 'status', 'parameters'], rows);
}

function classTable(trial: TrialResult, { dataset, test }: Results): string {
  const pooled = pooledScores(completedFolds(trial), dataset.classes.length);
  const support = supportOf(pooled.confusionMatrix);
  const rows = dataset.classes.map((name, k) => [
    name,
    whole(support[k] ?? 0),
    percent(pooled.precision[k] ?? 0),
    percent(pooled.recall[k] ?? 0),
    percent(pooled.f1[k] ?? 0),
    ...(test === undefined ? [] : [percent(test.f1[k] ?? 0)]),
  ]);
  const head = ['class', 'samples', 'precision', 'recall', 'F1', ...(test === undefined ? [] : ['F1 on the test set'])];
  return table(`lrrrr${test === undefined ? '' : 'r'}`, head, rows);
}
