import { z } from 'zod';

/** Take the first N training samples only; the test set stays whole. Without it, all. */
const limit = z.int().min(1).optional();

/** `dataset` of an experiment file: one that is built in, or a folder (relative to the file) of IDX files. */
export const DatasetSpec = z.union([
  z.strictObject({ name: z.literal('mnist'), limit }).readonly(),
  z.strictObject({ path: z.string().min(1).max(4096), limit }).readonly(),
]);
export type DatasetSpec = z.infer<typeof DatasetSpec>;
