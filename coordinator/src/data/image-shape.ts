import type { DatasetSpec } from '@crossfold/shared/config/dataset';
import { canonicalJson } from '@crossfold/shared/data/digest';
import type { ImageShape } from '@crossfold/shared/data/manifest';

/** The shape of an experiment's, or a trial's, images: that of its pictures, or the data set's own. */
export const imageShapeOf = ({ image }: Pick<DatasetSpec, 'image'>, own: ImageShape): ImageShape =>
  image === undefined ? own : { height: image.height, width: image.width, channels: image.channels };

/** Names a way to make pictures into samples. */
export const imageKey = ({ image }: Pick<DatasetSpec, 'image'>): string => canonicalJson(image ?? null);
