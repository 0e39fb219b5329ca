import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';
import type { Catalog, Declaration, LabelValues, MetricsService } from './catalog.ts';
import { catalog } from './catalog.ts';

type ValueOf<V extends LabelValues> = V extends readonly (infer One)[] ? One : string;
/** The labels of a declared metric: listed values where it lists them, any text otherwise. */
export type LabelsOf<D extends Declaration> = { readonly [L in keyof D['labels']]: ValueOf<D['labels'][L]> };

export interface CounterOf<D extends Declaration> {
  inc(labels: LabelsOf<D>, by?: number): void;
}
export interface GaugeOf<D extends Declaration> {
  set(labels: LabelsOf<D>, value: number): void;
  remove(labels: LabelsOf<D>): void;
  /** Removes all series. */
  reset(): void;
}
export interface HistogramOf<D extends Declaration> {
  observe(labels: LabelsOf<D>, value: number): void;
}

type Instrument<D extends Declaration> = D['kind'] extends 'counter'
  ? CounterOf<D>
  : D['kind'] extends 'gauge'
    ? GaugeOf<D>
    : HistogramOf<D>;

type ExposedBy<S extends MetricsService> = {
  [K in keyof Catalog]: S extends Catalog[K]['services'][number] ? K : never;
}[keyof Catalog];

/** The instruments of a service, by their keys in the catalog. */
export type Instruments<S extends MetricsService> = { readonly [K in ExposedBy<S>]: Instrument<Catalog[K]> };

export interface ServiceMetrics<S extends MetricsService> {
  readonly instruments: Instruments<S>;
  /** Has a function called before every reading, to bring gauges up to date; it must be quick and must not throw. */
  onRead(update: () => void): void;
  /** Everything as Prometheus' text format has it. */
  read(): Promise<{ readonly text: string; readonly type: string }>;
}

/**
 * The metrics of one process: those that the catalog has for the service, and Node's and the process's own (memory,
 * event-loop lag, garbage collection) under the names that prom-client gives them everywhere. Counters and histograms
 * whose labels have listed values begin at 0, so that the first event is seen as an increase.
 */
export function createMetrics<S extends MetricsService>(service: S): ServiceMetrics<S> {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  const entries = Object.entries<Declaration>(catalog)
    .filter(([, declaration]) => declaration.services.includes(service))
    .map(([key, declaration]) => [key, instrument(declaration, registry)] as const);
  const updates: (() => void)[] = [];
  return {
    // Built from the catalog entry by entry, as its type is.
    instruments: Object.fromEntries(entries) as unknown as Instruments<S>,
    onRead(update) {
      updates.push(update);
    },
    async read() {
      for (const update of updates) update();
      return { text: await registry.metrics(), type: registry.contentType };
    },
  };
}

function instrument(declaration: Declaration, registry: Registry): Counter | Gauge | Histogram {
  const { name, help, kind, buckets = [] } = declaration;
  const settings = { name, help, labelNames: Object.keys(declaration.labels), registers: [registry] };
  if (kind === 'gauge') return new Gauge(settings);
  if (kind === 'counter') {
    const counter = new Counter(settings);
    for (const labels of allLabels(declaration)) counter.inc(labels, 0);
    return counter;
  }
  const histogram = new Histogram({ ...settings, buckets: [...buckets] });
  for (const labels of allLabels(declaration)) histogram.zero(labels);
  return histogram;
}

/** Every combination of listed label values; none where a label's values are not listed. */
function allLabels({ labels }: Declaration): Record<string, string>[] {
  let all: Record<string, string>[] = [{}];
  for (const [label, values] of Object.entries(labels)) {
    if ('oneFor' in values) return [];
    all = all.flatMap((some) => values.map((value) => ({ ...some, [label]: value })));
  }
  return all;
}
