import { z } from 'zod';

/**
 * `augment` of an experiment file: how training pictures are varied, anew in each pass over them, with the meaning of
 * Keras' `ImageDataGenerator`. Rotation, shifts, shear and zoom are one affine resampling (bilinear) about the
 * picture's centre. Amounts are drawn uniformly; 0 and false, the defaults, change nothing. Unlike Keras 3.15, whose
 * `height_shift_range` moves pictures along their width and the other way round, and whose centre has height and width
 * swapped, each does what its name says; of square pictures with equal shifts the two are the same.
 */
export const AugmentSpec = z
  .strictObject({
    /** Degrees, either way. Keras' `rotation_range`. */
    rotation: z.number().min(0).max(180).default(0),
    /** Share of the width, either way along it. Keras' `width_shift_range` by its name; Keras 3.15 moves along the height. */
    widthShift: z.number().min(0).max(1).default(0),
    /** Share of the height, either way along it. Keras' `height_shift_range` by its name; Keras 3.15 moves along the width. */
    heightShift: z.number().min(0).max(1).default(0),
    /** Angle in degrees, either way; not a share. Keras' `shear_range`. */
    shear: z.number().min(0).max(89).default(0),
    /** z: from 1 - z to 1 + z, or [from, to]; height and width apart. Below 1 magnifies. Keras' `zoom_range`. */
    zoom: z
      .union([z.number().min(0).lt(1), z.tuple([z.number().gt(0).max(100), z.number().gt(0).max(100)]).readonly()])
      .default(0),
    horizontalFlip: z.boolean().default(false),
    verticalFlip: z.boolean().default(false),
    /** What lies beyond the picture's edge. Keras' `fill_mode`, which is SciPy's. */
    fill: z.enum(['nearest', 'constant', 'reflect', 'wrap']).default('nearest'),
    /** With `fill: constant`, from 0 to 255. Keras' `cval`. */
    fillValue: z.number().min(0).max(255).default(0),
    /** Factors [from, to] on every pixel, e.g. [0.8, 1.2]. Keras' `brightness_range`. */
    brightness: z
      .tuple([z.number().min(0).max(10), z.number().min(0).max(10)])
      .readonly()
      .exactOptional(),
    /** Added to every pixel, either way, from 0 to 255. Keras' `channel_shift_range`. */
    channelShift: z.number().min(0).max(255).default(0),
  })
  .readonly()
  .superRefine(({ zoom, brightness }, context) => {
    for (const [field, range] of [
      ['zoom', zoom],
      ['brightness', brightness],
    ] as const)
      if (typeof range === 'object' && range[0] > range[1])
        context.addIssue({ code: 'custom', path: [field], message: 'must be [from, to], and the first is the larger' });
  });
export type AugmentSpec = z.infer<typeof AugmentSpec>;
