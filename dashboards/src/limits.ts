/**
 * Figures from which on something deserves a look. Those that an alert fires at are read from its rule, which is their
 * one home: a board's line is where the alert is.
 */
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { parse } from 'yaml';

interface Rules {
  readonly groups: readonly { readonly rules: readonly { readonly alert: string; readonly expr: string }[] }[];
}
const file = resolve(import.meta.dirname, '../prometheus/rules/alerts.yml');
const { groups } = parse(readFileSync(file, 'utf8')) as Rules;

/** The number that an alert's expression has to exceed. @throws Error where there is no such alert, or number in it */
export function firesAbove(alert: string): number {
  const rule = groups.flatMap(({ rules }) => rules).find((one) => one.alert === alert);
  const found = /> ([\d.]+)/.exec(rule?.expr ?? '')?.[1];
  if (found === undefined) throw new Error(`no alert ${alert} in ${file} fires above a number`);
  return Number(found);
}

export const limits = {
  /** Train accuracy less validation accuracy: from here on a model has learnt samples by heart. */
  gap: { wide: 0.05, far: 0.1 },
  /** Lost attempts of a job without progress between them. */
  attempts: { some: 1, many: 2 },
  /** Degrees Celsius: where GPUs get hot, and where they slow themselves down. */
  gpu: { warm: 80, hot: 88 },
  /** Share of a GPU's memory: what is left may be too little for the next batch. */
  gpuMemory: { much: 0.9, full: 0.97 },
} as const;
