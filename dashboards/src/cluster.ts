import type { Dashboard } from '@grafana/grafana-foundation-sdk/dashboard';
import { RowBuilder } from '@grafana/grafana-foundation-sdk/dashboard';
import { allAnnotations, anyOf, Board, board } from './frame.ts';
import { firesAbove } from './limits.ts';
import { fieldSteps, lines, now, query, rows, type Steps, stacked, stat, table, Unit } from './panels.ts';

const workers = 'job="crossfold-worker", instance=~"$instance"';
const services = 'job=~"crossfold-.+"';
/** Over the last minute: short enough to see a change, long enough for a few steps. */
const rate = (metric: string, by: string): string => `sum by (${by}) (rate(${metric}{${workers}}[1m]))`;
/** Of nothing there is no quantile, rather than one that is no number. */
const quantile = (q: number, metric: string, by: string): string =>
  `histogram_quantile(${q}, sum by (le, ${by}) (rate(${metric}_bucket{${workers}}[1m]))) and on (${by}) ${rate(`${metric}_count`, by)} > 0`;
/** Something that stays below what an alert fires above. */
const below = (alert: string): Steps => ['green', [firesAbove(alert), 'red']];
const storage = (kind: 'used' | 'limit'): string => `crossfold_broker_storage_bytes{kind="${kind}"}`;
const half = { width: 12, height: 8 };
const third = { width: 8, height: 8 };

const toExperiment = {
  id: 'links',
  value: [
    {
      title: 'This experiment',
      url: `/d/${Board.crossValidation}?var-experiment=\${__data.fields.Experiment}&\${__url_time_range}`,
      targetBlank: false,
    },
  ],
};

/** What the cluster does and suffers, whatever it computes. */
export const cluster = (): Dashboard =>
  board({
    uid: Board.cluster,
    title: 'Cluster',
    description: 'Workers, queue, throughput, where steps spend their time, the exchange, failures, the broker.',
    from: 'now-30m',
    variables: [anyOf('instance', 'Worker', 'crossfold_samples_total', 'instance')],
    annotations: allAnnotations(),
  })
    .withPanel(
      stat(
        {
          title: 'Workers',
          description: 'That give signs of life, by state.',
          width: 6,
          height: 4,
          unit: Unit.count,
          noValue: 'none',
        },
        now('max by (state) (crossfold_workers)', '{{state}}'),
      ),
    )
    .withPanel(
      stat(
        {
          title: 'Queued jobs',
          description: 'Jobs that no worker has taken yet, of all experiments.',
          width: 4,
          height: 4,
          unit: Unit.count,
          noValue: '0',
        },
        now('sum(max by (experiment) (crossfold_jobs{state="queued"}))', 'queued'),
      ),
    )
    .withPanel(
      stat(
        {
          title: 'Leader',
          description: 'Coordinators that lead: one, always.',
          width: 3,
          height: 4,
          unit: Unit.count,
          noValue: 'none',
          steps: ['red', [1, 'green'], [2, 'red']],
        },
        now('sum(crossfold_leader)', 'leads'),
      ),
    )
    .withPanel(
      stat(
        {
          title: 'Without broker',
          description: 'Processes that have lost the broker and look for it.',
          width: 3,
          height: 4,
          unit: Unit.count,
          steps: ['green', [1, 'red']],
        },
        now('count(crossfold_broker_connected) - sum(crossfold_broker_connected)', 'cut off'),
      ),
    )
    .withPanel(
      stat(
        {
          title: 'Members lost, last 15 minutes',
          description: 'Workers that fell silent in the middle of a job. Results do not depend on it, time does.',
          width: 4,
          height: 4,
          unit: Unit.count,
          decimals: 0,
          steps: ['green', [1, 'yellow'], [firesAbove('CrossfoldWorkersLost'), 'red']],
        },
        now('sum(increase(crossfold_generation_changes_total{reason="lost"}[15m]))', 'lost'),
      ),
    )
    .withPanel(
      stat(
        {
          title: "Broker's storage",
          description:
            'Taken by data sets, checkpoints, results and records, and the share of its limit where there is one.',
          width: 4,
          height: 4,
          unit: Unit.bytes,
          decimals: 1,
        },
        now(`max(${storage('used')})`, 'used'),
        now(`max(${storage('used')}) / max(${storage('limit')})`, 'of its limit'),
      ).overrideByName('of its limit', [
        { id: 'unit', value: Unit.ratio },
        fieldSteps(['green', [0.7, 'yellow'], [firesAbove('CrossfoldBrokerStorageFilling'), 'red']]),
      ]),
    )
    .withPanel(
      lines(
        {
          title: 'Samples a second by worker',
          description: "Training samples whose gradients each worker computes: a group's workers share its samples.",
          ...half,
          unit: Unit.perSecond,
          decimals: 0,
        },
        query(rate('crossfold_samples_total', 'instance'), '{{instance}}'),
      ),
    )
    .withPanel(
      stacked(
        {
          title: 'Images a second by experiment',
          description: 'What all groups of an experiment train on together.',
          ...half,
          unit: Unit.count,
          decimals: 0,
        },
        query('experiment:crossfold_fold_images_per_second:sum', '{{experiment}}'),
      ),
    )
    .withPanel(
      table(
        {
          title: 'Workers now',
          description: 'Each live worker and what it works at. A click on an experiment opens its folds.',
          ...half,
        },
        [rows('max by (worker, state, experiment, trial, fold) (crossfold_worker_info)')],
        [
          { field: 'worker', title: 'Worker' },
          {
            field: 'state',
            title: 'State',
            colours: { idle: 'text', busy: 'green', draining: 'yellow', aside: 'orange' },
          },
          { field: 'experiment', title: 'Experiment', more: [toExperiment] },
          { field: 'trial', title: 'Trial' },
          { field: 'fold', title: 'Fold' },
        ],
        { field: 'Worker' },
      ),
    )
    .withPanel(
      stacked(
        {
          title: 'Jobs by state, all experiments',
          description: 'Queued jobs with idle workers beside them would be a defect, or workers of another kind.',
          ...half,
          unit: Unit.count,
          decimals: 0,
        },
        query('sum by (state) (max by (experiment, state) (crossfold_jobs))', '{{state}}'),
      ),
    )
    .withRow(new RowBuilder('Where a step spends its time'))
    .withPanel(
      stacked(
        {
          title: 'Average train step by phase',
          description:
            'data: getting the batch ready; compute: forward and backward; exchange: waiting for the sum over the group; update: the optimizer. Much exchange: smaller groups, larger batches or the direct transport.',
          ...half,
          unit: Unit.seconds,
        },
        query(
          `avg by (phase) (${rate('crossfold_step_duration_seconds_sum', 'instance, phase')} / (${rate('crossfold_step_duration_seconds_count', 'instance, phase')} > 0))`,
          '{{phase}}',
        ),
      ),
    )
    .withPanel(
      lines(
        {
          title: 'Slowest steps: 95th percentile by phase',
          description: 'One step in twenty takes longer than this.',
          ...half,
          unit: Unit.seconds,
        },
        query(quantile(0.95, 'crossfold_step_duration_seconds', 'phase'), '{{phase}}'),
      ),
    )
    .withPanel(
      lines(
        {
          title: 'Train steps a second by worker',
          description: 'Steps that each worker takes part in.',
          ...half,
          unit: Unit.perSecond,
          decimals: 1,
        },
        query(rate('crossfold_train_steps_total', 'instance'), '{{instance}}'),
      ),
    )
    .withPanel(
      lines(
        {
          title: 'Waiting',
          description:
            'How long each process has waited at this moment, and for whom or what. Above the line an alert fires where it is a worker that is waited for.',
          ...half,
          unit: Unit.seconds,
          decimals: 1,
          steps: below('CrossfoldExchangeStalled'),
        },
        query(`max by (instance, for) (crossfold_waiting_seconds{${services}})`, '{{instance}} for {{for}}'),
      ),
    )
    .withRow(new RowBuilder('Exchange of gradients'))
    .withPanel(
      lines(
        {
          title: 'All-reduce: median and 95th percentile',
          description: "From a worker being done with its own sums to the group's total being there.",
          ...half,
          unit: Unit.seconds,
        },
        query(quantile(0.5, 'crossfold_allreduce_duration_seconds', 'transport'), '{{transport}} median'),
        query(quantile(0.95, 'crossfold_allreduce_duration_seconds', 'transport'), '{{transport}} 95 %'),
      ),
    )
    .withPanel(
      lines(
        {
          title: 'Bytes a second',
          description: 'Gradients sent and received by all workers, by transport.',
          ...half,
          unit: Unit.bytesPerSecond,
        },
        query(rate('crossfold_gradient_bytes_total', 'direction, transport'), '{{transport}} {{direction}}'),
      ),
    )
    .withRow(new RowBuilder('Failures and recovery'))
    .withPanel(
      lines(
        {
          title: 'Generation changes a minute',
          description:
            'started: new groups; joined and narrowed: groups given more or fewer workers; left: asked to end; lost: silent; returned: lost, and back before anybody took their place; reopened: after trouble with the broker; failed: attempts that threw.',
          ...third,
          unit: Unit.count,
        },
        query('sum by (reason) (rate(crossfold_generation_changes_total[1m])) * 60', '{{reason}}'),
      ),
    )
    .withPanel(
      lines(
        {
          title: 'Retries a minute',
          description:
            'job: another attempt; block: part of a sum sent again; request: asked of the broker again; dropped: messages that are not what they should be; refused: attempts that are not allowed.',
          ...third,
          unit: Unit.count,
        },
        query('sum by (what) (rate(crossfold_retries_total[1m])) * 60', '{{what}}'),
        query('sum(rate(crossfold_exchange_bad_frames_total[1m])) * 60', 'frames dropped'),
        query('sum by (kind) (rate(crossfold_bad_messages_total[1m])) * 60', 'dropped: {{kind}}'),
        query('sum by (kind) (rate(crossfold_refused_total[1m])) * 60', 'refused: {{kind}}'),
        query('sum(rate(crossfold_broker_reconnects_total[1m])) * 60', 'reconnects to the broker'),
        query('sum(rate(crossfold_divergences_total[1m])) * 60', 'divergences'),
      ),
    )
    .withPanel(
      lines(
        {
          title: 'Age of the newest checkpoint',
          description:
            'What would be computed again if all workers of a job were lost now. Above the line an alert fires.',
          ...third,
          unit: Unit.seconds,
          decimals: 0,
          steps: below('CrossfoldCheckpointOld'),
        },
        query(`max by (instance) (crossfold_checkpoint_age_seconds{${workers}})`, '{{instance}}'),
      ),
    )
    .withRow(new RowBuilder('Processes'))
    .withPanel(
      lines(
        {
          title: 'Memory',
          description: 'Resident memory of each process.',
          ...third,
          unit: Unit.bytes,
          decimals: 1,
        },
        query(`max by (job, instance) (process_resident_memory_bytes{${services}})`, '{{instance}}'),
      ),
    )
    .withPanel(
      lines(
        {
          title: 'CPU',
          description: 'Cores that each process keeps busy.',
          ...third,
          unit: Unit.count,
          decimals: 2,
        },
        query(`sum by (job, instance) (rate(process_cpu_seconds_total{${services}}[1m]))`, '{{instance}}'),
      ),
    )
    .withPanel(
      lines(
        {
          title: 'Event-loop lag, 99th percentile',
          description: 'How late a process answers: heartbeats and sockets wait for it, training does not.',
          ...third,
          unit: Unit.seconds,
          steps: below('CrossfoldEventLoopLag'),
        },
        query(`max by (job, instance) (nodejs_eventloop_lag_p99_seconds{${services}})`, '{{instance}}'),
      ),
    )
    .withPanel(
      table(
        {
          title: 'What runs',
          description: 'Versions and devices: jobs of one experiment go to workers that are alike.',
          width: 12,
          height: 8,
        },
        [rows('max by (instance, service, version, node, tensorflow, device) (crossfold_build_info)')],
        [
          { field: 'instance', title: 'Instance' },
          { field: 'service', title: 'Service' },
          { field: 'version', title: 'Crossfold' },
          { field: 'tensorflow', title: 'TensorFlow' },
          { field: 'device', title: 'Device' },
          { field: 'node', title: 'Node' },
        ],
      ),
    )
    .withPanel(
      lines(
        {
          title: 'Checkpoints a minute',
          description: 'Written, and those that could not be.',
          width: 12,
          height: 8,
          unit: Unit.count,
          decimals: 1,
        },
        query('sum by (outcome) (rate(crossfold_checkpoints_total[1m])) * 60', '{{outcome}}'),
      ),
    )
    .build();
