import { spreadOfRepeats } from '@crossfold/shared/metrics/repeats';
import { meanOf } from '@crossfold/shared/metrics/summary';
import type { CompletedFold, Results, Summary, TrialResult } from '@crossfold/shared/results';
import { subjectOf } from './nested.ts';
import { courseOf, steadied } from './overfitting.ts';
import { mistakes, pooledScores, supportOf } from './pooled.ts';
import { rankingText } from './ranking.ts';
import { completedFolds } from './select.ts';
import { count, looksText, percent, points, seconds, splitText, testedText, whole } from './text.ts';
import { placedScores } from './verdict.ts';

/** What results say, in words; plain text, for the page and for Markdown. */
export interface Findings {
  /** What it is all about, see `subjectOf`. */
  readonly trial: TrialResult | undefined;
  /** One or two sentences that answer the question. */
  readonly verdict: string;
  /** Where there are several trials: how sure it is that the best is the best. */
  readonly ranking: readonly string[];
  /** What else is worth knowing, most important first. */
  readonly remarks: readonly string[];
  /** What went wrong. */
  readonly problems: readonly string[];
}

export function findings(results: Results): Findings {
  const trial = subjectOf(results);
  const folds = trial === undefined || trial.status === 'running' ? [] : completedFolds(trial);
  return {
    trial,
    verdict: verdict(results, trial, folds),
    ranking: rankingText(results),
    remarks: [
      ...finalRemark(results.final),
      ...testRemark(results, trial?.summary?.accuracy),
      ...(folds.length === 0 ? [] : [...baselineRemark(folds, results), ...courseRemark(folds), ...gapRemark(folds)]),
      ...(results.split.resplit === false && trial !== undefined ? repeatsRemark(trial) : []),
      ...(folds.length === 0 ? [] : mistakeRemark(folds, results.dataset.classes)),
    ],
    problems: problems(results),
  };
}

function verdict(results: Results, trial: TrialResult | undefined, folds: readonly CompletedFold[]): string {
  const { dataset, split, trials } = results;
  const accuracy = trial?.summary?.accuracy;
  if (trial?.status === 'running') return 'No trial has all of its folds yet: which is best is said once one has.';
  if (trial === undefined || accuracy === undefined || folds.length === 0)
    return `No fold was trained to its end, so that nothing can be said about the net (${results.status} after ${seconds(results.wallSeconds)}).`;
  const spread =
    accuracy.ci95.length === 0
      ? `that came out the same in each of ${folds.length} folds, as it may with few samples: how far it would differ with others cannot be told from them, and no confidence interval can be given.`
      : `from fold to fold that differs by ${points(accuracy.std)} (standard deviation). The mean lies ${between(accuracy)} with 95 % confidence.`;
  if (results.nested !== undefined) return nestedVerdict(results, accuracy.mean, folds.length, spread);
  const which = trials.length > 1 ? `the net of trial ${trial.trial}` : 'the net';
  const share = folds[0] === undefined ? 0 : folds[0].trainSamples / dataset.samples;
  const trainedOn = `trained on ${Math.round(100 * share)} % of the ${whole(dataset.samples)} samples of ${dataset.name}`;
  if (folds.length === 1)
    return `In ${splitText(split)}, ${which}, ${trainedOn}, classifies correctly ${percent(accuracy.mean)} of the samples that it was not trained on. A single split does not tell how much that would differ with another.`;
  return `In ${splitText(split)}, ${which}, ${trainedOn}, classifies correctly ${percent(accuracy.mean)} of the samples that it was not trained on; ${spread}`;
}

/** @param scored outer folds that have a score: of others the search is under way, or has come to nothing */
function nestedVerdict({ split, dataset }: Results, mean: number, scored: number, spread: string): string {
  const where = `In ${scored < split.folds ? `${scored} of the ${split.folds} folds of ` : ''}${splitText(split)} of the ${whole(dataset.samples)} samples of ${dataset.name}`;
  const one = scored === 1;
  const found = one
    ? `a net that was searched for within the fold's training samples classifies correctly ${percent(mean)} of the samples that neither it nor the search had seen`
    : `nets that were searched for within each fold's training samples classify correctly ${percent(mean)} of the samples that neither they nor the search had seen`;
  return `${where}, ${found}${one ? '. A single fold does not tell how much that would differ with another.' : `; ${spread}`}`;
}

function between({ ci95: [low = 0, high = 1] }: Summary): string {
  return `between ${percent(Math.max(0, low))} and ${percent(Math.min(1, high))}`;
}

function finalRemark(final: Results['final']): string[] {
  if (final === undefined) return [];
  if (final.of === 'ensemble')
    return [
      `What is left in the end are the ${count(final.members.length, 'net')} of trial ${final.trial}'s folds together: the mean of what they give.`,
    ];
  const { trial, trainSamples, epochs } = final;
  return [
    `What is left in the end is the configuration of trial ${trial} trained anew on all ${whole(trainSamples)} training samples, for ${count(epochs, 'epoch')}: cross-validation tells what to expect of it, since no sample is left to validate it on.`,
  ];
}

function testRemark({ test }: Results, accuracy: Summary | undefined): string[] {
  if (test === undefined) return [];
  const [low, high] = accuracy?.ci95 ?? [];
  const compared =
    low === undefined || high === undefined
      ? ''
      : test.accuracy < low
        ? ', which is below what cross-validation led to expect: the test samples may be harder, or of another kind'
        : test.accuracy > high
          ? ', which is above what cross-validation led to expect: the test samples may be easier'
          : ', which is what cross-validation led to expect';
  return [
    `On ${count(test.samples, 'held-out test sample')}, ${(test.looks ?? 1) === 1 ? 'looked at once, ' : ''}${testedText(test)} ${test.of === 'ensemble' ? 'have' : 'has'} an accuracy of ${percent(test.accuracy)}${compared}.`,
    ...((test.looks ?? 1) === 1
      ? []
      : [
          `It is ${looksText(test)}: choosing between them by these figures would make validation samples of the test set, and of the better figure a promise that does not hold.`,
        ]),
  ];
}

function baselineRemark(folds: readonly CompletedFold[], { dataset }: Results): string[] {
  const { confusionMatrix, accuracy } = pooledScores(folds, dataset.classes.length);
  const support = supportOf(confusionMatrix);
  const most = Math.max(...support);
  const baseline = most / support.reduce((sum, n) => sum + n, 0);
  const name = dataset.classes[support.indexOf(most)] ?? '';
  if (accuracy <= baseline)
    return [
      `That is no better than always answering “${name}”, the most frequent class, which is right for ${percent(baseline)}.`,
    ];
  return [`Always answering “${name}”, the most frequent class, would be right for ${percent(baseline)}.`];
}

function courseRemark(folds: readonly CompletedFold[]): string[] {
  const { epochs, window, lowest, lowestAtEnd, rise } = courseOf(folds);
  if (epochs < 2) return ['One epoch tells little about the course of training.'];
  const what = `validation loss${medianText(window)}`;
  if (lowestAtEnd * 2 > folds.length)
    return [
      `${folds.length === 1 ? 'The' : `In ${lowestAtEnd} of ${folds.length} folds the`} ${what} was at its lowest in the last epoch: more epochs may well help.`,
    ];
  const when = `${folds.length === 1 ? '' : 'about '}${lowest + 1} of ${epochs} epochs`;
  if (folds.some((fold) => fold.bestEpoch < fold.epochs - 1))
    return [`The ${what} was lowest after ${when}; the weights of each fold's best epoch were kept.`];
  if (rise === 0)
    return [`The ${what} has levelled off: it was lowest after ${when}, and is hardly higher in the end.`];
  return [
    `The ${what} was lowest after ${when}, and in the end ${Math.round(100 * rise)} % higher: fewer epochs, or early stopping, would do.`,
  ];
}

/** Says of which course figures are. */
const medianText = (window: number): string => (window === 1 ? '' : ` (median of ${window} epochs)`);

/** Where all repeats have the same split: what of the spread is the nets' own. */
function repeatsRemark(trial: TrialResult): string[] {
  const spread = spreadOfRepeats(placedScores(trial));
  if (spread === undefined) return [];
  return [
    `Repeats have the same split: nets that differ in their initial weights and in the order of samples alone differ by ${points(spread.initialisation)} on the same fold, and the folds' means by ${points(spread.split)} (standard deviations). Each fold's mean counts once in the interval.`,
  ];
}

function gapRemark(folds: readonly CompletedFold[]): string[] {
  const { window } = courseOf(folds);
  const gaps = folds.map(({ history, bestEpoch }) => {
    const [trained = 0, validated = 0] = [history.accuracy, history.valAccuracy].map((of) => steadied(of)[bestEpoch]);
    return trained - validated;
  });
  const gap = meanOf(gaps);
  if (gap < 0.02) return [];
  return [
    `Accuracy${medianText(window)} is ${points(gap)} higher on the samples trained on than on others: the net overfits${gap < 0.05 ? ' somewhat' : ''}; more data, augmentation or dropout may help.`,
  ];
}

function mistakeRemark(folds: readonly CompletedFold[], classes: readonly string[]): string[] {
  const { confusionMatrix } = pooledScores(folds, classes.length);
  const all = mistakes(confusionMatrix);
  const total = all.reduce((sum, mistake) => sum + mistake.count, 0);
  if (total === 0) return ['Not a single sample was classified wrongly.'];
  const shown = all.slice(0, classes.length > 2 ? 3 : 2);
  const texts = shown.map(
    ({ actual, predicted, count: n }) => `“${classes[actual]}” taken for “${classes[predicted]}” (${whole(n)})`,
  );
  return [`Of ${count(total, 'mistake')} the most frequent are ${texts.join(', ')}.`];
}

function problems({ trials, split }: Results): string[] {
  return trials.flatMap(({ trial, folds }) =>
    folds.flatMap((fold) => {
      if (fold.status !== 'failed') return [];
      const where = [
        ...(trials.length > 1 ? [`trial ${trial}`] : []),
        ...(split.repeats > 1 ? [`repeat ${fold.repeat}`] : []),
        `fold ${fold.fold}`,
      ].join(', ');
      const attempts = fold.attempts > 1 ? ` after ${count(fold.attempts, 'attempt')}` : '';
      return [`${where} failed${attempts}: ${fold.error ?? 'no reason is known'}`];
    }),
  );
}
