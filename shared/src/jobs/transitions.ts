import type { JobRecord, Member, ResultRef } from './records.ts';
import { isFinal, maxWorkersNamed } from './records.ts';

/**
 * Every way in which a job's record may change. Each is a pure function from the record to the next one, or to
 * `undefined` where the change no longer applies; the store writes the result only if nobody else has written since.
 * So whoever makes a transition (a member, the leader, an old leader that wakes up), the record stays valid.
 */
export interface Stamp {
  /** Epoch milliseconds. */
  readonly now: number;
  /** Fresh, for the secret of the generation that this transition may open. */
  readonly secret: string;
}

/** Attempts that threw, without progress in between, after which a job is given up. */
export const maxThrows = 3;
/**
 * Attempts of any kind without progress after which a job is given up: workers that were killed are no fault of the job,
 * but one that has cost so many may well have killed them.
 */
export const maxAttempts = 10;

/** A worker takes a seat: joins a forming or a running group, or begins one, which opens once it has `minSeats`. */
export function takeSeat(job: JobRecord, member: Member, stamp: Stamp): JobRecord | undefined {
  if (isFinal(job.state) || job.state === 'paused' || job.members.length >= job.seats) return undefined;
  if (job.members.some((m) => m.worker === member.worker)) return undefined;
  const joined: JobRecord = {
    ...job,
    members: [...job.members, member],
    workers: job.workers.includes(member.worker)
      ? job.workers
      : [...job.workers, member.worker].slice(-maxWorkersNamed),
  };
  if (job.state === 'running') return { ...openGeneration(joined, stamp), since: job.since };
  if (joined.members.length >= joined.minSeats) return openGeneration(joined, stamp);
  return job.state === 'forming' ? joined : { ...joined, state: 'forming', since: stamp.now };
}

/**
 * The leader wants another number of members. More: it gives out the seats, and who takes one joins. Fewer: the members
 * whose ranks are beyond the seats leave at their next step boundary, see `yieldSeat`.
 */
export function resize(job: JobRecord, seats: number): JobRecord | undefined {
  const wanted = Math.min(Math.max(seats, job.minSeats), job.maxSeats);
  return isFinal(job.state) || wanted === job.seats ? undefined : { ...job, seats: wanted };
}

/** Whether a member has no seat any more: the ranks beyond the seats leave, the last that joined first. */
export const isSurplus = (job: JobRecord, rank: number): boolean => job.state === 'running' && rank >= job.seats;

/** A member without a seat leaves, between two steps; the others go on in a new generation. */
export function yieldSeat(job: JobRecord, worker: string, generation: number, stamp: Stamp): JobRecord | undefined {
  const rank = job.members.findIndex((m) => m.worker === worker);
  if (job.generation !== generation || rank < 1 || !isSurplus(job, rank)) return undefined;
  return removeMembers(job, new Set([worker]), stamp);
}

/** A forming group has waited long enough: it starts with the members it has. */
export function startWithFewer(job: JobRecord, stamp: Stamp): JobRecord | undefined {
  return job.state === 'forming' && job.members.length > 0 ? openGeneration(job, stamp) : undefined;
}

/** Members are gone, or leave: the survivors get a new generation; without survivors the job is queued again. */
export function removeMembers(job: JobRecord, gone: ReadonlySet<string>, stamp: Stamp): JobRecord | undefined {
  if (isFinal(job.state) || !job.members.some((m) => gone.has(m.worker))) return undefined;
  const members = job.members.filter((m) => !gone.has(m.worker));
  if (members.length > 0) {
    const left = { ...job, members };
    return job.state === 'running' ? { ...openGeneration(left, stamp), since: job.since } : left;
  }
  const lost = { ...job, throws: sinceProgress(job, job.throws) };
  // Of a group that is only forming nobody has anything to come back with.
  const silent = job.state === 'running' ? [job.generation] : [];
  return loseAll(lost, 'all its workers were lost (killed, or out of memory?)', stamp, silent);
}

/**
 * A member that was taken for lost together with all others comes back, with all that it holds, before anybody else took
 * up its job: nothing was lost by it, so that was no attempt.
 *
 * @param generation the one that it was a member of
 */
export function comeBack(job: JobRecord, member: Member, generation: number, stamp: Stamp): JobRecord | undefined {
  const waits = job.state === 'queued' || job.state === 'forming';
  if (!waits || job.generation !== generation) return undefined;
  return takeSeat(wasAlive(job, generation) ?? job, member, stamp);
}

/**
 * A member that was taken for lost together with all others was stopped, or got no processor time: the job has killed
 * nobody, so that was no attempt, though another may have taken it up meanwhile.
 *
 * @param generation the one that it was a member of
 */
export function wasAlive(job: JobRecord, generation: number): JobRecord | undefined {
  const silent = job.silent ?? [];
  if (isFinal(job.state) || !silent.includes(generation)) return undefined;
  return { ...job, attempts: Math.max(0, job.attempts - 1), silent: silent.filter((g) => g !== generation) };
}

/**
 * An attempt threw on a member. Others go on without it, in a new generation; where there are none the job is tried
 * again unless it has used up its attempts.
 */
export function failAttempt(
  job: JobRecord,
  worker: string,
  generation: number,
  error: string,
  stamp: Stamp,
): JobRecord | undefined {
  const forming = job.state === 'forming' && job.members.some((m) => m.worker === worker);
  if (!forming && !isMemberOf(job, worker, generation)) return undefined;
  const failedOn = job.failedOn.includes(worker) ? job.failedOn : [...job.failedOn, worker].slice(-maxFailedOn);
  const noted: JobRecord = { ...job, failedOn, error: error.slice(0, 4000) };
  return job.members.length > 1
    ? removeMembers(noted, new Set([worker]), stamp)
    : loseAll({ ...noted, throws: sinceProgress(job, job.throws) + 1 }, error, stamp);
}

/** A fault that trying again cannot mend (weights diverged, members disagree). */
export function failForGood(
  job: JobRecord,
  worker: string,
  generation: number,
  error: string,
  stamp: Stamp,
): JobRecord | undefined {
  if (!isMemberOf(job, worker, generation)) return undefined;
  return finish({ ...job, error: error.slice(0, 4000) }, 'failed', stamp);
}

/** The last member to leave of its own will (drain) gives the job back without counting an attempt. */
export function handBack(job: JobRecord, worker: string, stamp: Stamp): JobRecord | undefined {
  const others = job.members.filter((m) => m.worker !== worker);
  if (others.length > 0) return removeMembers(job, new Set([worker]), stamp);
  if (isFinal(job.state) || job.members.length === 0) return undefined;
  return { ...job, state: 'queued', members: [], since: stamp.now };
}

/** A member cannot go on in the open generation for a reason that lies outside the job: all begin a new one together. */
export function reopen(job: JobRecord, worker: string, generation: number, stamp: Stamp): JobRecord | undefined {
  if (!isMemberOf(job, worker, generation)) return undefined;
  return { ...openGeneration(job, stamp), since: job.since };
}

/** The newest checkpoint turned out to be damaged: without survivors the job begins anew. */
export function forgetCheckpoint(job: JobRecord, worker: string, generation: number): JobRecord | undefined {
  if (!isMemberOf(job, worker, generation) || job.checkpoint === null) return undefined;
  return { ...job, checkpoint: null, progress: 0, progressAtLoss: Math.min(job.progressAtLoss, 0) };
}

/** A checkpoint lies in the store: from here the job goes on should all its members be lost. */
export function checkpointed(
  job: JobRecord,
  worker: string,
  generation: number,
  checkpoint: NonNullable<JobRecord['checkpoint']>,
): JobRecord | undefined {
  if (!isMemberOf(job, worker, generation) || checkpoint.position < job.progress) return undefined;
  return { ...job, checkpoint, progress: checkpoint.position };
}

/**
 * The result lies in the store. Only a member of the open generation can say so, and only once. A job whose training is
 * not over is paused: a search decides whether it goes on.
 */
export function complete(
  job: JobRecord,
  worker: string,
  generation: number,
  result: ResultRef,
  stamp: Stamp,
): JobRecord | undefined {
  if (!isMemberOf(job, worker, generation)) return undefined;
  // Whoever says so removes the checkpoint: there is nothing left to go on with.
  const checkpoint = result.final ? null : job.checkpoint;
  return finish({ ...withResult(job, result), checkpoint, error: null }, result.final ? 'completed' : 'paused', stamp);
}

const withResult = (job: JobRecord, result: ResultRef): JobRecord => ({
  ...job,
  result,
  earlier: job.result === null ? job.earlier : [...job.earlier, job.result].filter((r) => r.epochs < result.epochs),
});

/** The user, or the search, no longer wants the job. */
export function stop(job: JobRecord, state: 'cancelled' | 'pruned', stamp: Stamp): JobRecord | undefined {
  return isFinal(job.state) ? undefined : finish(job, state, stamp);
}

/** More epochs are wanted of a job: one that is paused, or was pruned, goes on from its checkpoint. */
export function extend(job: JobRecord, until: number, stamp: Stamp): JobRecord | undefined {
  if (job.state === 'completed' || job.state === 'failed' || job.state === 'cancelled') return undefined;
  const done = job.result?.epochs ?? 0;
  const waits = job.state === 'paused' || job.state === 'pruned';
  if (done >= until || (!waits && job.until >= until)) return undefined;
  const wanted = { ...job, until: Math.max(job.until, until) };
  if (!waits) return wanted;
  return { ...wanted, state: 'queued', seats: job.minSeats, since: stamp.now, finishedAt: null };
}

/**
 * A job that nobody works on has the results of an equal one: those after as many epochs as are wanted, or fewer, beside
 * its own, which a search may have decided by. Nothing else of that job is taken over.
 */
export function serve(job: JobRecord, from: JobRecord, stamp: Stamp): JobRecord | undefined {
  if (job.state !== 'queued' || job.key !== from.key || job.id === from.id) return undefined;
  const usable = usableResults(from, job.until);
  const result = usable.at(-1);
  if (result === undefined || (job.result !== null && result.epochs <= job.result.epochs)) return undefined;
  const known = new Map(
    [...usable, ...job.earlier, ...(job.result === null ? [] : [job.result])].map((r) => [r.epochs, r]),
  );
  known.delete(result.epochs);
  const earlier = [...known.values()].sort((a, b) => a.epochs - b.epochs);
  const served = { ...job, result, earlier, servedBy: from.id, error: null };
  return finish(served, result.final ? 'completed' : 'paused', stamp);
}

/** Results of a job that settle what one wants that is to be trained for so many epochs; empty where none does. */
export function usableResults({ earlier, result }: JobRecord, until: number): readonly ResultRef[] {
  const upTo = [...earlier, ...(result === null ? [] : [result])].filter(({ epochs }) => epochs <= until);
  const last = upTo.at(-1);
  return last !== undefined && (last.epochs === until || last.final) ? upTo : [];
}

/**
 * A failed or cancelled job is wanted again: it keeps its checkpoint.
 *
 * @param resumes how often the experiment was resumed
 * @param until epochs that are wanted of it now: of one that was cancelled before it was there, none were
 */
export function revive(job: JobRecord, stamp: Stamp, resumes: number, until = job.until): JobRecord | undefined {
  if (job.state !== 'failed' && job.state !== 'cancelled') return undefined;
  const untried = { attempts: 0, throws: 0, failedOn: [], progressAtLoss: -1 };
  const { silent: _, ...kept } = job;
  const wanted = { until: Math.max(job.until, until), state: 'queued', resumes } as const;
  return { ...kept, ...untried, ...wanted, since: stamp.now, finishedAt: null, error: null };
}

const maxFailedOn = 64;

const isMemberOf = (job: JobRecord, worker: string, generation: number): boolean =>
  job.state === 'running' && job.generation === generation && job.members.some((m) => m.worker === worker);

function openGeneration(job: JobRecord, stamp: Stamp): JobRecord {
  return {
    ...job,
    state: 'running',
    generation: job.generation + 1,
    secret: stamp.secret,
    since: stamp.now,
    startedAt: job.startedAt ?? stamp.now,
  };
}

/** A count of attempts, begun anew where there has been progress since the last of them. */
const sinceProgress = (job: JobRecord, count: number): number => (job.progress > job.progressAtLoss ? 0 : count);

/** @param silent the generation that fell silent, where that is how it was lost */
function loseAll(job: JobRecord, error: string, stamp: Stamp, silent: readonly number[] = []): JobRecord {
  const before = sinceProgress(job, job.attempts);
  const attempts = before + 1;
  const lost: JobRecord = {
    ...job,
    attempts,
    silent: [...(before === 0 ? [] : (job.silent ?? [])), ...silent],
    progressAtLoss: job.progress,
    error: error.slice(0, 4000),
  };
  if (job.throws < maxThrows && attempts < maxAttempts)
    return { ...lost, state: 'queued', members: [], since: stamp.now };
  const times = `${attempts} attempts without a new checkpoint; the last one: ${error}`;
  return finish(job.throws < maxThrows ? { ...lost, error: times.slice(0, 4000) } : lost, 'failed', stamp);
}

function finish(job: JobRecord, state: JobRecord['state'], stamp: Stamp): JobRecord {
  return { ...job, state, members: [], since: stamp.now, finishedAt: stamp.now };
}
