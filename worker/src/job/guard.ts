import type { JobRecord } from '@crossfold/shared/jobs/records';
import { removeMembers, startWithFewer } from '@crossfold/shared/jobs/transitions';
import type { JobContext } from './context.ts';
import { stamp } from './context.ts';
import type { Membership } from './membership.ts';

/** A job's first group starts with the members it has after this long. */
const formingMs = 5000;
/** A later one, whose job has lost all its members, goes on sooner: who comes after that joins it. */
const formingAgainMs = 1000;
export const lookEveryMs = 100;
/** Two members that wait for each other for this long, while both are heard by all, do not reach each other. */
export const cutOffMs = 4000;

/**
 * Looks after a group while it lives: a member that is silent, or does something else, is removed by whichever survivor
 * is first; of two that do not reach each other the one with the higher rank goes; a forming group that has waited long
 * enough starts. The leader does the same for groups without survivors. Returns how to stop.
 */
export function guardMembers(context: JobContext, membership: Membership): () => void {
  const guard = new Guard(context, membership);
  const timer = setInterval(() => guard.look(), lookEveryMs);
  return () => clearInterval(timer);
}

class Guard {
  readonly #context: JobContext;
  readonly #membership: Membership;
  /** By this worker's own clock, so that clocks need not agree. */
  readonly #joined = new Map<string, number>();
  #formingSince: number | undefined;
  #busy = false;

  constructor(context: JobContext, membership: Membership) {
    this.#context = context;
    this.#membership = membership;
  }

  look(): void {
    if (this.#busy) return;
    this.#busy = true;
    this.#startForming()
      .then(() => this.#removeLost())
      .catch((error: unknown) => this.#context.logger.warn({ err: error }, 'could not look after the group'))
      .finally(() => {
        this.#busy = false;
      });
  }

  async #startForming(): Promise<void> {
    const { broker, logger, now, observer } = this.#context;
    const job = this.#membership.record;
    this.#formingSince = job.state === 'forming' ? (this.#formingSince ?? now()) : undefined;
    const patienceMs = job.generation === 0 ? formingMs : formingAgainMs;
    if (this.#formingSince === undefined || now() - this.#formingSince < patienceMs) return;
    const started = await broker.jobs.transition(job.id, (current) => startWithFewer(current, stamp(now)));
    if (started === undefined) return;
    observer.changed('started', false);
    logger.warn({ members: started.members.length, seats: started.seats }, 'started with fewer members');
  }

  async #removeLost(): Promise<void> {
    const { broker, logger, now, observer } = this.#context;
    const job = this.#membership.record;
    for (const { worker } of job.members) if (!this.#joined.has(worker)) this.#joined.set(worker, now());
    if (this.#membership.rank < 0 || this.#lost(job).length === 0) return;
    let lost: string[] = [];
    // Looked at again when it is written, which may be a while later where the broker was away.
    const next = await broker.jobs.transition(job.id, (current) => {
      // Whoever is no member any more has no say: without it, nobody might be left.
      if (!current.members.some((m) => m.worker === this.#context.worker)) return undefined;
      lost = this.#lost(current);
      return removeMembers(current, new Set(lost), stamp(now));
    });
    if (next === undefined) return;
    observer.changed('lost', next.state === 'queued');
    logger.warn({ lost, generation: next.generation }, 'members were lost');
  }

  #lost(job: JobRecord): string[] {
    const { roster, worker, now } = this.#context;
    const peers = job.members.map((m) => m.worker).filter((peer) => peer !== worker);
    const since = (peer: string): number => this.#joined.get(peer) ?? now();
    return peers.filter((peer) => roster.isLost(peer, job.id, since(peer)) || this.#isCutOff(peer, job));
  }

  /** Whether this member and one of higher rank wait for each other, and have for so long that no word can be under way. */
  #isCutOff(peer: string, job: JobRecord): boolean {
    const { roster, worker } = this.#context;
    const ranks = job.members.map((m) => m.worker);
    if (ranks.indexOf(worker) > ranks.indexOf(peer) || roster.attentiveMs < cutOffMs) return false;
    return waitsFor(this.#context).includes(peer) && roster.presenceOf(peer)?.waitsFor?.includes(worker) === true;
  }
}

/**
 * The members of a group that went on without this worker whom it did not reach: it waited for them in vain though it
 * was sure to hear whoever speaks. To be asked at the moment that it is told, while the waits still stand.
 */
export function unreached(context: Pick<JobContext, 'roster' | 'waits'>, job: JobRecord): string[] {
  if (context.roster.attentiveMs < cutOffMs) return [];
  return waitsFor(context).filter((peer) => job.members.some((member) => member.worker === peer));
}

/** The workers that this one has been waiting for, for longer than `cutOffMs`. */
export function waitsFor({ waits }: Pick<JobContext, 'waits'>): string[] {
  const long = waits.current().filter((wait) => wait.sinceMs >= cutOffMs);
  return [...new Set(long.flatMap((wait) => wait.members))].slice(0, 64);
}
