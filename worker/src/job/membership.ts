import type { Broker } from '@crossfold/shared/broker/broker';
import type { JobRecord } from '@crossfold/shared/jobs/records';
import { isFinal } from '@crossfold/shared/jobs/records';

/** This worker is no longer a member of the job, or the job is over: whatever it was doing for it is void. */
export class NotMemberError extends Error {
  constructor(job: string) {
    super(`no longer a member of ${job}`);
    this.name = 'NotMemberError';
  }
}

/** The group has new members: what was being exchanged is void, the state is not. */
export class GenerationChangedError extends Error {
  constructor(job: string, generation: number) {
    super(`generation ${generation} of ${job} is closed`);
    this.name = 'GenerationChangedError';
  }
}

/**
 * Follows a job's record. A generation that is entered gets a signal which aborts as soon as the record says that it is
 * closed, with the reason that whoever waits on it should see.
 */
export class Membership {
  readonly #worker: string;
  #record: JobRecord;
  #revision = 0;
  #open: { readonly generation: number; readonly controller: AbortController } | undefined;
  #waiting: (() => void)[] = [];

  private constructor(worker: string, record: JobRecord) {
    this.#worker = worker;
    this.#record = record;
  }

  /** @param record the job as this process has last seen or written it */
  static async follow(broker: Broker, record: JobRecord, worker: string, signal: AbortSignal): Promise<Membership> {
    const membership = new Membership(worker, record);
    await broker.jobs.watch(
      record.id,
      signal,
      (stored) => membership.#see(stored.value, stored.revision),
      () => undefined,
    );
    return membership;
  }

  get record(): JobRecord {
    return this.#record;
  }

  /** Rank in the open generation; -1 where this worker is no member. */
  get rank(): number {
    return this.#record.members.findIndex((m) => m.worker === this.#worker);
  }

  /**
   * Enters the generation that is open now; its signal aborts when it closes.
   *
   * @throws NotMemberError where this worker is not, or no longer, a member.
   */
  enter(): { record: JobRecord; signal: AbortSignal } {
    if (this.rank < 0 || isFinal(this.#record.state)) throw new NotMemberError(this.#record.id);
    const controller = new AbortController();
    this.#open = { generation: this.#record.generation, controller };
    return { record: this.#record, signal: controller.signal };
  }

  /** Resolves when the record next changes, or after `ms`. */
  changed(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, ms);
      this.#waiting.push(() => {
        clearTimeout(timer);
        resolve();
      });
    });
  }

  #see(record: JobRecord, revision: number): void {
    if (revision <= this.#revision) return;
    this.#revision = revision;
    this.#record = record;
    const open = this.#open;
    if (open !== undefined) {
      if (this.rank < 0 || isFinal(record.state)) open.controller.abort(new NotMemberError(record.id));
      else if (record.generation !== open.generation)
        open.controller.abort(new GenerationChangedError(record.id, open.generation));
    }
    for (const wake of this.#waiting.splice(0)) wake();
  }
}
