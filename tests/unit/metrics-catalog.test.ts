import { catalog, type Declaration } from '@crossfold/shared/metrics/catalog';
import { createMetrics } from '@crossfold/shared/metrics/registry';
import { describe, expect, it } from 'vitest';

const declarations: readonly Declaration[] = Object.values(catalog);

describe('the catalog of metrics', () => {
  it('has every name once', () => {
    const names = declarations.map(({ name }) => name);
    expect(new Set(names).size).toBe(names.length);
  });

  it.each(declarations.map((declaration) => [declaration.name, declaration] as const))(
    '%s is named after its kind and unit, with a help text that ends',
    (name, { kind, unit, help, buckets, labels }) => {
      expect(name).toMatch(/^crossfold_[a-z_]+$/);
      expect(name.endsWith('_total')).toBe(kind === 'counter');
      if (unit === 'seconds' || unit === 'bytes') expect(name).toMatch(new RegExp(`_${unit}(_total)?$`));
      if (unit === 'ratio') expect(name).toMatch(/_ratio$/);
      expect(help).toMatch(/^[A-Z1].*\.$/);
      expect(buckets === undefined).toBe(kind !== 'histogram');
      expect([...(buckets ?? [])]).toEqual([...(buckets ?? [])].sort((a, b) => a - b));
      for (const label of Object.keys(labels)) expect(label).toMatch(/^[a-z]+$/);
    },
  );

  it.each(['coordinator', 'worker'] as const)('is what a %s exposes, no more and no less', async (service) => {
    const metrics = createMetrics(service);
    const { text } = await metrics.read();
    const shown = [...text.matchAll(/^# TYPE (crossfold_\S+) (\S+)$/gm)].map(([, name, kind]) => `${kind} ${name}`);
    const declared = declarations.filter((d) => d.services.includes(service)).map((d) => `${d.kind} ${d.name}`);
    expect(shown.sort()).toEqual(declared.sort());
    for (const d of declarations.filter((d) => d.services.includes(service)))
      expect(text).toContain(`# HELP ${d.name} ${d.help}`);
  });

  it('begins counters at 0 where their labels are known, so that the first event is an increase', async () => {
    const { instruments, read } = createMetrics('worker');
    expect((await read()).text).toContain('crossfold_generation_changes_total{reason="lost"} 0');
    instruments.generationChanges.inc({ reason: 'lost' });
    expect((await read()).text).toContain('crossfold_generation_changes_total{reason="lost"} 1');
  });

  it('asks for values when they are read', async () => {
    const metrics = createMetrics('coordinator');
    let busy = 1;
    metrics.onRead(() => metrics.instruments.workers.set({ state: 'busy' }, busy));
    expect((await metrics.read()).text).toContain('crossfold_workers{state="busy"} 1');
    busy = 2;
    expect((await metrics.read()).text).toContain('crossfold_workers{state="busy"} 2');
  });
});
