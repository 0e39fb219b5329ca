import type { Results } from '@crossfold/shared/results';

/**
 * Losses and accuracies of every epoch of every fold, as far as it got, as CSV (RFC 4180 but for the line ends, which are single
 * line feeds). Epochs count from 0, as trials and folds do. A last column names the repeat where there are several.
 */
export function historyCsv({ trials, split }: Results): string {
  const repeated = split.repeats > 1;
  const lines = [
    `trial,fold,epoch,loss,accuracy,valLoss,valAccuracy,seconds${repeated ? ',repeat' : ''}`,
    ...trials.flatMap((trial) =>
      trial.folds.flatMap(({ fold, repeat, history, epochSeconds = [] }) =>
        (history?.loss ?? []).map((loss, epoch) =>
          [
            trial.trial,
            fold,
            epoch,
            loss,
            history?.accuracy[epoch],
            history?.valLoss[epoch],
            history?.valAccuracy[epoch],
            epochSeconds[epoch],
            ...(repeated ? [repeat] : []),
          ].join(','),
        ),
      ),
    ),
  ];
  return `${lines.join('\n')}\n`;
}
