import { z } from 'zod';

/**
 * `dataset.image`: how photographs become samples. Every picture is turned upright (EXIF), brought to one size and to
 * 8 bits a channel; a pixel is read by the net as a number from 0 to 1 (rescaled by 1/255).
 */
export const ImageSpec = z
  .strictObject({
    height: z.int().min(1).max(4096),
    width: z.int().min(1).max(4096),
    /** 3: RGB; 1: grayscale (ITU-R 601-2 luma, as Pillow's "L"). Transparency is dropped, as Keras does. */
    channels: z.union([z.literal(1), z.literal(3)]).default(3),
    /** `fill` stretches, as Keras does; `cover` cuts what sticks out; `contain` pads with black. */
    fit: z.enum(['fill', 'cover', 'contain']).default('fill'),
    /** How pixels are resampled; all but `nearest` average over the pixels that become one. */
    kernel: z.enum(['nearest', 'linear', 'cubic', 'lanczos3']).default('linear'),
    /** Pictures of more pixels are refused before they are decoded. */
    maxPixels: z.int().min(1).max(1_000_000_000).default(100_000_000),
    /** What shards hold: pixels, decoded once for everyone, or the files' own bytes, decoded by every worker. */
    store: z.enum(['pixels', 'files']).default('pixels'),
  })
  .readonly();
export type ImageSpec = z.infer<typeof ImageSpec>;

/** What a data set can be called; `mnist` is built in, others are imported (`crossfold data import`). */
export const DatasetName = z
  .string()
  .max(64)
  .regex(/^[A-Za-z0-9][A-Za-z0-9_-]*$/, 'must be letters, digits, - and _, and begin with a letter or digit');

/** The data set that needs no import. */
export const builtInDataset = 'mnist';

/**
 * `dataset` of an experiment file: one that is built in or was imported, by name, or a folder, by path: of pictures, or
 * of IDX files.
 */
export const DatasetSpec = z
  .strictObject({
    /** `mnist`, or one that was imported: `crossfold data list` shows them. */
    name: DatasetName.optional(),
    /** Relative to the experiment file. */
    path: z.string().min(1).max(4096).optional(),
    /** With a folder of pictures: what to make of them. */
    image: ImageSpec.exactOptional(),
    /** With a folder of pictures: what becomes of an experiment where some cannot be used. `fail` where not given. */
    onError: z.enum(['fail', 'skip']).exactOptional(),
    /** Take the first N training samples only; the test set stays whole. Without it, all. */
    limit: z.int().min(1).optional(),
    /** With a folder of pictures: take the first N of each class in each part but the test set. Without it, all. */
    perClass: z.int().min(1).exactOptional(),
    /**
     * With a folder: a CSV file with a heading, relative to the experiment file, that says more about the training samples:
     * of which group each is, in which fold it is validated. For pictures, a column `file` names the picture that a row
     * is about, relative to the folder; otherwise a row is a sample, in order.
     */
    table: z.string().min(1).max(4096).exactOptional(),
  })
  .readonly()
  .refine(({ name, path }) => (name === undefined) !== (path === undefined), {
    message:
      'must have a name (mnist, or one of `crossfold data list`) or a path (a folder of pictures or of IDX files), and not both',
  })
  .superRefine(({ name, image, onError, perClass, limit, table }, context) => {
    const needs = (field: string, message: string): void =>
      context.addIssue({ code: 'custom', path: [field], message });
    if (image !== undefined && name !== undefined)
      needs('image', `is for folders of pictures; ${name} has its own size`);
    if (table !== undefined && name !== undefined) needs('table', 'is for folders');
    if (image === undefined && onError !== undefined) needs('onError', 'is for folders of pictures, which need image');
    if (image === undefined && perClass !== undefined)
      needs('perClass', 'is for folders of pictures, which need image');
    if (limit !== undefined && perClass !== undefined) needs('perClass', 'cannot be given together with limit');
  });
export type DatasetSpec = z.infer<typeof DatasetSpec>;
