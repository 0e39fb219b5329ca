import { readdirSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { parse } from 'yaml';
import type { AnyBoard } from './grafana-schema.ts';

const root = resolve(import.meta.dirname, '../..');
export const dashboardsFolder = join(root, 'dashboards');

/** The committed boards, by the names of their files. */
export const committedBoards = (): Readonly<Record<string, string>> =>
  Object.fromEntries(
    readdirSync(join(dashboardsFolder, 'json')).map((file) => [
      file,
      readFileSync(join(dashboardsFolder, 'json', file), 'utf8'),
    ]),
  );

export interface Asked {
  /** Where it stands: board and panel, or rule. */
  readonly by: string;
  readonly expr: string;
}

interface RuleFile {
  readonly groups: readonly {
    readonly rules: readonly {
      readonly record?: string;
      readonly alert?: string;
      readonly expr: string;
      readonly annotations?: Readonly<Record<string, string>>;
    }[];
  }[];
}

export const ruleFiles = (): Readonly<Record<string, RuleFile>> =>
  Object.fromEntries(
    ['recording.yml', 'alerts.yml'].map((file) => [
      file,
      parse(readFileSync(join(dashboardsFolder, 'prometheus', 'rules', file), 'utf8')) as RuleFile,
    ]),
  );

export const rules = (): RuleFile['groups'][number]['rules'] =>
  Object.values(ruleFiles()).flatMap(({ groups }) => groups.flatMap((group) => group.rules));

/** Every query of every panel, annotation and variable of a board. */
export function queriesOf(board: AnyBoard): Asked[] {
  const asked: Asked[] = [];
  const add = (by: string, expr: unknown): void => {
    if (typeof expr === 'string' && expr !== '') asked.push({ by: `${board.title}: ${by}`, expr });
  };
  for (const panel of board.panels.flatMap((one) => [one, ...(one.panels ?? [])])) {
    const targets = (panel.targets ?? []) as readonly { refId: string; expr: string }[];
    for (const { refId, expr } of targets) add(`${panel.title}: ${refId}`, expr);
  }
  for (const annotation of board.annotations?.list ?? []) add(`annotation ${annotation.name}`, annotation.expr);
  const { list } = board.templating as { list: readonly { name: string; query?: { query?: string } | string }[] };
  for (const { name, query } of list) {
    const text = typeof query === 'object' ? query.query : undefined;
    const inner =
      /^label_values\((.*), *\w+\)$/.exec(text ?? '')?.[1] ?? /^query_result\((.*)\)$/.exec(text ?? '')?.[1];
    add(`variable ${name}`, inner);
  }
  return asked;
}

/** An expression with a board's variables put in. */
export const withVariables = (expr: string, values: Readonly<Record<string, string>>): string =>
  expr.replaceAll(/\$\{?(\w+)\}?/g, (whole, name: string) => values[name] ?? whole);
