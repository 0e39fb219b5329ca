import { mnistShape } from '@crossfold/coordinator/data/dataset-shape';
import { findImported } from '@crossfold/coordinator/datasets/imported';
import { localLibrary } from '@crossfold/coordinator/datasets/local-library';
import { namesImported, openLabelled, readPictures } from '@crossfold/coordinator/models/labelled';
import type { Labelled, PartName } from '@crossfold/coordinator/models/labelled-pictures';
import { openImported } from '@crossfold/coordinator/models/open-imported';
import { variedPictures } from '@crossfold/coordinator/models/varied';
import { AugmentSpec } from '@crossfold/shared/config/augment';
import { ImageSpec } from '@crossfold/shared/config/dataset';
import type { ImageShape } from '@crossfold/shared/data/manifest';
import type { z } from 'zod';

export interface DatasetOptions {
  /** The test part where there is one, else everything, where not given. */
  readonly part?: PartName;
  /** What to make of pictures, as `dataset.image` of an experiment; digits are 28 x 28 x 1. */
  readonly image?: z.input<typeof ImageSpec>;
}

/**
 * Opens a data set to look at its samples: `mnist`, a folder of pictures (one folder a class), a folder of IDX files, or
 * the name of one that was imported on this machine, whose pictures have their size already.
 *
 * @throws ConfigError where it is none of these
 */
export async function openDataset(path: string, { part, image }: DatasetOptions = {}): Promise<Labelled> {
  const libraries = [localLibrary(process.env)];
  if (image === undefined && namesImported(path))
    return openImported(await findImported(path, libraries, 'dataset'), part);
  const spec = ImageSpec.parse(image ?? mnistShape.image);
  return openLabelled(path, part, spec, spec, libraries);
}

/**
 * A picture file (JPEG, PNG, WebP) as a net would be given it: uint8, [height, width, channels].
 *
 * @param image what to make of it, as `dataset.image` of an experiment
 * @throws ConfigError where it is not there, or cannot be used
 */
export async function readPicture(file: string, image: z.input<typeof ImageSpec>): Promise<Uint8Array> {
  const spec = ImageSpec.parse(image);
  const [pixels = new Uint8Array()] = await readPictures([file], spec, spec);
  return pixels;
}

/**
 * A training picture as the first passes over the data would vary it.
 *
 * @param pixels uint8, [height, width, channels]
 * @param augment as `augment` of an experiment
 */
export const variedSamples = (
  pixels: Uint8Array,
  shape: ImageShape,
  augment: z.input<typeof AugmentSpec>,
  {
    seed = 42,
    sample = 0,
    count = 4,
  }: { readonly seed?: number; readonly sample?: number; readonly count?: number } = {},
): Uint8Array[] => variedPictures(pixels, shape, AugmentSpec.parse(augment), { seed, sample, count });
