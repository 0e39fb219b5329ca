import type { FoldResult, Results, TrialResult } from '@crossfold/shared/results';
import { parameterText } from './text.ts';

type Cell = string | number | undefined;

/** One line for each fold of each trial: its scores, what it took, and the trial's parameters (RFC 4180). */
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
];

function cells({ trial }: TrialResult, fold: FoldResult): Cell[] {
  const done = fold.status === 'completed' ? fold : undefined;
  return [
    trial,
    fold.repeat,
    fold.fold,
    fold.status,
    done?.validation.accuracy,
    done?.validation.loss,
    done?.validation.rocAuc,
    done?.epochs,
    done?.bestEpoch,
    fold.trainSamples,
    fold.validationSamples,
    done?.samplesSeen,
    done?.seconds,
    done?.imagesPerSecond,
    fold.attempts,
    fold.workers.join(' '),
    done?.weightsSha256,
  ];
}

const parameters = (trial: TrialResult, paths: readonly string[]): Cell[] =>
  paths.map((path) => (path in trial.parameters ? parameterText(trial.parameters[path]) : undefined));

function quoted(cell: Cell): string {
  const text = String(cell ?? '');
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
