import { firstOf } from '../data/image-folder.ts';
import { decimal, percent, whole } from '../results/text.ts';
import type { Evaluation } from './evaluation.ts';
import type { TestTime } from './test-times.ts';

export interface EvaluationDocument extends Evaluation {
  readonly model: string;
  readonly dataset: string;
  /** How often the net was asked about a picture. */
  readonly tta: TestTime;
  readonly samples: number;
  readonly classes: readonly string[];
}

const shownMistakes = 10;
/** Larger confusion matrices do not fit a terminal. */
const shownClasses = 12;

/** An evaluation for a terminal. */
export function evaluationText({
  model,
  dataset,
  tta,
  samples,
  classes,
  inOrder,
  scores,
  calibration,
  mistakes,
}: EvaluationDocument): string {
  const perClass = classes.map((name, k) => [
    name,
    percent(scores.precision[k] ?? 0),
    percent(scores.recall[k] ?? 0),
    decimal(scores.f1[k] ?? 0),
    whole(scores.confusionMatrix[k]?.reduce((sum, n) => sum + n, 0) ?? 0),
  ]);
  const auc = scores.rocAuc === undefined ? [] : [`ROC AUC ${decimal(scores.rocAuc)}`];
  const parts = [
    `${model} on ${dataset}: ${whole(samples)} pictures${tta === 'flip' ? ', each with its mirror image' : ''}`,
    ...(inOrder === undefined
      ? []
      : [`classes are matched by order, not by name: ${firstOf(inOrder.map((own, k) => `${own} = ${classes[k]}`))}`]),
    '',
    [`accuracy ${percent(scores.accuracy)}`, `loss ${decimal(scores.loss)}`, ...auc].join(', '),
    '',
    columns([['class', 'precision', 'recall', 'F1', 'pictures'], ...perClass]),
  ];
  if (classes.length <= shownClasses)
    parts.push(
      '',
      columns([
        ['true \\ predicted', ...classes],
        ...classes.map((name, k) => [name, ...(scores.confusionMatrix[k] ?? []).map(whole)]),
      ]),
    );
  parts.push(
    '',
    `calibration: the predicted probabilities are off by ${percent(calibration.error)} on average (expected calibration error), Brier score ${decimal(calibration.brier)}`,
    columns([
      ['probability', 'pictures', 'mean', 'right'],
      ...calibration.bins.map((bin) => [
        `${(100 * bin.from).toFixed(0)} to ${(100 * bin.to).toFixed(0)} %`,
        whole(bin.samples),
        percent(bin.confidence),
        percent(bin.accuracy),
      ]),
    ]),
  );
  if (mistakes.length > 0)
    parts.push(
      '',
      `the most confident of ${whole(mistakes.length)} mistakes:`,
      columns([
        ['picture', 'is', 'taken for', 'probability'],
        ...mistakes
          .slice(0, shownMistakes)
          .map(({ name, label, predicted, confidence }) => [
            name,
            classes[label] ?? '',
            classes[predicted] ?? '',
            percent(confidence),
          ]),
      ]),
    );
  return `${parts.join('\n')}\n`;
}

/** Rows as columns: the first to the left, numbers to the right. */
function columns(rows: readonly (readonly string[])[]): string {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  const isNumber = widths.map((_, column) => rows.slice(1).every((row) => /^[\d.,]/.test(row[column] ?? '')));
  return rows
    .map((row) =>
      row
        .map((cell, i) => (i > 0 && isNumber[i] ? cell.padStart(widths[i] ?? 0) : cell.padEnd(widths[i] ?? 0)))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}
