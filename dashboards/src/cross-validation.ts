import { LineStyleBuilder, VisibilityMode } from '@grafana/grafana-foundation-sdk/common';
import type { Dashboard, DynamicConfigValue } from '@grafana/grafana-foundation-sdk/dashboard';
import { RowBuilder } from '@grafana/grafana-foundation-sdk/dashboard';
import { curvesBy, curvesOf } from './curves.ts';
import { Board, board, experimentAnnotations, labelVariable } from './frame.ts';
import { limits } from './limits.ts';
import { fieldSteps, lines, now, query, rows, type Steps, stat, stateColours, table, Unit } from './panels.ts';

const ofExperiment = 'experiment="$experiment"';
const ofTrial = 'experiment="$experiment", trial="$trial"';
/** Workers and the coordinator both expose a fold: each fold once. */
const accuracy = (split: 'train' | 'validation', by = 'fold'): string =>
  `max by (${by}) (crossfold_fold_accuracy_ratio{${ofTrial}, split="${split}"})`;
const loss = (split: 'train' | 'validation'): string =>
  `max by (fold) (crossfold_fold_loss{${ofTrial}, split="${split}"})`;
const perFold = (metric: string): string => `max by (fold) (${metric}{${ofTrial}})`;
const validated = accuracy('validation', 'trial, fold');
const inState = (states: string): string => `on (trial, fold) crossfold_fold_state{${ofTrial}, state=~"${states}"}`;
// As the coordinator and the recording rules count: folds that were given up do not, but where a search gave up the trial.
const kept = `(${validated} unless ${inState('pruned|failed|cancelled')})`;
const counted = `${kept} or (${validated} and ${inState('pruned')} unless on (trial) ${kept})`;
const mean = `avg by (trial) (${counted})`;
// The spread of a sample of folds: PromQL divides by n.
const folds = `count by (trial) (${counted})`;
const std = `stddev by (trial) (${counted}) * sqrt(${folds} / (${folds} - 1 > 0))`;

/** What each epoch came to, whenever within the time shown that was. */
const byEpoch = (split: 'train' | 'validation'): string =>
  `max by (fold, epoch) (last_over_time(experiment_trial_fold_split_epoch:crossfold_fold_epoch_accuracy_ratio:max{${ofTrial}, split="${split}"}[$__range]))`;
const epochMean = (split: 'train' | 'validation'): string => `avg by (epoch) (${byEpoch(split)})`;
const foldsOfEpoch = `count by (epoch) (${byEpoch('validation')})`;
const epochStd = `stddev by (epoch) (${byEpoch('validation')}) * sqrt(${foldsOfEpoch} / (${foldsOfEpoch} - 1 > 0))`;
const epochs = { label: 'epoch', axis: 'Epoch' } as const;
const perEpoch = { width: 12, height: 10, unit: Unit.ratio, decimals: 1 } as const;

const gap = `${accuracy('train')} - ${accuracy('validation')}`;
const gapSteps: Steps = ['green', [limits.gap.wide, 'orange'], [limits.gap.far, 'red']];

const dashed = new LineStyleBuilder().fill('dash').dash([6, 6]).build();
const trainDashed = [
  { id: 'custom.lineStyle', value: dashed },
  { id: 'custom.lineWidth', value: 1 },
];

const noPoints = { id: 'custom.showPoints', value: VisibilityMode.Never };
const band = { mean: 'mean', above: 'mean + std', below: 'mean − std' } as const;
const blue = { id: 'color', value: { mode: 'fixed', fixedColor: 'blue' } };
/** A thick line, and an area between two that are not drawn. */
const banded = <P extends { overrideByName(name: string, settings: DynamicConfigValue[]): P }>(panel: P): P =>
  panel
    .overrideByName(band.mean, [{ id: 'custom.lineWidth', value: 3 }, blue])
    .overrideByName(band.above, [
      { id: 'custom.fillBelowTo', value: band.below },
      { id: 'custom.fillOpacity', value: 20 },
      { id: 'custom.lineWidth', value: 0 },
      noPoints,
      blue,
    ])
    .overrideByName(band.below, [{ id: 'custom.lineWidth', value: 0 }, noPoints, blue]);

/** Accuracy per fold as it is earned; the board that a fresh Grafana opens with. */
export const crossValidation = (): Dashboard =>
  board({
    uid: Board.crossValidation,
    title: 'Cross-validation',
    description: 'One trial of an experiment: accuracy and loss per fold, their mean and spread, progress.',
    from: 'now-30m',
    variables: [labelVariable('trial', 'Trial', `crossfold_trial_folds{${ofExperiment}}`, 'trial')],
    annotations: experimentAnnotations(),
  })
    .withPanel(
      stat(
        {
          title: 'Done',
          description: 'Share of all epochs of all jobs of the experiment that is done.',
          width: 4,
          height: 4,
          unit: Unit.ratio,
          decimals: 0,
          noValue: 'no experiment yet',
          steps: ['blue', [1, 'green']],
        },
        now(`max(crossfold_experiment_progress_ratio{${ofExperiment}})`, 'done'),
      ),
    )
    .withPanel(
      stat(
        {
          title: 'Time left',
          description: 'If the experiment goes on as fast as it has; nothing once it is over.',
          width: 4,
          height: 4,
          unit: Unit.seconds,
          decimals: 0,
          noValue: '–',
        },
        now(`max(crossfold_experiment_remaining_seconds{${ofExperiment}})`, 'left'),
      ),
    )
    .withPanel(
      stat(
        {
          title: 'Validation accuracy of trial $trial: mean and standard deviation',
          description:
            'Over the folds that have been validated at least once: the final accuracy of finished ones, the latest of those that run. Chance on ten classes is 10 %.',
          width: 6,
          height: 4,
          unit: Unit.ratio,
          decimals: 2,
        },
        now(`max(crossfold_trial_accuracy_mean_ratio{${ofTrial}})`, 'mean'),
        now(`max(crossfold_trial_accuracy_stddev_ratio{${ofTrial}})`, 'std'),
      ),
    )
    .withPanel(
      stat(
        {
          title: 'Jobs by state',
          description: 'Jobs of the whole experiment: one trial on one fold each.',
          width: 6,
          height: 4,
          unit: Unit.count,
        },
        now(`max by (state) (crossfold_jobs{${ofExperiment}}) > 0`, '{{state}}'),
      ).overrideByName('failed', [fieldSteps(['text', [1, 'red']])]),
    )
    .withPanel(
      stat(
        {
          title: 'Throughput',
          description: 'Training images a second, over all folds that run now.',
          width: 4,
          height: 4,
          unit: Unit.count,
          decimals: 0,
          noValue: '–',
        },
        now(`sum(max by (trial, fold) (crossfold_fold_images_per_second{${ofExperiment}}))`, 'images/s'),
      ),
    )
    .withPanel(
      curvesBy(
        {
          title: 'Validation accuracy per fold, epoch by epoch',
          description:
            'On the samples of each fold that the model was not trained on, after each epoch that was under way within the time shown. Folds that lie far apart say that the score depends on which samples are held out.',
          ...perEpoch,
        },
        epochs,
        { label: 'fold', what: 'fold' },
        byEpoch('validation'),
      ),
    )
    .withPanel(
      banded(
        curvesOf(
          {
            title: 'Mean ± standard deviation over folds, epoch by epoch',
            description:
              'Validation accuracy after each epoch: mean and sample standard deviation (n − 1) of the folds that have come as far. Dashed: the mean accuracy on the training samples, within the epoch.',
            ...perEpoch,
          },
          epochs,
          {
            [band.mean]: epochMean('validation'),
            [band.above]: `${epochMean('validation')} + ${epochStd}`,
            [band.below]: `${epochMean('validation')} - ${epochStd}`,
            'train mean': epochMean('train'),
          },
        ),
      ).overrideByName('train mean', trainDashed),
    )
    .withPanel(
      table(
        {
          title: 'Folds of trial $trial',
          description: 'Each fold as it stands. Generations count changes of its group, attempts those lost in a row.',
          width: 24,
          height: 8,
        },
        [
          rows(perFold('crossfold_fold_epoch')),
          rows(accuracy('validation')),
          rows(accuracy('train')),
          rows(loss('validation')),
          rows(perFold('crossfold_fold_progress_ratio')),
          rows(perFold('crossfold_fold_images_per_second')),
          rows(perFold('crossfold_fold_members')),
          rows(perFold('crossfold_fold_generation')),
          rows(perFold('crossfold_fold_attempts')),
          rows(gap),
          rows(`max by (fold, state) (crossfold_fold_state{${ofTrial}})`),
        ],
        [
          { field: 'fold', title: 'Fold' },
          { field: 'state', title: 'State', colours: stateColours },
          {
            field: 'Value #E',
            title: 'Progress',
            unit: Unit.ratio,
            decimals: 0,
            more: [
              { id: 'min', value: 0 },
              { id: 'max', value: 1 },
              { id: 'custom.cellOptions', value: { type: 'gauge', mode: 'basic' } },
            ],
          },
          { field: 'Value #A', title: 'Epoch', decimals: 0 },
          { field: 'Value #B', title: 'Validation accuracy', unit: Unit.ratio, decimals: 2 },
          { field: 'Value #C', title: 'Train accuracy', unit: Unit.ratio, decimals: 2 },
          { field: 'Value #J', title: 'Gap', unit: Unit.ratio, decimals: 1, steps: gapSteps },
          { field: 'Value #D', title: 'Validation loss', decimals: 4 },
          { field: 'Value #F', title: 'Images/s', decimals: 0 },
          { field: 'Value #G', title: 'Workers', decimals: 0 },
          { field: 'Value #H', title: 'Generations', decimals: 0 },
          {
            field: 'Value #I',
            title: 'Attempts',
            decimals: 0,
            steps: ['text', [limits.attempts.some, 'orange'], [limits.attempts.many, 'red']],
          },
        ],
        { field: 'Fold' },
      ),
    )
    .withRow(new RowBuilder('Over time'))
    .withPanel(
      lines(
        {
          title: 'Validation accuracy per fold',
          description: 'As it is earned, over time, in which folds begin apart; with what befell their groups.',
          width: 12,
          height: 9,
          unit: Unit.ratio,
          decimals: 1,
        },
        query(accuracy('validation'), 'fold {{fold}}'),
      ),
    )
    .withPanel(
      banded(
        lines(
          {
            title: 'Mean ± standard deviation over folds',
            description:
              'Sample standard deviation (n − 1) of the folds that have been validated at least once, without those that failed or were given up.',
            width: 12,
            height: 9,
            unit: Unit.ratio,
            decimals: 1,
          },
          query(mean, band.mean),
          query(`${mean} + ${std}`, band.above),
          query(`${mean} - ${std}`, band.below),
        ),
      ),
    )
    .withPanel(
      lines(
        {
          title: 'Loss per fold',
          description:
            'Validation loss (full) and train loss (dashed). Where the first rises while the second falls, the model learns its training samples by heart.',
          width: 12,
          height: 9,
          unit: Unit.count,
          decimals: 3,
        },
        query(loss('validation'), 'fold {{fold}} validation'),
        query(loss('train'), 'fold {{fold}} train'),
      ).overrideByRegexp('/ train$/', trainDashed),
    )
    .withPanel(
      lines(
        {
          title: 'Gap between train and validation accuracy',
          description:
            'How much better the model does on samples that it was trained on. Above the lower line it has begun to learn them by heart.',
          width: 12,
          height: 9,
          unit: Unit.ratio,
          decimals: 1,
          steps: gapSteps,
        },
        query(gap, 'fold {{fold}}'),
      ),
    )
    .withPanel(
      lines(
        {
          title: 'Epoch per fold',
          description: 'The epoch that is under way or was finished last.',
          width: 12,
          height: 8,
          unit: Unit.count,
          decimals: 0,
        },
        query(perFold('crossfold_fold_epoch'), 'fold {{fold}}'),
      ),
    )
    .withPanel(
      lines(
        {
          title: 'Images a second per fold',
          description: 'What the group of each running fold trains on together.',
          width: 12,
          height: 8,
          unit: Unit.count,
          decimals: 0,
        },
        query(perFold('crossfold_fold_images_per_second'), 'fold {{fold}}'),
      ),
    )
    .build();
