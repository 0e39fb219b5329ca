import type { Builder } from '@grafana/grafana-foundation-sdk/cog';
import type { AnnotationQuery, DashboardLink, VariableModel } from '@grafana/grafana-foundation-sdk/dashboard';
import {
  AnnotationQueryBuilder,
  DashboardBuilder,
  DashboardCursorSync,
  DashboardLinkBuilder,
  DashboardLinkType,
  QueryVariableBuilder,
  TextBoxVariableBuilder,
  VariableHide,
  VariableRefresh,
  VariableSort,
} from '@grafana/grafana-foundation-sdk/dashboard';
import { source } from './panels.ts';

/** Uids of the boards, which links between them go by. */
export const Board = {
  crossValidation: 'crossfold-cross-validation',
  sweep: 'crossfold-sweep',
  cluster: 'crossfold-cluster',
  gpu: 'crossfold-gpu',
} as const;

const tag = 'crossfold';

interface Frame {
  readonly uid: string;
  readonly title: string;
  readonly description: string;
  readonly from: string;
  readonly variables: readonly Builder<VariableModel>[];
  readonly annotations: readonly Builder<AnnotationQuery>[];
  readonly links?: readonly Builder<DashboardLink>[];
}

/** What all boards have in common: links to the others that keep experiment and time, one crosshair for all panels. */
export const board = ({ uid, title, description, from, variables, annotations, links = [] }: Frame): DashboardBuilder =>
  new DashboardBuilder(title)
    .uid(uid)
    .description(description)
    .tags([tag])
    .time({ from, to: 'now' })
    .refresh('5s')
    .timezone('browser')
    .tooltip(DashboardCursorSync.Crosshair)
    .editable()
    .variables([...variables])
    .annotations([...annotations])
    .links([
      new DashboardLinkBuilder('Boards')
        .type(DashboardLinkType.Dashboards)
        .tags([tag])
        .asDropdown(false)
        .includeVars(true)
        .keepTime(true)
        .icon('external link')
        .tooltip('')
        .targetBlank(false),
      ...links,
    ]);

/** Experiments that were there within the time shown, the newest first. */
export const experimentVariable = (): QueryVariableBuilder =>
  new QueryVariableBuilder('experiment')
    .label('Experiment')
    .datasource(source)
    .query({
      qryType: 3,
      query:
        'query_result(sort_desc(max by (experiment) (last_over_time(crossfold_experiment_created_timestamp_seconds[$__range]))))',
      refId: 'experiment',
    })
    .regex('/experiment="([^"]+)"/')
    .sort(VariableSort.Disabled)
    .refresh(VariableRefresh.OnTimeRangeChanged);

/** The values that a label of a metric has, within the time shown. */
export const labelVariable = (name: string, label: string, metric: string, of: string): QueryVariableBuilder =>
  new QueryVariableBuilder(name)
    .label(label)
    .datasource(source)
    .query({ qryType: 1, query: `label_values(${metric}, ${of})`, refId: name })
    .sort(VariableSort.NaturalAsc)
    .refresh(VariableRefresh.OnTimeRangeChanged);

/** Where a person's browser finds the coordinator. */
export const coordinatorVariable = (): TextBoxVariableBuilder =>
  new TextBoxVariableBuilder('coordinator')
    .label('Coordinator')
    .description('Where your browser reaches the coordinator, for the link to the live report')
    .defaultValue('http://127.0.0.1:9470')
    .hide(VariableHide.HideVariable);

export const liveReportLink = (): DashboardLinkBuilder =>
  new DashboardLinkBuilder('Live report')
    .type(DashboardLinkType.Link)
    .url('${coordinator}/experiments/${experiment}')
    .icon('doc')
    .tooltip('The report of this experiment as far as it has come, from the coordinator')
    .tags([])
    .asDropdown(false)
    .includeVars(false)
    .keepTime(false)
    .targetBlank(true);

/** A mark at each moment that an expression has a sample. */
const marks = (name: string, colour: string, expr: string, title: string, text: string): AnnotationQueryBuilder =>
  new AnnotationQueryBuilder()
    .name(name)
    .datasource(source)
    .enable(true)
    .hide(false)
    .iconColor(colour)
    .expr(expr)
    .titleFormat(title)
    .textFormat(text)
    .step('5s');

/** Changes of the groups of an experiment after their first, and jobs that were given back or have failed. */
export const experimentAnnotations = (): AnnotationQueryBuilder[] => [
  marks(
    'Generation changes',
    'blue',
    'max by (trial, fold) (changes(crossfold_fold_generation{experiment="$experiment"}[30s])) > 0 and max by (trial, fold) (crossfold_fold_generation{experiment="$experiment"}) > 1',
    'Group changed',
    'trial {{trial}}, fold {{fold}}: a worker joined, left or was lost',
  ),
  marks(
    'Attempts lost',
    'orange',
    'max by (trial, fold) (delta(crossfold_fold_attempts{experiment="$experiment"}[30s])) > 0',
    'Attempt lost',
    'trial {{trial}}, fold {{fold}}: all workers were lost, or the attempt failed; it is tried again',
  ),
  marks(
    'Failures',
    'red',
    'max by (trial, fold) (crossfold_fold_state{experiment="$experiment", state="failed"}) unless max by (trial, fold) (crossfold_fold_state{experiment="$experiment", state="failed"} offset 30s)',
    'Job failed',
    'trial {{trial}}, fold {{fold}}',
  ),
];

export const alertAnnotation = (): AnnotationQueryBuilder =>
  marks(
    'Alerts',
    'red',
    'max by (alertname, instance, experiment) (ALERTS{alertname=~"Crossfold.+", alertstate="firing"})',
    '{{alertname}}',
    '{{instance}} {{experiment}}',
  );
