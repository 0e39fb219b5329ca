import { z } from 'zod';

/** `dataset` of an experiment file: one that is built in, by name, or a folder of IDX files, by path. */
export const DatasetSpec = z
  .strictObject({
    name: z.enum(['mnist']).optional(),
    /** Relative to the experiment file. */
    path: z.string().min(1).max(4096).optional(),
    /** Take the first N training samples only; the test set stays whole. Without it, all. */
    limit: z.int().min(1).optional(),
  })
  .readonly()
  .refine(({ name, path }) => (name === undefined) !== (path === undefined), {
    message: 'must have a name (mnist) or a path (a folder of IDX files), and not both',
  });
export type DatasetSpec = z.infer<typeof DatasetSpec>;
