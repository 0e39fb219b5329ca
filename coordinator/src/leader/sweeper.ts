import type { StoredBlob } from '@crossfold/shared/data/blob-store';
import { DamagedDataError } from '@crossfold/shared/errors';
import { FirstSeen } from '@crossfold/shared/first-seen';
import type { JobRecord } from '@crossfold/shared/jobs/records';
import { isFinal } from '@crossfold/shared/jobs/records';
import { pause } from '@crossfold/shared/wait';
import type { KnownDocuments } from '../removal/references.ts';
import { deleteExperiment, deleteOrphans, forgetMarkers, isOutlived, outlived } from '../removal/remove-records.ts';
import { sweepBlobs } from '../removal/sweep-blobs.ts';
import type { Board } from './board.ts';
import type { LeaderContext } from './context.ts';
import { DAY } from './sweep-timing.ts';

/** How long a job that failed, or was cancelled or pruned, can go on from its checkpoint when it is resumed. */
export const keptForResumeMs = 7 * DAY;

/**
 * Pure: the checkpoints that no job can go on from any more, or ever could. A checkpoint is stored before the record that
 * points to it: what is young may be about to be pointed to.
 */
export function obsoleteCheckpoints(
  stored: readonly StoredBlob[],
  jobs: readonly Pick<JobRecord, 'state' | 'finishedAt' | 'checkpoint'>[],
  now: number,
  youngMs: number,
): StoredBlob[] {
  const isOfUse = ({ state, finishedAt }: Pick<JobRecord, 'state' | 'finishedAt'>): boolean =>
    !isFinal(state) || (state !== 'completed' && now - (finishedAt ?? now) < keptForResumeMs);
  const needed = new Set(jobs.filter(isOfUse).map(({ checkpoint }) => checkpoint?.digest));
  return stored.filter(({ digest, storedAt }) => now - storedAt >= youngMs && !needed.has(digest));
}

/**
 * Removes, now and again while this process leads, what nobody needs any more: experiments that have been kept for long
 * enough, jobs of those that were removed, artifacts and data that no record refers to, and checkpoints.
 */
export async function sweep(context: LeaderContext, board: Board, signal: AbortSignal): Promise<void> {
  const sweeper = new Sweeper(context, board);
  for (let waitMs = context.sweeps.firstAfterMs; ; waitMs = context.sweeps.everyMs) {
    await pause(waitMs, signal);
    if (signal.aborted) return;
    if (!context.leads()) continue;
    await sweeper.sweep();
  }
}

/** How often everything is looked through though nobody has removed anything: uploads that came to nothing stay behind. */
const wholeEveryMs = DAY;

export class Sweeper {
  readonly #context: LeaderContext;
  readonly #board: Board;
  readonly #known: KnownDocuments = new Map();
  /** When removed experiments were first seen to be. */
  readonly #seen = new FirstSeen();
  #wholeAt: number;
  #tidied = false;

  constructor(context: LeaderContext, board: Board) {
    this.#context = context;
    this.#board = board;
    this.#wholeAt = context.now() + wholeEveryMs;
  }

  /** One look through everything. What fails is said, and tried again the next time. */
  async sweep(): Promise<void> {
    const { broker, leads, now, sweeps, logger } = this.#context;
    await this.#try('outlived experiments', () => this.#removeOutlived());
    await this.#try('jobs of removed experiments', async () => {
      const jobs = await deleteOrphans(broker, this.#board, leads);
      if (jobs > 0) logger.info({ jobs }, 'removed jobs of experiments that are not there any more');
    });
    await this.#try('what nothing refers to', () => this.#sweepBlobs());
    await this.#try('old checkpoints', () => sweepOnce({ broker, logger, now, leads, youngMs: sweeps.youngMs }));
  }

  async #removeOutlived(): Promise<void> {
    const { broker, logger, now, sweeps, leads } = this.#context;
    const { keepMs } = sweeps;
    if (keepMs === undefined) return;
    for (const { id } of outlived(this.#board.experiments.values(), keepMs, now())) {
      if (!leads()) return;
      const gone = await deleteExperiment(broker, id, (record) => isOutlived(record, keepMs, now()));
      if (gone !== undefined) logger.info({ removed: id }, 'removed an experiment that has been kept for long enough');
    }
  }

  async #sweepBlobs(): Promise<void> {
    const { broker, logger, now, sweeps, leads } = this.#context;
    const { removed } = this.#board;
    const begun = now();
    this.#seen.keep([...removed.keys()], begun);
    if (!this.#tidied) for (const store of [broker.artifacts, broker.data, broker.checkpoints]) await store.tidy();
    this.#tidied = true;
    if (removed.size === 0 && begun < this.#wholeAt) return;
    const { blobs, bytes, uploading } = await sweepBlobs(broker, this.#known, { now, leads, youngMs: sweeps.youngMs });
    if (blobs > 0) logger.info({ blobs, bytes }, 'removed what nothing refers to any more');
    if (uploading) return;
    this.#wholeAt = begun + wholeEveryMs;
    // Whatever was stored for these was no longer young: nothing of them is left to be looked for.
    const done = [...removed.keys()].filter(
      (id) => begun - (this.#seen.at(id) ?? begun) >= sweeps.youngMs && this.#board.jobsOf(id).size === 0,
    );
    await forgetMarkers(broker, this.#board, done, leads);
  }

  async #try(what: string, work: () => Promise<void>): Promise<void> {
    const { logger, leads } = this.#context;
    if (!leads()) return;
    try {
      await work();
    } catch (error) {
      if (error instanceof DamagedDataError)
        logger.warn(
          { reason: error.message },
          `${what} cannot be removed while a record cannot be read, as nobody knows what it refers to; crossfold remove, or crossfold data remove, removes what cannot be read`,
        );
      else logger.warn({ err: error }, `could not remove ${what}; it is tried again later`);
    }
  }
}

/** Records are read after the store: what they point to by then is not removed. */
export async function sweepOnce({
  broker,
  logger,
  now,
  leads,
  youngMs,
}: Pick<LeaderContext, 'broker' | 'logger' | 'now' | 'leads'> & { readonly youngMs: number }): Promise<void> {
  const stored = await broker.checkpoints.list();
  if (stored.length === 0) return;
  const obsolete = obsoleteCheckpoints(stored, await broker.jobs.list('>'), now(), youngMs);
  for (const { digest, revision } of obsolete) if (leads()) await broker.checkpoints.remove(digest, revision);
  if (obsolete.length === 0) return;
  const bytes = obsolete.reduce((sum, blob) => sum + blob.bytes, 0);
  logger.info({ checkpoints: obsolete.length, bytes }, 'removed checkpoints that no job needs any more');
}
