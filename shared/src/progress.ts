import { z } from 'zod';
import { progressSubject } from './broker/subjects.ts';
import type { Decoded } from './decode.ts';
import { decodeJson } from './decode.ts';
import { ExperimentState, ExperimentWork, JobKind, JobState, maxReasonLength, Token } from './jobs/records.ts';
import { printable } from './printable.ts';

/** How one job stands, as rank 0 of its group tells whoever watches (about twice a second, and after every epoch). */
export const JobProgress = z
  .strictObject({
    type: z.literal('job'),
    job: z.string().max(200),
    kind: JobKind,
    trial: z.int().min(0),
    fold: z.int().min(0),
    repeat: z.int().min(0),
    state: JobState,
    /** Members of the group, in order of rank. */
    workers: z.array(Token).max(1024).readonly(),
    /** The epoch that is under way or was finished last, from 1; 0 before the first step. */
    epoch: z.int().min(0),
    epochs: z.int().min(0),
    /** Steps done in this epoch, and how many it has. */
    step: z.int().min(0),
    steps: z.int().min(0),
    /** Means over this epoch's samples so far; accuracies are ratios. */
    loss: z.number().exactOptional(),
    accuracy: z.number().exactOptional(),
    /** Of this epoch, there once it has been validated: an event with them ends the epoch. */
    valLoss: z.number().exactOptional(),
    valAccuracy: z.number().exactOptional(),
    imagesPerSecond: z.number().min(0),
    /** Epochs that its record says are done; see `epochsDone`. */
    done: z.int().min(0).exactOptional(),
    error: z.string().max(4000).exactOptional(),
  })
  .readonly();
export type JobProgress = z.infer<typeof JobProgress>;

/** A change of an experiment as a whole. */
export const ExperimentProgress = z
  .strictObject({
    type: z.literal('experiment'),
    state: ExperimentState,
    /** Number of `train` jobs, once they are known. */
    jobs: z.int().min(0).exactOptional(),
    /** As in its record. */
    work: ExperimentWork.exactOptional(),
    message: z.string().max(maxReasonLength).exactOptional(),
  })
  .readonly();
export type ExperimentProgress = z.infer<typeof ExperimentProgress>;

/** A line for the user: a wait and who is waited for, a member lost and replaced. */
export const LogProgress = z
  .strictObject({
    type: z.literal('log'),
    level: z.enum(['info', 'warn', 'error']),
    message: z.string().max(4000),
  })
  .readonly();
export type LogProgress = z.infer<typeof LogProgress>;

/** What whoever follows an experiment is told. Everything in it is for show: the truth is in the records. */
export const ProgressEvent = z.discriminatedUnion('type', [JobProgress, ExperimentProgress, LogProgress]);
export type ProgressEvent = z.infer<typeof ProgressEvent>;

const maxProgressBytes = 128 * 1024;

/**
 * The event that a message carries, told where it came: a job's account of itself counts on its own subject alone.
 */
export function decodeProgress(data: Uint8Array, subject: string): Decoded<ProgressEvent> {
  const decoded = decodeJson(ProgressEvent, data, maxProgressBytes);
  if ('why' in decoded) return decoded;
  const { value } = decoded;
  if (value.type === 'job' && subject !== progressSubject(value.job)) return { why: `it is about ${value.job}` };
  // It is shown to people.
  if (value.type === 'job')
    return { value: value.error === undefined ? value : { ...value, error: printable(value.error) } };
  return { value: value.message === undefined ? value : { ...value, message: printable(value.message) } };
}
