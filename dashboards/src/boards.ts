import type { Dashboard } from '@grafana/grafana-foundation-sdk/dashboard';
import { cluster } from './cluster.ts';
import { crossValidation } from './cross-validation.ts';
import { gpu } from './gpu.ts';
import { sweep } from './sweep.ts';

/** The boards, by the names of their files. */
export const boards = (): Readonly<Record<string, Dashboard>> => ({
  'cross-validation.json': crossValidation(),
  'sweep.json': sweep(),
  'cluster.json': cluster(),
  'gpu.json': gpu(),
});

/**
 * What the builders put in by themselves and the Grafana that we provision does not know (its schema is that of
 * @grafana/schema in package.json). Of `placement` it would not matter that it is unknown: a later Grafana knows it, and
 * would hide links and annotations in a menu.
 */
const left: Readonly<Record<string, readonly string[]>> = {
  variables: ['auto', 'auto_min', 'auto_count'],
  links: ['placement'],
  annotations: ['placement'],
  tables: ['footer'],
};

/** As the files have it. */
export function text(board: Dashboard): string {
  const without = (one: object, keys: readonly string[] = []): object =>
    Object.fromEntries(Object.entries(one).filter(([key]) => !keys.includes(key)));
  const settled = {
    ...board,
    links: board.links?.map((link) => without(link, left.links)),
    templating: { list: board.templating.list?.map((variable) => without(variable, left.variables)) },
    annotations: { list: board.annotations.list?.map((annotation) => without(annotation, left.annotations)) },
    panels: board.panels?.map((panel) =>
      panel.type === 'table' && 'options' in panel && typeof panel.options === 'object' && panel.options !== null
        ? { ...panel, options: without(panel.options, left.tables) }
        : panel,
    ),
  };
  return `${JSON.stringify(settled, null, 2)}\n`;
}
