import { keptForResumeMs, obsoleteCheckpoints } from '@crossfold/coordinator/leader/sweeper';
import { describe, expect, it } from 'vitest';
import { aJob } from '../support/records.ts';

const hour = 3_600_000;
const now = 1000 * hour;
const youngMs = hour / 6;
const digestOf = (n: number): string => n.toString(16).padStart(64, '0');
const stored = (n: number, agoMs = hour) => ({ digest: digestOf(n), bytes: 1, storedAt: now - agoMs });
const job = (n: number, over: Parameters<typeof aJob>[0]) =>
  aJob({ checkpoint: { digest: digestOf(n), bytes: 1, position: 3 }, ...over });

describe('checkpoints', () => {
  it('stay while a job can go on from them', () => {
    const jobs = [
      job(1, { state: 'running' }),
      job(2, { state: 'queued' }),
      job(3, { state: 'paused' }),
      job(4, { state: 'failed', finishedAt: now - keptForResumeMs + hour }),
      job(5, { state: 'pruned', finishedAt: now - hour }),
    ];
    expect(
      obsoleteCheckpoints(
        [1, 2, 3, 4, 5].map((n) => stored(n)),
        jobs,
        now,
        youngMs,
      ),
    ).toEqual([]);
  });

  it('go with jobs that are over, and where no record points to them', () => {
    const jobs = [
      job(1, { state: 'completed', finishedAt: now - hour }),
      job(2, { state: 'cancelled', finishedAt: now - keptForResumeMs }),
    ];
    expect(obsoleteCheckpoints([stored(1), stored(2), stored(3)], jobs, now, youngMs)).toEqual([
      stored(1),
      stored(2),
      stored(3),
    ]);
  });

  it('stay while they are so young that their record may be about to be written', () => {
    expect(obsoleteCheckpoints([stored(1, 60_000)], [], now, youngMs)).toEqual([]);
  });
});
