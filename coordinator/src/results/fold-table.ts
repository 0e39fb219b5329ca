import { styleText } from 'node:util';
import type { FoldResult, Results, TrialResult } from '@crossfold/shared/results';
import { subjectOf } from './nested.ts';
import { rankingText } from './ranking.ts';
import { bestFold, completedFolds, ranked } from './select.ts';
import {
  belowText,
  count,
  decimal,
  leftOutText,
  looksText,
  meanDecimal,
  meanPercent,
  parametersText,
  percent,
  pText,
  seconds,
  splitText,
  statusText,
  testedText,
  whole,
} from './text.ts';

type Style = 'plain' | 'bold' | 'green' | 'red' | 'dim';

interface Row {
  readonly cells: readonly string[];
  readonly style: Style;
}

/**
 * Results for a terminal: a table of the trials where there are several, then one row a fold of the best of them (or of
 * the only one) with mean and sample standard deviation, and the test set's score.
 */
export function formatFoldTable(results: Results, { color }: { readonly color: boolean }): string {
  const { trials, test, split } = results;
  const paint = (text: string, style: Style): string =>
    !color || style === 'plain' ? text : styleText(style, text, { validateStream: false });
  const shown = subjectOf(results);
  const title = `${results.name}: ${splitText(split)} of ${count(results.dataset.samples, 'sample')} of ${results.dataset.name}${leftOutText(results.dataset)}`;
  const parts = [paint(title, 'bold')];
  if (trials.length > 1) parts.push(columns(trialRows(results), 'rrrrlrll', paint), ...rankingText(results));
  if (shown !== undefined) {
    const which = trials.length > 1 ? `${headingOf(results, shown)}:\n` : '';
    const repeated = split.repeats > 1;
    const rows = foldRows(shown).map((row) => (repeated ? row : { ...row, cells: row.cells.slice(1) }));
    parts.push(which + columns(rows, repeated ? 'rrrrrrrl' : 'rrrrrrl', paint));
    for (const { fold, repeat, error } of failures(shown))
      parts.push(paint(`fold ${fold}${repeated ? ` of repeat ${repeat}` : ''}: ${error}`, 'red'));
  }
  if (test !== undefined)
    parts.push(
      `${paint(`test ${percent(test.accuracy)}`, 'bold')}, loss ${decimal(test.loss)}: ${count(test.samples, 'held-out sample')}, ${looksText(test)}${(test.looks ?? 1) === 1 ? ' by' : ':'} ${testedText(test)}`,
    );
  return parts.join('\n\n');
}

function headingOf({ best, nested }: Results, { trial }: TrialResult): string {
  if (nested !== undefined) return 'What was found within each fold, on that fold';
  return `Trial ${trial}${trial === best?.trial ? ', the best' : ''}`;
}

function foldRows(trial: TrialResult): Row[] {
  const completed = completedFolds(trial);
  const top = completed.length > 1 ? bestFold(completed) : undefined;
  const rows: Row[] = [
    { cells: ['repeat', 'fold', 'accuracy', 'loss', 'epochs', 'images/s', 'time', 'trained by'], style: 'dim' },
    ...trial.folds.map((fold): Row => ({ cells: foldCells(fold), style: styleOf(fold, fold === top) })),
  ];
  if (trial.summary !== null && completed.length > 1)
    rows.push({
      cells: ['', 'mean', meanPercent(trial.summary.accuracy), meanDecimal(trial.summary.loss)],
      style: 'bold',
    });
  return rows;
}

const styleOf = (fold: FoldResult, top: boolean): Style => {
  if (fold.status === 'completed') return top ? 'green' : 'plain';
  return fold.status === 'failed' ? 'red' : 'dim';
};

function foldCells(fold: FoldResult): string[] {
  const place = [String(fold.repeat), String(fold.fold)];
  const workers = fold.workers.join(', ');
  if (fold.status !== 'completed') return [...place, fold.status, '', '', '', '', workers];
  const { validation, epochs, imagesPerSecond } = fold;
  return [
    ...place,
    percent(validation.accuracy),
    decimal(validation.loss),
    String(epochs),
    whole(imagesPerSecond),
    seconds(fold.seconds),
    workers,
  ];
}

function trialRows({ trials, best }: Results): Row[] {
  return [
    { cells: ['', 'trial', 'accuracy', 'loss', 'below the best', 'folds', 'status', 'parameters'], style: 'dim' },
    ...ranked(trials).map((trial): Row => {
      const { summary, status, folds, parameters, comparison } = trial;
      return {
        cells: [
          trial.trial === best?.trial ? '*' : '',
          String(trial.trial),
          summary === null ? '' : meanPercent(summary.accuracy),
          summary === null ? '' : meanDecimal(summary.loss),
          comparison === undefined ? '' : `${belowText(comparison)}, p ${pText(comparison.pAdjusted)}`,
          `${completedFolds(trial).length}/${folds.length}`,
          statusText(trial),
          parametersText(parameters),
        ],
        style: trial.trial === best?.trial ? 'green' : status === 'failed' ? 'red' : 'plain',
      };
    }),
  ];
}

const failures = (trial: TrialResult) =>
  trial.folds.flatMap((fold) =>
    fold.status === 'failed'
      ? [{ fold: fold.fold, repeat: fold.repeat, error: (fold.error ?? 'failed').replaceAll(/\s+/g, ' ') }]
      : [],
  );

/** Rows as columns, each to the right (`r`) or the left (`l`). */
function columns(rows: readonly Row[], align: string, paint: (text: string, style: Style) => string): string {
  const widths = [...align].map((_, column) => Math.max(...rows.map(({ cells }) => (cells[column] ?? '').length)));
  return rows
    .map(({ cells, style }) => {
      const padded = widths.map((width, column) =>
        align[column] === 'r' ? (cells[column] ?? '').padStart(width) : (cells[column] ?? '').padEnd(width),
      );
      return paint(padded.join('  ').trimEnd(), style);
    })
    .join('\n');
}
