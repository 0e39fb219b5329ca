import type { JobRecord } from '@crossfold/shared/jobs/records';

/** An experiment that has jobs waiting. */
export interface Line {
  readonly experiment: string;
  readonly priority: number;
  /** When it was submitted. */
  readonly since: number;
  /** When workers last began with a job of it; 0: never yet. */
  readonly begunAt: number;
  /** Seats that its jobs have been given. */
  readonly seats: number;
  /** Jobs that have a member, or a seat given out. */
  readonly running: number;
  /** Most jobs that may run at a time; null: any number. */
  readonly limit: number | null;
  /** Whether it computes everything itself, whatever else is computed. */
  readonly fresh: boolean;
  /** The jobs that wait, in the experiment's own order. */
  readonly jobs: readonly JobRecord[];
}

/**
 * The order in which waiting jobs have their turn. Experiments of higher priority come first; of equal ones each time
 * that which has the fewest seats, so that each gets its share of the workers, and of these the one whose last turn is the
 * longest ago, so that none is left out where experiments outnumber workers; then the one that came first. Of jobs that come to the same only one has its turn; the others are served by its result.
 *
 * @param roomFor how many jobs of an engine identity are of interest
 */
export function inTurn(lines: readonly Line[], roomFor: (identity: string) => number): JobRecord[] {
  const open = lines.map((line) => ({ line, next: 0, seats: line.seats, running: line.running, last: line.begunAt }));
  const newest = Math.max(0, ...lines.map(({ begunAt }) => begunAt));
  const room = new Map<string, number>();
  const turns: JobRecord[] = [];
  const keys = new Set<string>();
  for (;;) {
    let best: (typeof open)[number] | undefined;
    for (const candidate of open) {
      const { line, running } = candidate;
      while (!line.fresh && keys.has(line.jobs[candidate.next]?.key ?? '')) candidate.next++;
      const job = line.jobs[candidate.next];
      if (job === undefined || running >= (line.limit ?? Number.POSITIVE_INFINITY)) continue;
      if ((room.get(job.identity) ?? roomFor(job.identity)) <= 0) continue;
      if (best === undefined || compare(candidate, best) < 0) best = candidate;
    }
    const job = best?.line.jobs[best.next];
    if (best === undefined || job === undefined) return turns;
    turns.push(job);
    keys.add(job.key);
    room.set(job.identity, (room.get(job.identity) ?? roomFor(job.identity)) - 1);
    best.next++;
    best.running++;
    best.seats += job.minSeats;
    best.last = newest + turns.length;
  }
}

interface Standing {
  readonly line: Line;
  readonly seats: number;
  readonly last: number;
}

const compare = (a: Standing, b: Standing): number =>
  b.line.priority - a.line.priority ||
  a.seats - b.seats ||
  a.last - b.last ||
  a.line.since - b.line.since ||
  (a.line.experiment < b.line.experiment ? -1 : 1);
