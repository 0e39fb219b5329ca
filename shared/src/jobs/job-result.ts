import { z } from 'zod';
import { CompletedFold, Mistake, Refit, Reliability, Scores } from '../results.ts';
import { BlobRef } from './records.ts';

/** What a net tells of samples that it was not trained on, beyond its scores. */
export const Findings = z
  .strictObject({ reliability: Reliability, mistakes: z.array(Mistake).max(100).readonly() })
  .readonly();
export type Findings = z.infer<typeof Findings>;

/**
 * What a finished `train` job leaves: its fold's entry in the results, and the model as a tensor file. Where there is no
 * test set, and the fold was trained to its end, also a blob of `Findings` on its validation samples: few are ever read.
 */
export const TrainJobResult = z
  .strictObject({ schema: z.literal(1), fold: CompletedFold, model: BlobRef, findings: BlobRef.exactOptional() })
  .readonly();
export type TrainJobResult = z.infer<typeof TrainJobResult>;

/** What a finished `refit` job leaves. */
export const RefitJobResult = z.strictObject({ schema: z.literal(1), refit: Refit, model: BlobRef }).readonly();
export type RefitJobResult = z.infer<typeof RefitJobResult>;

/** What a finished `test` job leaves. */
export const TestJobResult = z
  .strictObject({
    schema: z.literal(1),
    scores: Scores,
    samples: z.int().min(1),
    ...Findings.unwrap().shape,
  })
  .readonly();
export type TestJobResult = z.infer<typeof TestJobResult>;
