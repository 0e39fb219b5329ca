import type { FoldResult, Results, TrialResult } from '@crossfold/shared/results';
import { parameterText } from './text.ts';

type Cell = string | number | undefined;

/** One line for each fold of each trial: its scores (of one that was stopped, after the epochs that it had), what it took, how the trial compares and its parameters (RFC 4180). */
export function foldsCsv({ trials }: Results): string {
  const paths = [...new Set(trials.flatMap(({ parameters }) => Object.keys(parameters)))];
  const lines = trials.flatMap((trial) =>
    trial.folds.map((fold) => [...cells(trial, fold), ...parameters(trial, paths)]),
  );
  return `${[[...columns, ...paths], ...lines].map((line) => line.map(quoted).join(',')).join('\n')}\n`;
}

const columns = [
  'trial',
  'repeat',
  'fold',
  'status',
  'accuracy',
  'loss',
  'rocAuc',
  'epochs',
  'bestEpoch',
  'trainSamples',
  'validationSamples',
  'samplesSeen',
  'seconds',
  'imagesPerSecond',
  'attempts',
  'workers',
  'weightsSha256',
  'belowBest',
  'pAdjusted',
  'comparedFolds',
  'comparedAtEpoch',
];

function cells({ trial, comparison }: TrialResult, fold: FoldResult): Cell[] {
  const done = fold.status === 'completed' ? fold : undefined;
  return [
    trial,
    fold.repeat,
    fold.fold,
    fold.status,
    fold.validation?.accuracy,
    fold.validation?.loss,
    fold.validation?.rocAuc,
    fold.epochs,
    done?.bestEpoch,
    fold.trainSamples,
    fold.validationSamples,
    done?.samplesSeen,
    done?.seconds,
    done?.imagesPerSecond,
    fold.attempts,
    fold.workers.join(' '),
    done?.weightsSha256,
    comparison?.difference,
    comparison?.pAdjusted,
    comparison?.folds,
    comparison?.at?.epoch,
  ];
}

const parameters = (trial: TrialResult, paths: readonly string[]): Cell[] =>
  paths.map((path) => (path in trial.parameters ? parameterText(trial.parameters[path]) : undefined));

function quoted(cell: Cell): string {
  const text = String(cell ?? '');
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
