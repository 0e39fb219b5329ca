import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { catalog, type Declaration } from '@crossfold/shared/metrics/catalog';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { boards, text } from '../../dashboards/src/boards.ts';
import { Board } from '../../dashboards/src/frame.ts';
import { source } from '../../dashboards/src/panels.ts';
import type { AnyBoard } from '../support/grafana-schema.ts';
import { schemaProblems } from '../support/grafana-schema.ts';
import { committedBoards, dashboardsFolder, queriesOf, rules } from '../support/queries.ts';

const committed = committedBoards();
const all = Object.values(committed).map((json) => JSON.parse(json) as AnyBoard);
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

  it('use variables that they have', () => {
    const builtIn = ['__range', '__interval', '__rate_interval', '__data', '__url_time_range'];
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
  const suffixes = { histogram: ['_bucket', '_sum', '_count'], counter: [''], gauge: [''] };
  const own = new Map<string, Declaration>(
    declarations.flatMap((d) => suffixes[d.kind].map((suffix) => [`${d.name}${suffix}`, d] as const)),
  );
  const recorded = rules().flatMap(({ record }) => record ?? []);
  /** Of Prometheus, Node, the process, the kubelet and NVIDIA's exporter. */
  const foreign = /^(up|ALERTS|(process|nodejs|kubelet_volume_stats|DCGM_FI_(DEV|PROF))_\w+)$/;
  const asked = [
    ...all.flatMap(queriesOf),
    ...rules().map(({ record, alert, expr }) => ({ by: record ?? alert ?? '', expr })),
  ];

  it.each(asked.map(({ by, expr }) => [by, expr] as const))(
    '%s: asks for what there is, by labels that it has',
    (_by, expr) => {
      // Names are what stands before a selector, a range, an operator or the end, outside of strings.
      const bare = expr.replaceAll(/"[^"]*"/g, '""');
      const names = [
        ...bare.matchAll(/(?<![\w:$])(?:[a-zA-Z_]\w*:)?[a-zA-Z_][\w:]*(?=\s*(\{|\[|$|[)\s,/*+<>=!-]))/g),
      ].map(([name]) => name);
      const metrics = names.filter((name) => /^crossfold_|:|^(up|ALERTS)$|^(process|nodejs|kubelet|DCGM)_/.test(name));
      expect(metrics.length).toBeGreaterThan(0);
      for (const name of metrics)
        expect(own.has(name) || recorded.includes(name) || foreign.test(name), name).toBe(true);
      for (const [, name = '', inside = ''] of expr.matchAll(/(crossfold_\w+)\{([^}]*)\}/g)) {
        const labels = [...Object.keys(own.get(name)?.labels ?? {}), 'job', 'instance', 'le'];
        for (const [, label = '', value = ''] of inside.matchAll(/(\w+)=~?"([^"]*)"/g)) {
          expect(labels, `${name}{${label}}`).toContain(label);
          const values = own.get(name)?.labels[label];
          if (values === undefined || 'oneFor' in values || value.startsWith('$')) continue;
          for (const one of value.split('|')) expect(values, `${name}{${label}}`).toContain(one);
        }
      }
    },
  );

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
    const everything = asked.map(({ expr }) => expr).join('\n');
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

const variablesOf = (board: AnyBoard): string[] =>
  (board.templating as { list: { name: string }[] }).list.map(({ name }) => name);

const yaml = (file: string): unknown => parse(readFileSync(join(dashboardsFolder, file), 'utf8'));
