import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { catalog, type Declaration } from '@crossfold/shared/metrics/catalog';
import { createMetrics } from '@crossfold/shared/metrics/registry';
import type { MetricLabels, Metrics } from './promql.ts';
import { checkQuery, namesIn } from './promql.ts';
import { rules } from './queries.ts';

const fixtures = resolve(import.meta.dirname, '../fixtures/metrics');
type Labels = Map<string, readonly string[] | undefined>;

/** What every series has that Prometheus has scraped from a service of ours. */
const scraped: readonly (readonly [string, readonly string[] | undefined])[] = [
  ['job', ['crossfold-coordinator', 'crossfold-worker']],
  ['instance', undefined],
];
const suffixes = { histogram: ['_bucket', '_sum', '_count'], counter: [''], gauge: [''] };

/**
 * Every metric that boards and rules can ask for, with its labels: those that are declared, what Node and the process say
 * of themselves, what rules record, what other exporters serve (as the fixtures have it), and Prometheus' own.
 */
export async function knownMetrics(): Promise<Metrics> {
  const known = new Map<string, MetricLabels>();
  for (const declaration of Object.values<Declaration>(catalog))
    for (const suffix of suffixes[declaration.kind]) {
      const labels: Labels = new Map(scraped);
      if (suffix === '_bucket') labels.set('le', undefined);
      for (const [label, values] of Object.entries(declaration.labels))
        labels.set(label, 'oneFor' in values ? undefined : values);
      known.set(`${declaration.name}${suffix}`, labels);
    }
  for (const service of ['coordinator', 'worker'] as const)
    for (const [name, labels] of exposed((await createMetrics(service).read()).text, scraped))
      if (!name.startsWith('crossfold_')) known.set(name, labels);
  for (const file of ['dcgm.prom', 'kubelet.prom'])
    for (const [name, labels] of exposed(readFileSync(resolve(fixtures, file), 'utf8'), [
      ['job', undefined],
      ['instance', undefined],
    ]))
      known.set(name, labels);
  known.set('up', new Map(scraped));
  const alert: Labels = new Map([
    ['alertname', rules().flatMap(({ alert: name }) => name ?? [])],
    ['alertstate', ['pending', 'firing']],
    ['severity', ['warning', 'critical']],
  ]);
  for (const { record, alert: name, expr } of rules()) {
    const { labels = new Set<string>() } = checkQuery(expr, known);
    // No rule of ours gives a label other values than those of what it is made of.
    const of = namesIn(expr).flatMap(({ kind, from, to }) => (kind === 'metric' ? [expr.slice(from, to)] : []));
    const values = (label: string): readonly string[] | undefined =>
      of.map((name) => known.get(name)?.get(label)).find((listed) => listed !== undefined);
    if (record !== undefined) known.set(record, new Map([...labels].map((label) => [label, values(label)])));
    if (name !== undefined) for (const label of labels) alert.set(label, undefined);
  }
  known.set('ALERTS', alert);
  return known;
}

/** Metrics and their labels in Prometheus' text format. */
function exposed(
  text: string,
  always: Iterable<readonly [string, readonly string[] | undefined]>,
): Map<string, Labels> {
  const found = new Map<string, Labels>();
  for (const [, name = '', inside = ''] of text.matchAll(/^([a-zA-Z_:][\w:]*)(?:\{([^}]*)\})? /gm)) {
    const labels = found.get(name) ?? new Map(always);
    for (const [, label = ''] of inside.matchAll(/(\w+)="/g)) labels.set(label, undefined);
    found.set(name, labels);
  }
  return found;
}
