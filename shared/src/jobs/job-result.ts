import { z } from 'zod';
import { CompletedFold, Mistake, Refit, Reliability, Scores } from '../results.ts';
import { BlobRef } from './records.ts';

/** What a finished `train` job leaves: its fold's entry in the results, and the model as a tensor file. */
export const TrainJobResult = z.strictObject({ schema: z.literal(1), fold: CompletedFold, model: BlobRef }).readonly();
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
    reliability: Reliability,
    mistakes: z.array(Mistake).max(100).readonly(),
  })
  .readonly();
export type TestJobResult = z.infer<typeof TestJobResult>;
