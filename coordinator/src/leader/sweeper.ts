import type { StoredBlob } from '@crossfold/shared/data/blob-store';
import type { JobRecord } from '@crossfold/shared/jobs/records';
import { isFinal } from '@crossfold/shared/jobs/records';
import { pause } from '@crossfold/shared/wait';
import type { LeaderContext } from './leader.ts';

const MINUTE = 60_000;
const DAY = 24 * 60 * MINUTE;

/** Who has only just begun to lead has better things to do. */
const firstAfterMs = MINUTE;
const everyMs = 10 * MINUTE;
/** A checkpoint is stored before the record that points to it: what is young may be about to be pointed to. */
const youngMs = 10 * MINUTE;
/** How long a job that failed, or was cancelled or pruned, can go on from its checkpoint when it is resumed. */
export const keptForResumeMs = 7 * DAY;

/** Pure: the checkpoints that no job can go on from any more, or ever could. */
export function obsoleteCheckpoints(
  stored: readonly StoredBlob[],
  jobs: readonly Pick<JobRecord, 'state' | 'finishedAt' | 'checkpoint'>[],
  now: number,
): StoredBlob[] {
  const isOfUse = ({ state, finishedAt }: Pick<JobRecord, 'state' | 'finishedAt'>): boolean =>
    !isFinal(state) || (state !== 'completed' && now - (finishedAt ?? now) < keptForResumeMs);
  const needed = new Set(jobs.filter(isOfUse).map(({ checkpoint }) => checkpoint?.digest));
  return stored.filter(({ digest, storedAt }) => now - storedAt >= youngMs && !needed.has(digest));
}

/**
 * Removes, now and again while this process leads, checkpoints that are of no use any more. A worker removes its own;
 * what is left is of those that were killed in between, and of jobs that nobody has resumed.
 */
export async function sweepCheckpoints(context: LeaderContext, signal: AbortSignal): Promise<void> {
  for (let waitMs = firstAfterMs; ; waitMs = everyMs) {
    await pause(waitMs, signal);
    if (signal.aborted) return;
    if (!context.leads()) continue;
    await sweepOnce(context).catch((error: unknown) =>
      context.logger.warn({ err: error }, 'could not remove old checkpoints; it is tried again later'),
    );
  }
}

/** Records are read after the store: what they point to by then is not removed. */
export async function sweepOnce({
  broker,
  logger,
  now,
  leads,
}: Pick<LeaderContext, 'broker' | 'logger' | 'now' | 'leads'>): Promise<void> {
  const stored = await broker.checkpoints.list();
  if (stored.length === 0) return;
  const obsolete = obsoleteCheckpoints(stored, await broker.jobs.list('>'), now());
  for (const { digest } of obsolete) if (leads()) await broker.checkpoints.remove(digest);
  if (obsolete.length === 0) return;
  const bytes = obsolete.reduce((sum, blob) => sum + blob.bytes, 0);
  logger.info({ checkpoints: obsolete.length, bytes }, 'removed checkpoints that no job needs any more');
}
