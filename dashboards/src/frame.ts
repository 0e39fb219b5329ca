import type { Builder } from '@grafana/grafana-foundation-sdk/cog';
import type { AnnotationQuery, VariableModel } from '@grafana/grafana-foundation-sdk/dashboard';
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
  /** Beside those that every board has. */
  readonly variables?: readonly Builder<VariableModel>[];
  readonly annotations: readonly Builder<AnnotationQuery>[];
}

/**
 * What all boards have in common: an experiment, which boards that show all of them have for their links alone, so that
 * it is not lost on the way over them; links to the other boards, which keep experiment and time, and to the live report;
 * one crosshair for all panels.
 */
export const board = ({ uid, title, description, from, variables = [], annotations }: Frame): DashboardBuilder =>
  new DashboardBuilder(title)
    .uid(uid)
    .description(description)
    .tags([tag])
    .time({ from, to: 'now' })
    .refresh('5s')
    .timezone('browser')
    .tooltip(DashboardCursorSync.Crosshair)
    .editable()
    .variables([experimentVariable(), ...variables, coordinatorVariable()])
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
      new DashboardLinkBuilder('Live report')
        .type(DashboardLinkType.Link)
        // biome-ignore lint/suspicious/noTemplateCurlyInString: Grafana's variables
        .url('${coordinator:raw}/experiments/${experiment:raw}')
        .icon('doc')
        .tooltip('The report of this experiment as far as it has come, from the coordinator')
        .tags([])
        .asDropdown(false)
        .includeVars(false)
        .keepTime(false)
        .targetBlank(true),
    ]);

/** Experiments that were there within the time shown, the newest first. */
const experimentVariable = (): QueryVariableBuilder =>
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

/** The same, of which any number can be chosen; all to begin with. */
export const anyOf = (name: string, label: string, metric: string, of: string): QueryVariableBuilder =>
  labelVariable(name, label, metric, of).multi(true).includeAll(true).allValue('.*');

/** Where a person's browser finds the coordinator: as docker-compose.yml, `crossfold up` and a forwarded port have it. */
const coordinatorVariable = (): TextBoxVariableBuilder =>
  new TextBoxVariableBuilder('coordinator')
    .label('Live reports at')
    .description('Where your browser reaches the coordinator, for the link to the live report')
    .defaultValue('http://127.0.0.1:9470')
    .hide(VariableHide.DontHide);

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

/**
 * Changes of groups after their first, and jobs that were given back or have failed.
 * @param of matchers that say of which experiments
 */
const jobMarks = (of: string): AnnotationQueryBuilder[] => {
  const job = 'experiment, trial, fold';
  const where = '{{experiment}}, trial {{trial}}, fold {{fold}}';
  const failed = `max by (${job}) (crossfold_fold_state{${of}, state="failed"}`;
  return [
    marks(
      'Generation changes',
      'blue',
      `max by (${job}) (changes(crossfold_fold_generation{${of}}[30s])) > 0 and max by (${job}) (crossfold_fold_generation{${of}}) > 1`,
      'Group changed',
      `${where}: a worker joined, left or was lost`,
    ),
    marks(
      'Attempts lost',
      'orange',
      `max by (${job}) (delta(crossfold_fold_attempts{${of}}[30s])) > 0`,
      'Attempt lost',
      `${where}: all workers were lost, or the attempt failed; it is tried again`,
    ),
    marks('Failures', 'red', `${failed}) unless ${failed} offset 30s)`, 'Job failed', where),
  ];
};

/** What happened to the experiment that is shown. */
export const experimentAnnotations = (): AnnotationQueryBuilder[] => jobMarks('experiment="$experiment"');

/** What happened to any experiment. */
export const allAnnotations = (): AnnotationQueryBuilder[] => [...jobMarks('experiment=~".+"'), alertAnnotation()];

export const alertAnnotation = (): AnnotationQueryBuilder =>
  marks(
    'Alerts',
    'red',
    'max by (alertname, instance, experiment) (ALERTS{alertname=~"Crossfold.+", alertstate="firing"})',
    '{{alertname}}',
    '{{instance}} {{experiment}}',
  );
