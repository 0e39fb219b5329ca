import { canonicalJson, sha256 } from '@crossfold/shared/data/digest';
import type { PlannedFold, PlannedTrial, SweepPlan } from '@crossfold/shared/jobs/plan';
import type { BlobRef, ExperimentRecord, JobRecord } from '@crossfold/shared/jobs/records';
import { isFinal, jobId } from '@crossfold/shared/jobs/records';

/** What a new job is about. */
export type NewJob = Pick<
  JobRecord,
  | 'experiment'
  | 'kind'
  | 'trial'
  | 'repeat'
  | 'fold'
  | 'identity'
  | 'minSeats'
  | 'maxSeats'
  | 'key'
  | 'until'
  | 'resumes'
  | 'of'
> & {
  /** Where it does not follow from the rest. */
  readonly id?: string;
  readonly plan: BlobRef;
  readonly state?: 'queued' | 'pruned' | 'cancelled';
};

export function newJob({ plan, state = 'queued', ...of }: NewJob, now: number): JobRecord {
  return {
    ...of,
    schema: 1,
    id: of.id ?? jobId(of.experiment, of.kind, of.trial, of.repeat, of.fold),
    state,
    plan: plan.digest,
    seats: of.minSeats,
    generation: 0,
    members: [],
    workers: [],
    secret: '',
    since: now,
    startedAt: null,
    finishedAt: isFinal(state) ? now : null,
    attempts: 0,
    throws: 0,
    failedOn: [],
    progress: 0,
    progressAtLoss: -1,
    checkpoint: null,
    result: null,
    earlier: [],
    servedBy: null,
    error: null,
  };
}

/** The record of one `train` job of a sweep. */
export function trainJob(
  record: ExperimentRecord,
  plan: SweepPlan,
  trial: PlannedTrial,
  fold: PlannedFold,
  wanted: { readonly epochs: number; readonly state: 'queued' | 'pruned' | 'cancelled' },
  now: number,
): JobRecord {
  const { recipe, minSeats, maxSeats } = trial;
  const { identity } = plan;
  const manifest = trial.manifest ?? plan.manifest;
  const { repeat } = fold;
  return newJob(
    {
      experiment: record.id,
      kind: 'train',
      trial: trial.trial,
      repeat,
      fold: fold.fold,
      plan: trial.plan,
      // The fold's number is in it as well as its samples: chance is keyed by it.
      key: keyOf({ recipe, identity, manifest: manifest.digest, repeat, fold: fold.fold, split: fold.digest }),
      until: wanted.epochs,
      identity,
      minSeats,
      maxSeats,
      resumes: record.resumed.length,
      state: wanted.state,
    },
    now,
  );
}

/** Digest of all that a job's result depends on. */
export const keyOf = (dependsOn: Readonly<Record<string, string | number>>): string => sha256(canonicalJson(dependsOn));
