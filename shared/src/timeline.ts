import { z } from 'zod';
import { Token } from './jobs/records.ts';

/** Rows that a worker has in a timeline, from above. */
export const timelineTracks = ['job', 'steps', 'checkpoints'] as const;

/** Something that a worker did, on its own clock: a stretch of time, or where `to` is missing a moment. */
export const TimelineEvent = z
  .strictObject({
    name: z.string().max(100),
    kind: z.enum(['generation', 'recovery', 'step', 'phase', 'validation', 'checkpoint', 'change']),
    track: z.enum(timelineTracks),
    /** Epoch milliseconds. */
    from: z.number(),
    to: z.number().exactOptional(),
    args: z.record(z.string().max(40), z.union([z.string().max(200), z.number()])).exactOptional(),
  })
  .readonly();
export type TimelineEvent = z.infer<typeof TimelineEvent>;

export const maxBatchEvents = 512;

/** What a worker did lately, for whoever records a timeline. */
export const TimelineBatch = z
  .strictObject({
    worker: Token,
    events: z.array(TimelineEvent).max(maxBatchEvents).readonly(),
    /** Events that found no room. */
    dropped: z.int().min(0),
  })
  .readonly();
export type TimelineBatch = z.infer<typeof TimelineBatch>;

/** Whoever records says so, again and again; the number comes back with the answer. */
export const TimelineWanted = z.strictObject({ asked: z.int().min(0) }).readonly();
export type TimelineWanted = z.infer<typeof TimelineWanted>;

/** What a worker's clock shows when it is asked. */
export const TimelineClock = z.strictObject({ worker: Token, asked: z.int().min(0), at: z.number() }).readonly();
export type TimelineClock = z.infer<typeof TimelineClock>;

/** How often whoever records says so, and how long it is taken to go on after the last time. */
export const wantedEveryMs = 1000;
export const wantedForMs = 10_000;
