import { z } from 'zod';
import { DamagedDataError } from '../errors.ts';
import type { RecordStore, Stored } from './record-store.ts';

/** Who leads, until when (epoch milliseconds on the holder's clock), and the how-manieth renewal this is. */
export const Lease = z.strictObject({ holder: z.string().max(200), renewals: z.int().min(0) }).readonly();
export type Lease = z.infer<typeof Lease>;

export const leaseKey = 'leader';

/** A holder that has not renewed for this long has lost the lease. */
export const leaseMs = 2500;

/**
 * Decides, at every poll, whether this process holds the lease. A lease is taken over once its record has not changed
 * for `leaseMs` as seen by the taker's own clock, so that clocks need not agree; one that comes later has the broker say
 * how old it was. Every write is a compare-and-set, so at most one of several takers wins. The holder gives up by itself
 * when it could not renew for that long.
 */
export class LeaseKeeper {
  readonly #store: RecordStore<Lease>;
  readonly #holder: string;
  readonly #now: () => number;
  #seen: { revision: number; at: number } | undefined;
  #renewedAt = Number.NEGATIVE_INFINITY;

  constructor(store: RecordStore<Lease>, holder: string, now: () => number) {
    this.#store = store;
    this.#holder = holder;
    this.#now = now;
  }

  /** True while the lease is surely held: renewed less than `leaseMs` ago. */
  get held(): boolean {
    return this.#now() - this.#renewedAt < leaseMs;
  }

  /** Renews or tries to take the lease; to be called every `leaseMs / 4` or so. Returns whether it is held. */
  async poll(): Promise<boolean> {
    const started = this.#now();
    const stored = await this.#stored();
    if (stored === undefined) {
      if (await this.#store.create(leaseKey, { holder: this.#holder, renewals: 0 })) this.#renewedAt = started;
      return this.held;
    }
    const mine = stored.value.holder === this.#holder;
    if (!mine && this.#seen?.revision !== stored.revision) {
      const ageMs = this.#seen === undefined ? await this.#store.ageMs(leaseKey) : 0;
      this.#seen = { revision: stored.revision, at: started - ageMs };
    }
    if (!mine && started - (this.#seen?.at ?? started) < leaseMs) return this.held;
    const next = { holder: this.#holder, renewals: stored.value.renewals + 1 };
    if (await this.#store.update(leaseKey, next, stored.revision)) this.#renewedAt = started;
    return this.held;
  }

  /** A lease that nobody can read would keep everybody from leading: it is as good as none. */
  async #stored(): Promise<Stored<Lease> | undefined> {
    try {
      return await this.#store.get(leaseKey);
    } catch (error) {
      if (!(error instanceof DamagedDataError)) throw error;
      await this.#store.deleteDamaged(leaseKey);
      return undefined;
    }
  }

  /** Lets another take over at once, when this process ends on purpose. */
  async release(): Promise<void> {
    const stored = await this.#store.get(leaseKey);
    if (stored?.value.holder === this.#holder) await this.#store.delete(leaseKey);
    this.#renewedAt = Number.NEGATIVE_INFINITY;
  }
}
