import { readdir, readFile } from 'node:fs/promises';

/** What a process took up at a moment. */
export interface Sample {
  /** Seconds since the watch began. */
  readonly at: number;
  readonly residentMiB: number;
  readonly handles: number;
}

/** How something went up or down over time. */
export interface Slope {
  readonly perHour: number;
  /** Of the slope, from what the line leaves unexplained. */
  readonly standardError: number;
}

/** Looks at processes now and then, as Linux shows them in /proc. */
export class ProcessWatch {
  readonly samples = new Map<string, Sample[]>();
  readonly #began = performance.now();

  async look(processes: ReadonlyMap<string, number>): Promise<void> {
    for (const [name, pid] of processes) {
      const sample = await sampleOf(pid, (performance.now() - this.#began) / 1000).catch(() => undefined);
      // One that has just ended has nothing to show.
      if (sample !== undefined) this.samples.set(name, [...(this.samples.get(name) ?? []), sample]);
    }
  }
}

async function sampleOf(pid: number, at: number): Promise<Sample> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8');
  const resident = /^VmRSS:\s+(\d+) kB/m.exec(status)?.[1];
  if (resident === undefined) throw new Error(`process ${pid} has no memory`);
  return { at, residentMiB: Number(resident) / 1024, handles: (await readdir(`/proc/${pid}/fd`)).length };
}

/**
 * The least-squares line through the means of `blockSeconds` each: memory goes up and down with every garbage collection,
 * so that single samples next to each other say the same, and would make the error look smaller than it is.
 */
export function slope(
  samples: readonly Sample[],
  of: (sample: Sample) => number,
  blockSeconds = 60,
): Slope | undefined {
  const blocks = new Map<number, number[]>();
  for (const sample of samples) {
    const block = Math.floor(sample.at / blockSeconds);
    blocks.set(block, [...(blocks.get(block) ?? []), of(sample)]);
  }
  const points = [...blocks].map(([block, values]) => ({
    x: ((block + 0.5) * blockSeconds) / 3600,
    y: values.reduce((sum, value) => sum + value, 0) / values.length,
  }));
  const n = points.length;
  if (n < 4) return undefined;
  const meanX = points.reduce((sum, { x }) => sum + x, 0) / n;
  const meanY = points.reduce((sum, { y }) => sum + y, 0) / n;
  const sxx = points.reduce((sum, { x }) => sum + (x - meanX) ** 2, 0);
  const perHour = points.reduce((sum, { x, y }) => sum + (x - meanX) * (y - meanY), 0) / sxx;
  const left = points.reduce((sum, { x, y }) => sum + (y - meanY - perHour * (x - meanX)) ** 2, 0);
  return { perHour, standardError: Math.sqrt(left / (n - 2) / sxx) };
}
