import { z } from 'zod';

/**
 * The net that an experiment leaves in the end, which is scored on the test set: `fold`, that of the best trial's best
 * fold; `refit`, the best trial's configuration trained anew on all training samples; `ensemble`, the nets of all of its
 * folds together, by the mean of their outputs.
 */
export const FinalNet = z.enum(['fold', 'refit', 'ensemble']);
export type FinalNet = z.infer<typeof FinalNet>;
