import { PanelBuilder as BarGaugeBuilder } from '@grafana/grafana-foundation-sdk/bargauge';
import { BarGaugeDisplayMode, VizOrientation } from '@grafana/grafana-foundation-sdk/common';
import type { Dashboard } from '@grafana/grafana-foundation-sdk/dashboard';
import { FieldColorBuilder, FieldColorModeId } from '@grafana/grafana-foundation-sdk/dashboard';
import { SeriesMapping, PanelBuilder as XYChartBuilder, XYShowMode } from '@grafana/grafana-foundation-sdk/xychart';
import { Board, board, experimentAnnotations, labelVariable } from './frame.ts';
import { lastOf, lines, now, query, rows, shaped, stacked, stat, table, Unit } from './panels.ts';

const ofExperiment = 'experiment="$experiment"';
const perTrial = (metric: string): string => `max by (trial) (${metric}{${ofExperiment}})`;
const foldsIn = (state: string): string => `max by (trial) (crossfold_trial_folds{${ofExperiment}, state=~"${state}"})`;
const mean = perTrial('crossfold_trial_accuracy_mean_ratio');

const toTrial = {
  id: 'links',
  value: [
    {
      title: 'Folds of this trial',
      url: `/d/${Board.crossValidation}?var-experiment=\${experiment}&var-trial=\${__data.fields.Trial}&\${__url_time_range}`,
      targetBlank: false,
    },
  ],
};

/** All trials of an experiment side by side: ranked, with what they differ in, and which were given up. */
export const sweep = (): Dashboard =>
  board({
    uid: Board.sweep,
    title: 'Sweep',
    description: 'All trials of an experiment, ranked, with their parameters and those that were pruned.',
    from: 'now-3h',
    variables: [labelVariable('parameter', 'Parameter', `crossfold_trial_parameter{${ofExperiment}}`, 'parameter')],
    annotations: experimentAnnotations(),
  })
    .withPanel(
      stat(
        { title: 'Trials', description: 'Configurations that have jobs.', width: 4, height: 8, unit: Unit.count },
        now(`count(max by (trial) (crossfold_trial_info{${ofExperiment}}))`, 'trials'),
      ),
    )
    .withPanel(
      stat(
        {
          title: 'Best mean accuracy',
          description: 'The highest mean over folds so far, of trials that may have few folds yet.',
          width: 4,
          height: 8,
          unit: Unit.ratio,
          decimals: 2,
        },
        now(`max(${mean})`, 'best'),
      ),
    )
    .withPanel(
      stat(
        {
          title: 'Folds spared by pruning',
          description: 'Folds that were not trained to their end because their trial could not win any more.',
          width: 4,
          height: 8,
          unit: Unit.count,
          steps: ['text', [1, 'green']],
        },
        now(`max(crossfold_jobs{${ofExperiment}, state="pruned"})`, 'pruned'),
      ),
    )
    .withPanel(
      stacked(
        {
          title: 'Jobs by state',
          description: 'Jobs of the experiment over time: queued ones melt away, completed ones grow.',
          width: 12,
          height: 8,
          unit: Unit.count,
          decimals: 0,
        },
        query(`max by (state) (crossfold_jobs{${ofExperiment}})`, '{{state}}'),
      ),
    )
    .withPanel(
      shaped(
        new BarGaugeBuilder(),
        {
          title: 'The ten best trials',
          description:
            'Mean validation accuracy over the folds so far. Differences within a standard deviation say little.',
          width: 12,
          height: 10,
          unit: Unit.ratio,
          decimals: 2,
        },
        [now(`sort_desc(topk(10, ${mean}))`, 'trial {{trial}}')],
      )
        .orientation(VizOrientation.Horizontal)
        .displayMode(BarGaugeDisplayMode.Gradient)
        .colorScheme(new FieldColorBuilder().mode(FieldColorModeId.ContinuousBlPu))
        .reduceOptions(lastOf()),
    )
    .withPanel(
      lines(
        {
          title: 'Mean accuracy of each trial',
          description: 'The ten trials that are best now.',
          width: 12,
          height: 10,
          unit: Unit.ratio,
          decimals: 1,
        },
        query(
          `${mean} and on (trial) topk(10, max by (trial) (crossfold_trial_accuracy_mean_ratio{${ofExperiment}} @ end()))`,
          'trial {{trial}}',
        ),
      ),
    )
    .withPanel(
      table(
        {
          title: 'Trials, ranked',
          description:
            'A click on a trial opens its folds. Compare only trials with the same number of completed folds.',
          width: 24,
          height: 12,
        },
        [
          rows(mean),
          rows(perTrial('crossfold_trial_accuracy_stddev_ratio')),
          rows(foldsIn('completed')),
          rows(foldsIn('running|forming')),
          rows(foldsIn('pruned')),
          rows(foldsIn('failed')),
          rows(`max by (trial, parameters) (crossfold_trial_info{${ofExperiment}})`),
        ],
        [
          { field: 'trial', title: 'Trial', more: [toTrial] },
          { field: 'Value #A', title: 'Mean accuracy', unit: Unit.ratio, decimals: 2 },
          { field: 'Value #B', title: 'Std', unit: Unit.ratio, decimals: 2 },
          { field: 'Value #C', title: 'Folds completed', decimals: 0 },
          { field: 'Value #D', title: 'Running', decimals: 0 },
          { field: 'Value #E', title: 'Pruned', decimals: 0 },
          { field: 'Value #F', title: 'Failed', decimals: 0, steps: ['text', [1, 'red']] },
          { field: 'parameters', title: 'Parameters' },
        ],
        { field: 'Mean accuracy', desc: true },
      ),
    )
    .withPanel(
      shaped(
        new XYChartBuilder(),
        {
          title: 'Accuracy by $parameter',
          description: 'A point for each trial: what the parameter was, and the mean accuracy that came of it.',
          width: 24,
          height: 10,
        },
        [rows(`max by (trial) (crossfold_trial_parameter{${ofExperiment}, parameter="$parameter"})`), rows(mean)],
      )
        .mapping(SeriesMapping.Auto)
        .show(XYShowMode.Points)
        .pointSize({ fixed: 8 })
        .transformations([
          { id: 'merge', options: {} },
          { id: 'filterFieldsByName', options: { include: { names: ['Value #A', 'Value #B'] } } },
          {
            id: 'organize',
            options: {
              excludeByName: {},
              indexByName: { 'Value #A': 0, 'Value #B': 1 },
              renameByName: { 'Value #A': '$parameter', 'Value #B': 'mean accuracy' },
            },
          },
        ])
        .overrideByName('mean accuracy', [
          { id: 'unit', value: Unit.ratio },
          { id: 'decimals', value: 1 },
        ]),
    )
    .build();
