import type { JobRecord, Pace, Presence } from '@crossfold/shared/jobs/records';
import { isFinal } from '@crossfold/shared/jobs/records';

/**
 * Folds first: a job gets more than `minSeats` members only while workers are left over that no job lacks, and gives
 * them back as soon as one does. Which job, and how many members, follows from how fast the jobs say that they go; see
 * docs/performance.md for the measurements behind the constants.
 */

/** A step must become shorter by at least this part: below it, the exchange and its hazards eat the gain. */
const leastGain = 0.1;
/** Time that a worker takes, once it has a seat, to make ready the data and the model of a job that it joins. */
const openMs = 500;
/** Time that a join costs those who are members already: the step under way, a new generation, the state handed over. */
const joinMs = 200;
/** How long the end of a job may take beyond its last step: its model and its result are stored, and said to be. */
const endMs = 2000;

/** How a job goes, as far as it has said so. */
export interface JobPace {
  readonly pace: Pace;
  /** For how long it has said of no further step, milliseconds. */
  readonly silentMs: number;
  /** Time of a step with so many members, milliseconds, where it has had as many for a while. */
  readonly measured: ReadonlyMap<number, number>;
}

/**
 * Time of a step in a group: the slices of the member that has most of them, what each member does for itself, and an
 * exchange, whose cost grows with the number of peers (on one machine; with a network of their own, by less).
 */
export const stepMs = (pace: Pace, members: number): number =>
  pace.sliceMs * Math.ceil(pace.slices / members) + pace.aloneMs + pace.exchangeMs * (members - 1);

/**
 * The next larger group that would be worth its joins: M slices make 1, 2 and 4 members of 4, never 3. What has been
 * tried counts as it was measured, and where it did not pay, larger groups are not tried.
 */
export function nextSize(
  pace: Pace,
  from: number,
  most: number,
  measured: JobPace['measured'] = new Map(),
): number | undefined {
  const now = stepMs(pace, from);
  const steps = pace.stepsLeft - openMs / now;
  for (let size = from + 1; size <= most; size++) {
    const gain = now - stepMs(pace, size);
    if (gain < leastGain * now || gain * steps < joinMs) continue;
    const [before, after] = [measured.get(from), measured.get(size)];
    const paid = before === undefined || after === undefined || after <= (1 - leastGain) * before;
    return paid ? size : undefined;
  }
  return undefined;
}

/** The smaller group in which a step took least, if it took no longer than in one of this size. */
export function sizeBefore({ measured }: JobPace, size: number, least: number): number | undefined {
  const now = measured.get(size);
  if (now === undefined) return undefined;
  const smaller = [...measured].filter(([members, ms]) => members >= least && members < size && ms <= now);
  return smaller.toSorted(([, a], [, b]) => a - b)[0]?.[0];
}

/** The next smaller group that is faster than the one below it: with 4 slices, 2 members do as well as 3. */
export function previousSize(slices: number, from: number, least: number): number {
  for (let size = from - 1; size > least; size--)
    if (Math.ceil(slices / size) < Math.ceil(slices / (size - 1))) return size;
  return least;
}

export interface SeatChange {
  readonly job: string;
  readonly seats: number;
}

/**
 * The jobs that should have another number of seats, as things stand.
 *
 * @param jobs in the order of the queue
 * @param paceOf how a job goes, or would go: measured on another job of the same plan where it has not begun
 */
export function planSeats(
  jobs: readonly JobRecord[],
  workers: readonly Presence[],
  paceOf: (job: JobRecord) => JobPace | undefined,
): SeatChange[] {
  const identities = new Set(workers.map((worker) => worker.identity));
  const cores = freeCores(workers);
  return [...identities].flatMap((identity) => {
    const own = workers.filter((worker) => worker.identity === identity);
    const crews = jobs
      .filter((job) => job.identity === identity && !isFinal(job.state))
      .map((job): Crew => {
        const [filled, known] = [filledSeats(job, own), paceOf(job)];
        const ending = known !== undefined && filled > 0 && endsSoon(known, filled);
        return { job, filled, seats: job.seats, known, ending };
      });
    const idle = own.filter((worker) => worker.state === 'idle');
    const short = sum(crews.map(({ job, filled }) => Math.max(0, job.minSeats - filled))) - idle.length;
    giveUpWhatDidNotPay(crews);
    const spare = ofUse(idle, cores) - sum(crews.map(({ seats, filled }) => Math.max(0, seats - filled)));
    if (short > 0) narrow(crews, short);
    else if (spare > 0) widen(crews, spare);
    return crews.filter(({ job, seats }) => seats !== job.seats).map(({ job, seats }) => ({ job: job.id, seats }));
  });
}

/** A job with the workers that it has and may have. */
interface Crew {
  readonly job: JobRecord;
  /** Members, and workers that have taken a seat and make themselves ready. */
  readonly filled: number;
  readonly known: JobPace | undefined;
  /** Whether its workers will be free before one that is sent away from another job could be of use. */
  readonly ending: boolean;
  seats: number;
}

function filledSeats(job: JobRecord, workers: readonly Presence[]): number {
  const members = new Set(job.members.map((member) => member.worker));
  return members.size + workers.filter((w) => w.state === 'busy' && w.job === job.id && !members.has(w.worker)).length;
}

/** Cores of each machine that nobody computes on, by its name. */
function freeCores(workers: readonly Presence[]): Map<string, number> {
  const cores = new Map<string, number>();
  for (const { machine } of workers) if (machine !== undefined) cores.set(machine.host, machine.cores);
  for (const { machine, state, threads } of workers)
    if (machine !== undefined && state === 'busy') cores.set(machine.host, (cores.get(machine.host) ?? 0) - threads);
  return cores;
}

/**
 * How many of these workers a wider group would have cores for: members that share one with each other make a step no
 * shorter. @param cores that are free, and are taken by those that are counted
 */
function ofUse(idle: readonly Presence[], cores: Map<string, number>): number {
  let useful = 0;
  for (const { machine, threads } of idle) {
    const free = machine === undefined ? threads : (cores.get(machine.host) ?? 0);
    if (free < threads) continue;
    if (machine !== undefined) cores.set(machine.host, free - threads);
    useful++;
  }
  return useful;
}

/** Takes back what groups were widened by where their steps have turned out no shorter for it. */
function giveUpWhatDidNotPay(crews: readonly Crew[]): void {
  for (const crew of crews) {
    const { job, known, filled, seats } = crew;
    if (known === undefined || filled !== seats || job.members.length !== seats) continue;
    crew.seats = sizeBefore(known, seats, job.minSeats) ?? seats;
  }
}

/** Takes seats back, those first that nobody sits on, until `short` workers will be free. */
function narrow(crews: readonly Crew[], short: number): void {
  let need = short;
  for (const crew of crews) {
    const { job, filled, seats, ending } = crew;
    crew.seats = Math.min(seats, Math.max(job.minSeats, filled));
    // Members that are about to leave, or whose job is about to end, need not be sent away.
    need -= ending ? filled : filled - Math.min(filled, crew.seats);
  }
  while (need > 0) {
    const widest = crews
      .filter((crew) => crew.seats > crew.job.minSeats && !crew.ending)
      .reduce<Crew | undefined>(
        (most, crew) => (most === undefined || crew.seats >= most.seats ? crew : most),
        undefined,
      );
    if (widest === undefined) return;
    const seats = previousSize(widest.job.maxSeats, widest.seats, widest.job.minSeats);
    need -= widest.seats - seats;
    widest.seats = seats;
  }
}

/** Gives `spare` workers to the jobs that have longest to go. */
function widen(crews: readonly Crew[], spare: number): void {
  let left = spare;
  for (;;) {
    let best: { readonly crew: Crew; readonly size: number; readonly leftMs: number } | undefined;
    for (const crew of crews) {
      const { known, seats, job } = crew;
      if (known === undefined) continue;
      const { pace, measured } = known;
      const size = nextSize(pace, seats, Math.min(job.maxSeats, seats + left), measured);
      const leftMs = pace.stepsLeft * stepMs(pace, seats);
      if (size !== undefined && (best === undefined || leftMs > best.leftMs)) best = { crew, size, leftMs };
    }
    if (best === undefined) return;
    left -= best.size - best.crew.seats;
    best.crew.seats = best.size;
  }
}

/**
 * Whether a job ends before a worker that it gives away could be of use elsewhere. What should have ended long ago is not
 * counted on: others would wait for it in vain while a wide group has workers to give.
 */
function endsSoon({ pace, silentMs }: JobPace, members: number): boolean {
  const leftMs = pace.stepsLeft * stepMs(pace, members);
  return leftMs < openMs && silentMs < leftMs + endMs;
}

const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);

/** Jobs, and the plans of those that are not over. */
export interface JobsInUse {
  readonly jobs: ReadonlyMap<string, JobRecord>;
  readonly plans: { has(plan: string): boolean };
}

/** How fast jobs go, as their members of rank 0 last said. */
export class Paces {
  readonly #ofJob = new Map<
    string,
    { readonly pace: Pace; readonly since: number; readonly measured: Map<number, number> }
  >();
  /** Of jobs of one plan (a trial's folds differ in nothing else), for those that have not begun. */
  readonly #ofPlan = new Map<string, Pace>();

  /** Takes in what workers say, and forgets what is over. @param now milliseconds, of whatever clock */
  note({ jobs, plans }: JobsInUse, workers: readonly Presence[], now: number): void {
    for (const id of this.#ofJob.keys()) if (isFinal(jobs.get(id)?.state ?? 'completed')) this.#ofJob.delete(id);
    for (const plan of this.#ofPlan.keys()) if (!plans.has(plan)) this.#ofPlan.delete(plan);
    for (const { worker, job: id, pace } of workers) {
      const job = jobs.get(id ?? '');
      if (pace === null || job === undefined || job.members[0]?.worker !== worker) continue;
      const before = this.#ofJob.get(job.id);
      const since = before?.pace.stepsLeft === pace.stepsLeft ? before.since : now;
      const measured = before?.measured ?? new Map<number, number>();
      if (pace.measured?.members === job.members.length) measured.set(pace.measured.members, pace.measured.stepMs);
      this.#ofJob.set(job.id, { pace, since, measured });
      const stepsLeft = Math.max(pace.stepsLeft, this.#ofPlan.get(job.plan)?.stepsLeft ?? 0);
      this.#ofPlan.set(job.plan, { ...pace, stepsLeft });
    }
  }

  of(job: JobRecord, now: number): JobPace | undefined {
    const own = this.#ofJob.get(job.id);
    if (own !== undefined) return { pace: own.pace, silentMs: now - own.since, measured: own.measured };
    const pace = this.#ofPlan.get(job.plan);
    return pace && { pace, silentMs: 0, measured: new Map() };
  }
}
