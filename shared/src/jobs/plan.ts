import { z } from 'zod';
import { Experiment } from '../config/experiment.ts';
import { SearchSpec } from '../config/search.ts';
import { BlobRef, Digest, Identity } from './records.ts';

/**
 * What the jobs of one trial have to compute: the experiment with the trial's parameters applied, the data and the
 * folds. A blob, named by its digest; with a fold and a repeat it determines a job's weights to the bit.
 */
export const TrialPlan = z
  .strictObject({
    schema: z.literal(1),
    trial: z.int().min(0),
    parameters: z.record(z.string(), z.unknown()).readonly(),
    experiment: Experiment,
    manifest: BlobRef,
    folds: BlobRef,
    /** For a job of kind `test`: the model to score on the held-out test set. */
    model: BlobRef.nullable(),
    /** The models to score together, where it is an ensemble. */
    ensemble: z.array(BlobRef).min(1).max(10_000).readonly().exactOptional(),
  })
  .readonly();
export type TrialPlan = z.infer<typeof TrialPlan>;

/** One split of an experiment, as its jobs know it. */
export const PlannedFold = z
  .strictObject({
    fold: z.int().min(0),
    repeat: z.int().min(0),
    /** Nested: the outer fold whose training samples this inner one splits. */
    within: z.int().min(0).exactOptional(),
    trainSamples: z.int().min(1),
    validationSamples: z.int().min(1),
    /** Of the indices on both sides. */
    digest: Digest,
  })
  .readonly();
export type PlannedFold = z.infer<typeof PlannedFold>;

export const PlannedTrial = z
  .strictObject({
    trial: z.int().min(0),
    parameters: z.record(z.string(), z.unknown()).readonly(),
    /** Blob of its `TrialPlan`. */
    plan: BlobRef,
    /** Where it has the samples in another size than the sweep's manifest: its own. */
    manifest: BlobRef.exactOptional(),
    /** Of what its jobs' results depend on, apart from data, split and engine: net, training, augmentation, seed. */
    recipe: Digest,
    /** Epochs of the whole training. */
    epochs: z.int().min(1),
    minSeats: z.int().min(1),
    maxSeats: z.int().min(1),
  })
  .readonly();
export type PlannedTrial = z.infer<typeof PlannedTrial>;

/** All that whoever leads needs in order to give out an experiment's jobs. A blob, written once. */
export const SweepPlan = z
  .strictObject({
    schema: z.literal(1),
    /** Engine identity that all jobs are computed by. */
    identity: Identity,
    manifest: BlobRef,
    search: SearchSpec.nullable(),
    folds: z.array(PlannedFold).min(1).readonly(),
    trials: z.array(PlannedTrial).min(1).readonly(),
  })
  .readonly();
export type SweepPlan = z.infer<typeof SweepPlan>;
