import { spawnSync } from 'node:child_process';
import { cpus, loadavg, release, totalmem } from 'node:os';

/** The machine in a line. */
export function machine(): string {
  const [first] = cpus();
  const memory = (totalmem() / 2 ** 30).toFixed(0);
  return `${cpus().length} x ${first?.model.trim()}, ${memory} GiB, ${process.platform} ${release()}, Node ${process.version}`;
}

/** Processes that wait for a core now, on average over the last minute: figures of a busy machine are worth less. */
export const load = (): number => loadavg()[0] ?? 0;

/** What to put before a command so that it stays on one core; nothing where that cannot be had. */
export function pinnedTo(core: number): readonly string[] {
  const canPin = spawnSync('taskset', ['-c', String(core), 'true']).status === 0;
  return canPin ? ['taskset', '-c', String(core)] : [];
}

export const median = (values: readonly number[]): number =>
  values.toSorted((a, b) => a - b)[values.length >> 1] ?? Number.NaN;
