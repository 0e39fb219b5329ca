import { z } from 'zod';
import { Experiment } from '../config/experiment.ts';
import { BlobRef } from './records.ts';

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
  })
  .readonly();
export type TrialPlan = z.infer<typeof TrialPlan>;
