import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';

const root = resolve(import.meta.dirname, '../..');

/** Grafana's own types of a panel's options and of its fields' custom settings, by the panel's type. */
const panelTypes: Readonly<
  Record<string, { readonly module: string; readonly options: string; readonly field: string }>
> = {
  timeseries: {
    module: 'timeseries/panelcfg/x/TimeSeriesPanelCfg_types.gen',
    options: 'Options',
    field: 'FieldConfig',
  },
  stat: { module: 'stat/panelcfg/x/StatPanelCfg_types.gen', options: 'Options', field: '' },
  table: { module: 'table/panelcfg/x/TablePanelCfg_types.gen', options: 'Options', field: 'FieldConfig' },
  bargauge: { module: 'bargauge/panelcfg/x/BarGaugePanelCfg_types.gen', options: 'Options', field: '' },
  trend: { module: 'trend/panelcfg/x/TrendPanelCfg_types.gen', options: 'Options', field: 'FieldConfig' },
  xychart: { module: 'xychart/panelcfg/x/XYChartPanelCfg_types.gen', options: 'Options', field: 'FieldConfig' },
};

interface AnyPanel {
  readonly type: string;
  readonly title?: string;
  readonly panels?: readonly AnyPanel[];
  readonly fieldConfig?: {
    readonly overrides?: readonly { readonly properties?: readonly { id?: string; value: unknown }[] }[];
  };
  readonly [key: string]: unknown;
}

export interface AnyBoard {
  readonly title?: string;
  readonly panels: readonly AnyPanel[];
  readonly annotations?: { readonly list?: readonly Record<string, unknown>[] };
  readonly [key: string]: unknown;
}

const head = `import type * as D from '@grafana/schema/dist/types/raw/dashboard/x/dashboard_types.gen.d.ts';
import type { Dataquery } from '@grafana/grafana-foundation-sdk/prometheus';
${Object.entries(panelTypes)
  .map(
    ([type, { module }]) => `import type * as ${type} from '@grafana/schema/dist/esm/raw/composable/${module}.d.ts';`,
  )
  .join('\n')}
/** A type as JSON has it: values of enums instead of the enums. */
type Plain<T> = T extends string ? \`\${T}\` : T extends number ? (\`\${T}\` extends \`\${infer N extends number}\` ? N : never)
  : T extends readonly (infer One)[] ? Plain<One>[] : T extends object ? { [K in keyof T]: Plain<T[K]> } : T;
/** Grafana's schema leaves a query's language open. */
type Query = Omit<Dataquery, '_implementsDataqueryVariant' | 'dataqueryName'>;
type PanelOf<O, F> = Omit<D.Panel, 'options' | 'fieldConfig' | 'targets' | 'type'> & {
  type: string; options?: O; targets?: Query[];
  fieldConfig?: { defaults: Omit<D.FieldConfig, 'custom'> & { custom?: F }; overrides: D.FieldConfigSource['overrides'] };
};
type None = { [K in never]: never };
type Board = Omit<D.Dashboard, 'panels' | 'annotations'>;
// What Prometheus' data source adds to an annotation; Grafana's schema leaves it open.
type Annotation = D.AnnotationQuery & { expr?: string; step?: string; titleFormat?: string; textFormat?: string };
`;

/** A TypeScript program that compiles where the boards are as Grafana's types say, misspelt and unknown names included. */
function program(boards: readonly AnyBoard[]): string {
  const lines: string[] = [head];
  let count = 0;
  const expect = (type: string, value: unknown, what: string): void => {
    lines.push(
      `// ${what.replaceAll(/\s+/g, ' ')}`,
      `export const v${count++}: Plain<${type}> = ${JSON.stringify(value)};`,
    );
  };
  for (const { panels, annotations, ...board } of boards) {
    expect('Board', board, `${board.title}`);
    for (const annotation of annotations?.list ?? []) expect('Annotation', annotation, `${board.title}: annotation`);
    const flat = panels.flatMap((panel) => [panel, ...(panel.panels ?? [])]);
    for (const panel of flat) {
      const what = `${board.title}: ${panel.title}`;
      if (panel.type === 'row') {
        expect(`Omit<D.RowPanel, 'panels'>`, { ...panel, panels: undefined }, what);
        continue;
      }
      const known = panelTypes[panel.type];
      if (known === undefined) {
        expect('never', panel.type ?? null, `${what}: panels of this type are not known to this check`);
        continue;
      }
      const field = known.field === '' ? 'None' : `${panel.type}.${known.field}`;
      expect(`PanelOf<${panel.type}.${known.options}, ${field}>`, panel, what);
      for (const { properties = [] } of panel.fieldConfig?.overrides ?? [])
        for (const { id = '', value } of properties) {
          const [first = '', second] = id.split('.');
          const type =
            first === 'custom' ? `NonNullable<${field}['${second}']>` : `NonNullable<D.FieldConfig['${first}']>`;
          expect(type, value, `${what}: override of ${id}`);
        }
    }
  }
  return `${lines.join('\n')}\n`;
}

/** What Grafana's own types say against boards: the compiler's messages, each with the place that it is about. */
export function schemaProblems(boards: readonly AnyBoard[]): string[] {
  const source = program(boards);
  const cache = join(root, 'node_modules', '.cache');
  mkdirSync(cache, { recursive: true });
  const folder = mkdtempSync(join(cache, 'grafana-schema-'));
  try {
    writeFileSync(join(folder, 'boards.ts'), source);
    const options = [
      '--ignoreConfig',
      '--noEmit',
      '--strict',
      '--skipLibCheck',
      '--allowImportingTsExtensions',
      '--module',
      'nodenext',
    ];
    const flags = ['--exactOptionalPropertyTypes', 'false', '--pretty', 'false', '--types', ''];
    const tsc = join(root, 'node_modules', '.bin', 'tsc');
    const { stdout, status } = spawnSync(tsc, [...options, ...flags, 'boards.ts'], { cwd: folder, encoding: 'utf8' });
    const lines = source.split('\n');
    const problems = stdout.split('\n').filter((line) => /error TS/.test(line));
    if (status !== 0 && problems.length === 0) throw new Error(`the compiler failed: ${stdout}`);
    return problems.map((problem) => {
      const at = Number(/boards\.ts\((\d+),/.exec(problem)?.[1]);
      return `${lines[at - 2]?.replace('// ', '')}: ${problem.replace(/^.*error TS\d+: /, '')}`;
    });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
