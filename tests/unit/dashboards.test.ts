import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { defaultHttp } from '@crossfold/coordinator/cli/options';
import { catalog, type Declaration } from '@crossfold/shared/metrics/catalog';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { boards, text } from '../../dashboards/src/boards.ts';
import { Board } from '../../dashboards/src/frame.ts';
import { firesAbove } from '../../dashboards/src/limits.ts';
import { source } from '../../dashboards/src/panels.ts';
import { annotationProblems, boardProblems, panelProblems, variableProblems } from '../support/board-check.ts';
import { damages, misspelt, wrongEnums } from '../support/board-damage.ts';
import type { AnyBoard } from '../support/grafana-schema.ts';
import { schemaProblems } from '../support/grafana-schema.ts';
import { knownMetrics } from '../support/known-metrics.ts';
import { checkQuery } from '../support/promql.ts';
import { committedBoards, dashboardsFolder, queriesOf, rules } from '../support/queries.ts';

const committed = committedBoards();
const all = Object.values(committed).map((json) => JSON.parse(json) as AnyBoard);
const metrics = await knownMetrics();
const cross = (): AnyBoard & { panels: Record<string, never>[] } =>
  JSON.parse(committed['cross-validation.json'] ?? '');

describe('the boards', () => {
  it('are committed as the code makes them', () => {
    const made = Object.fromEntries(Object.entries(boards()).map(([file, board]) => [file, text(board)]));
    expect(committed, 'run `npm run dashboards`').toEqual(made);
  });

  it('are as Grafana’s own types have them', () => {
    expect(schemaProblems(all)).toEqual([]);
  });

  it.each<[string, (board: AnyBoard) => unknown, RegExp]>([
    ['a misspelt field of a board', (b) => ({ ...b, refesh: '5s' }), /refesh/],
    ['a wrong enum of a board', (b) => ({ ...b, graphTooltip: 7 }), /7/],
    ['a misspelt field of a panel', changed((p) => ({ ...p, titel: 'x' })), /titel/],
    ['a misspelt option', changed((p) => ({ ...p, options: { ...(p.options as object), legned: {} } })), /legned/],
    [
      'a wrong enum in an option',
      changed((p) => ({ ...p, options: { ...(p.options as object), colorMode: 'valu' } })),
      /valu/,
    ],
    ['a misspelt field of a query', changed((p) => ({ ...p, targets: [{ refId: 'A', exp: 'up' }] })), /exp/],
    [
      'a wrong type of a field’s setting',
      changed((p) => ({ ...p, fieldConfig: { defaults: { decimals: 'two' }, overrides: [] } })),
      /decimals|string/,
    ],
    [
      'an override of an unknown setting',
      changed((p) => ({ ...p, fieldConfig: { defaults: {}, overrides: [override('uint', 's')] } })),
      /uint/,
    ],
    [
      'an override with a wrong value',
      changed((p) => ({ ...p, fieldConfig: { defaults: {}, overrides: [override('decimals', 'two')] } })),
      /override of decimals/,
    ],
    [
      'a misspelt field of a variable',
      (b) => ({ ...b, templating: { list: [{ type: 'query', name: 'x', reflesh: 1 }] } }),
      /reflesh/,
    ],
    [
      'a misspelt field of an annotation',
      (b) => ({ ...b, annotations: { list: [{ ...b.annotations?.list?.[0], iconColour: 'red' }] } }),
      /iconColour/,
    ],
  ])('would not be with %s', (_what, change, problem) => {
    expect(schemaProblems([change(cross()) as AnyBoard]).join('\n')).toMatch(problem);
  });

  // Each key of a panel, and each value of an enum, is misspelt in turn.
  it('would not be with any key or enum of a panel misspelt, in panels of every type', () => {
    const types = new Map(all.flatMap((board) => board.panels).map((panel) => [panel.type, panel]));
    const keys = [...types.values()].flatMap((panel) =>
      [...misspelt(panel), ...wrongEnums(panel)].map((one) => ({ ...one, of: panel.type })),
    );
    expect(keys.length).toBeGreaterThan(200);
    // All in one go, each a board of its own.
    const damaged = keys.map(({ damaged: panel }, n) => ({ ...cross(), title: `<${n}>`, panels: [panel] }) as AnyBoard);
    const found = new Set(schemaProblems(damaged).map((problem) => Number(/^<(\d+)>/.exec(problem)?.[1])));
    // Grafana's types leave the options of transformations open: those are for the other check.
    const passed = keys.filter(({ damaged: panel }, n) => !found.has(n) && panelProblems(panel, metrics).length === 0);
    expect(passed.map(({ of, what }) => `${of}: ${what}`)).toEqual([]);
  });

  it.each(all.map((board) => [board.title, board] as const))(
    '%s: panels have descriptions, units, and a place of their own',
    (_title, board) => {
      const taken = new Set<string>();
      for (const panel of board.panels) {
        const { x, y, w, h } = panel.gridPos as { x: number; y: number; w: number; h: number };
        expect(x + w).toBeLessThanOrEqual(24);
        for (let column = x; column < x + w; column++)
          for (let row = y; row < y + h; row++) {
            expect(taken.has(`${column},${row}`), `${panel.title} overlaps`).toBe(false);
            taken.add(`${column},${row}`);
          }
        if (panel.type === 'row') continue;
        expect(String(panel.description).length, `${panel.title}`).toBeGreaterThan(10);
        const { defaults } = panel.fieldConfig as unknown as { defaults: { unit?: string } };
        if (panel.type !== 'table' && panel.type !== 'xychart') expect(defaults.unit, `${panel.title}`).toBeDefined();
        expect(panel.datasource).toEqual(source);
        const refIds = (panel.targets as { refId: string; datasource: unknown }[]).map(({ refId, datasource }) => {
          expect(datasource).toEqual(source);
          return refId;
        });
        expect(new Set(refIds).size).toBe(refIds.length);
      }
    },
  );

  it('link to boards that there are, with variables that these have', () => {
    const variables = new Map(all.map((board) => [board.uid, variablesOf(board)]));
    expect([...variables.keys()].sort()).toEqual(Object.values(Board).sort());
    const urls = JSON.stringify(all).match(/\/d\/[^"]+/g) ?? [];
    expect(urls.length).toBeGreaterThan(1);
    for (const url of urls) {
      const [, uid = '', rest = ''] = /^\/d\/([^?]+)\?(.*)$/.exec(url) ?? [];
      for (const [, name] of rest.matchAll(/var-(\w+)=/g)) expect(variables.get(uid), url).toContain(name);
    }
  });

  it('keep the experiment on the way over any of them, and link to its live report where compose publishes it', () => {
    const { services } = parse(readFileSync(join(dashboardsFolder, '..', 'docker-compose.yml'), 'utf8')) as {
      services: { coordinator: { ports: string[] } };
    };
    const [host, port] = defaultHttp.coordinator.split(':');
    expect(services.coordinator.ports).toEqual([`${host}:\${CROSSFOLD_COORDINATOR_PORT:-${port}}:${port}`]);
    for (const board of all) {
      const variables = listOf(board.templating) as { name: string; query: unknown; hide?: number }[];
      expect(variables.at(0)?.name).toBe('experiment');
      expect(variables.at(-1)).toMatchObject({
        name: 'coordinator',
        query: `http://${defaultHttp.coordinator}`,
        hide: 0,
      });
      const [boardsLink, report] = board.links as Record<string, unknown>[];
      expect(boardsLink).toMatchObject({ type: 'dashboards', tags: board.tags, includeVars: true, keepTime: true });
      // biome-ignore lint/suspicious/noTemplateCurlyInString: Grafana's variables
      expect(report?.url).toBe('${coordinator:raw}/experiments/${experiment:raw}');
    }
  });

  it('mark changes of groups and failures', () => {
    const names = new Map(
      all.map(({ uid, annotations }) => [uid, listOf(annotations).map((one) => (one as { name: string }).name)]),
    );
    for (const uid of [Board.crossValidation, Board.sweep, Board.cluster])
      expect(names.get(uid), uid).toEqual(expect.arrayContaining(['Generation changes', 'Attempts lost', 'Failures']));
    for (const uid of [Board.cluster, Board.gpu]) expect(names.get(uid), uid).toContain('Alerts');
  });

  it('draw the line where the alerts do', () => {
    const lineOf = (uid: string, title: string): unknown => {
      const panel = all.find((board) => board.uid === uid)?.panels.find((one) => one.title === title) as
        | { fieldConfig: { defaults: { thresholds: { steps: { value: number }[] } } } }
        | undefined;
      return panel?.fieldConfig.defaults.thresholds.steps.at(-1)?.value;
    };
    expect(lineOf(Board.cluster, 'Waiting')).toBe(firesAbove('CrossfoldExchangeStalled'));
    expect(firesAbove('CrossfoldExchangeStalled')).toBe(30);
    expect(lineOf(Board.cluster, 'Age of the newest checkpoint')).toBe(600);
    expect(firesAbove('CrossfoldBrokerStorageFilling')).toBe(0.85);
    expect(lineOf(Board.crossValidation, 'Gap between train and validation accuracy')).toBe(0.1);
    expect(() => firesAbove('CrossfoldNoLeader')).toThrow('no alert CrossfoldNoLeader');
  });

  it('use variables that they have', () => {
    const builtIn = ['__range', '__interval', '__rate_interval', '__data', '__field', '__url_time_range'];
    for (const board of all)
      for (const [, name = ''] of JSON.stringify(board).matchAll(/\$\{?([A-Za-z_]\w*)/g))
        expect([...variablesOf(board), ...builtIn], `${board.title}`).toContain(name);
  });

  it('have the data source, and are found where it is provisioned', () => {
    const datasources = yaml('provisioning/datasources/prometheus.yml') as {
      datasources: { uid: string; type: string }[];
    };
    expect(datasources.datasources.map(({ uid, type }) => ({ uid, type }))).toEqual([source]);
    const compose = parse(readFileSync(join(dashboardsFolder, '..', 'docker-compose.yml'), 'utf8')) as {
      services: { grafana: { environment: Record<string, string>; volumes: string[] } };
    };
    const { environment, volumes } = compose.services.grafana;
    const providers = yaml('provisioning/dashboards/crossfold.yml') as { providers: { options: { path: string } }[] };
    const path = providers.providers[0]?.options.path ?? '';
    expect(volumes).toContain(`./dashboards/json:${path}:ro`);
    expect(environment.GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH).toBe(`${path}/cross-validation.json`);
  });
});

describe('queries of boards and rules', () => {
  const declarations: readonly Declaration[] = Object.values(catalog);
  it.each(all.map((board) => [board.title, board] as const))(
    '%s: asks for what there is, names what its queries bring, and what Grafana knows',
    (_title, board) => {
      expect(boardProblems(board, metrics)).toEqual([]);
    },
  );

  it.each(rules().map((rule) => [rule.record ?? rule.alert ?? '', rule] as const))(
    '%s: asks for what there is, and says what it brings',
    (_name, { expr, annotations = {} }) => {
      const { labels, problems } = checkQuery(expr, metrics);
      expect(problems).toEqual([]);
      for (const text of Object.values(annotations))
        for (const [, label] of text.matchAll(/\$labels\.(\w+)/g)) expect([...(labels ?? [])], text).toContain(label);
    },
  );

  // Each name in the boards as they are is misspelt in turn: no check that would let one pass.
  it('would not be with any name in them misspelt', () => {
    const listed = [...metrics.values()].flatMap((labels) => [...labels.values()].flatMap((values) => values ?? []));
    const isListed = (_expr: string, value: string): boolean => value.split('|').every((one) => listed.includes(one));
    const parts = all.flatMap((board) => [
      ...board.panels.map((part) => ({ part, check: panelProblems })),
      ...listOf(board.templating).map((part) => ({ part, check: variableProblems })),
      ...listOf(board.annotations).map((part) => ({ part, check: annotationProblems })),
    ]);
    const kinds = new Map<string, number>();
    const unseen: string[] = [];
    for (const { part, check } of parts)
      for (const { kind, what, damaged } of damages(part, isListed)) {
        kinds.set(kind, (kinds.get(kind) ?? 0) + 1);
        if (check(damaged, metrics).length === 0) unseen.push(`${kind}: ${what}`);
      }
    expect(unseen).toEqual([]);
    expect([...kinds.keys()].sort()).toEqual([
      'colour',
      'column of a table',
      'field below',
      'field of a link',
      'field of an override',
      'kind of a variable',
      'label in a query',
      'label of a legend',
      'label of a variable',
      'matcher',
      'metric in a query',
      'name of a field',
      'reducer',
      'transformation',
      'unit',
      'value in a query',
    ]);
    expect([...kinds.values()].reduce((a, b) => a + b)).toBeGreaterThan(600);
  });

  it.each<[string, string, RegExp | undefined]>([
    ['no PromQL', 'sum by (state (crossfold_jobs)', /no PromQL/],
    ['a label that is none, left out', 'sum without (stat) (crossfold_jobs)', /no label stat/],
    ['a label that is none, in a comparison', 'crossfold_jobs{stat!="queued"}', /no label stat/],
    ['a state that there is not', 'crossfold_jobs{state!="qeued"}', /never qeued/],
    ['a label that is none, matched on', 'crossfold_jobs / on (stat) crossfold_jobs', /no label stat/],
    ['a label that is none, ignored', 'crossfold_jobs / ignoring (stat) crossfold_jobs', /no label stat/],
    [
      'a label that is none, taken over',
      'crossfold_jobs / on (experiment) group_left (nam) max by (experiment, name) (crossfold_experiment_info)',
      /no label nam\b/,
    ],
    ['sides that never match', 'sum by (state) (crossfold_jobs) / sum(crossfold_jobs)', /only one side has state/],
    ['a quantile without buckets', 'histogram_quantile(0.5, crossfold_step_duration_seconds_sum)', /no label le/],
    ['a metric of Node that there is not', 'nodejs_eventloop_lag_p98_seconds', /no metric nodejs_eventloop_lag_p98/],
    ['a histogram without its suffix', 'crossfold_step_duration_seconds', /no metric/],
    ['a label that a count of values makes', 'max by (n) (count_values("n", crossfold_leader))', undefined],
    ['a label of another count of values', 'max by (m) (count_values("n", crossfold_leader))', /no label m\b/],
    ['a label that was summed up', 'max by (trial) (sum by (experiment) (crossfold_jobs))', /no label trial/],
    ['what is right', 'sum by (state) (crossfold_jobs{state!="queued"} offset 5m) * 2', undefined],
  ])('are checked for %s', (_what, expr, problem) => {
    const { problems } = checkQuery(expr, metrics);
    if (problem === undefined) expect(problems).toEqual([]);
    else expect(problems.join('\n')).toMatch(problem);
  });

  it('rules that alert say what is wrong and what to do', () => {
    const alerts = rules().filter(({ alert }) => alert !== undefined);
    expect(alerts.length).toBeGreaterThan(10);
    for (const { alert, annotations } of alerts) {
      expect(alert).toMatch(/^Crossfold[A-Z]/);
      expect(annotations?.summary?.length, alert).toBeGreaterThan(20);
      expect(annotations?.runbook?.length, alert).toBeGreaterThan(80);
    }
  });

  it('every metric is looked at somewhere', () => {
    const everything = [...all.flatMap(queriesOf), ...rules()].map(({ expr }) => expr).join('\n');
    const unseen = declarations.map(({ name }) => name).filter((name) => !everything.includes(name));
    expect(unseen).toEqual([]);
  });
});

function changed(change: (panel: Record<string, unknown>) => unknown): (board: AnyBoard) => unknown {
  return (board) => ({ ...board, panels: [change({ ...board.panels[0] })] });
}

const override = (id: string, value: unknown): unknown => ({
  matcher: { id: 'byName', options: 'x' },
  properties: [{ id, value }],
});

const listOf = (lists: unknown): readonly unknown[] => (lists as { list?: readonly unknown[] }).list ?? [];

const variablesOf = (board: AnyBoard): string[] =>
  (board.templating as { list: { name: string }[] }).list.map(({ name }) => name);

const yaml = (file: string): unknown => parse(readFileSync(join(dashboardsFolder, file), 'utf8'));
