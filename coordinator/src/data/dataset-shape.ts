import type { ImageShape } from '@crossfold/shared/data/manifest';

/** What a net has to know of a data set. */
export interface DatasetShape {
  readonly image: ImageShape;
  readonly classes: number;
}

export const mnistShape: DatasetShape = { image: { height: 28, width: 28, channels: 1 }, classes: 10 };
