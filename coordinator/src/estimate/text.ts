import { searchCosts } from '@crossfold/shared/config/search';
import { firstOf } from '../data/image-folder.ts';
import { count, parametersText, seconds, splitText, whole } from '../results/text.ts';
import type { DryRun } from './dry-run.ts';

/** Trials that are shown one by one. */
const maxShown = 40;

/** What an experiment comes to, for a terminal. */
export function dryRunText(run: DryRun): string {
  const { dataset, split, trials, folds, estimate, search, final } = run;
  const [height, width, channels] = dataset.image;
  const test = dataset.testSamples === 0 ? '' : `, ${whole(dataset.testSamples)} held out for the test`;
  const { measured } = estimate;
  const isSearched = trials.some(({ parameters }) =>
    Object.keys(parameters).some((path) => path.startsWith('dataset.')),
  );
  const facts: readonly (readonly [string, string])[] = [
    [
      'data',
      `${dataset.name}: ${count(dataset.samples, 'sample')}${test}, ${dataset.classes} classes, ${isSearched ? 'images as each trial has them' : `images of ${height} x ${width} x ${channels}`}`,
    ],
    ...(dataset.unusable === undefined
      ? []
      : [
          [
            'unusable',
            `${count(dataset.unusable.length, 'picture')} by what can be told without opening any; ${dataset.onError === 'skip' ? 'counted above, they will be left out' : 'nothing will be trained before they are mended or removed, or left out by dataset.onError: skip'}: ${firstOf(dataset.unusable)}`,
          ] as const,
        ]),
    [
      'split',
      `${splitText(split)}; ${rangeOf(
        folds.map((fold) => fold.trainSamples),
        whole,
      )} to train on, ${rangeOf(
        folds.map((fold) => fold.validationSamples),
        whole,
      )} to validate on`,
    ],
    ['jobs', jobsText(run)],
    ...(final === 'fold'
      ? []
      : [
          [
            'final',
            final === 'refit' ? 'the best trial trained anew on all samples' : 'the nets of all folds together',
          ] as const,
        ]),
    ['memory', `about ${megabytes(estimate.memoryBytes)} a worker`],
    ['time', timeText(run)],
    [
      'measured',
      `${whole(measured.imagesPerSecond)} images/s with the first trial's net on one worker of this machine (${measured.backend}, ${measured.device})`,
    ],
  ];
  const wide = Math.max(...facts.map(([name]) => name.length));
  const lines = [
    `${run.name}: nothing was started, nothing was written`,
    '',
    ...facts.map(([name, text]) => `${name.padEnd(wide)}  ${text}`),
  ];
  if (search === null && trials.length === 1) return lines.join('\n');
  const rows = [
    ['trial', 'weights', 'batches', 'epochs', 'a fold', 'memory', 'parameters'],
    ...trials
      .slice(0, maxShown)
      .map((trial) => [
        String(trial.trial),
        whole(trial.weights),
        `${trial.stepsPerEpoch} of ${trial.batchSize}`,
        String(trial.epochs),
        seconds(trial.secondsPerFold),
        megabytes(trial.memoryBytes),
        parametersText(trial.parameters),
      ]),
  ];
  const widths = [0, 1, 2, 3, 4, 5].map((column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  const table = rows.map((row) => row.map((cell, column) => cell.padStart(widths[column] ?? 0)).join('  '));
  const left = trials.length - maxShown;
  return [...lines, '', ...table, ...(left > 0 ? [`... and ${left} more (--json has all)`] : [])].join('\n');
}

function jobsText({ trials, folds, jobs, search }: DryRun): string {
  const inner = folds.filter(({ within }) => within !== undefined).length;
  const outer = folds.length - inner;
  const product =
    inner === 0
      ? `${count(trials.length, 'trial')} x ${count(outer, 'fold')}`
      : `${count(trials.length, 'trial')} x ${count(inner, 'inner fold')} + ${count(outer, 'outer fold')}`;
  const how =
    search === null ? '' : searchCosts[search] === 'all' ? `, by ${search} search` : `, at most, by ${search}`;
  return `${product} = ${count(jobs, 'job')}${how}`;
}

function timeText({ estimate }: DryRun): string {
  const { workerSeconds, seconds: wall, workers } = estimate;
  const one = `${spanOf(workerSeconds)} of one worker's time`;
  return wall === undefined || workers === undefined
    ? `about ${one}`
    : `about ${spanOf(wall)} on ${count(workers, 'worker')} (${one})`;
}

const spanOf = ([least, most]: readonly [number, number]): string =>
  most - least < 0.05 * most ? seconds(most) : `${seconds(least)} to ${seconds(most)}`;

function rangeOf(values: readonly number[], text: (value: number) => string): string {
  const [least, most] = [Math.min(...values), Math.max(...values)];
  return least === most ? text(least) : `${text(least)} to ${text(most)}`;
}

const megabytes = (bytes: number): string => `${whole(bytes / 2 ** 20)} MiB`;
