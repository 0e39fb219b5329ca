import { LayerSpec } from '@crossfold/shared/config/layers';
import { TrainingSpec } from '@crossfold/shared/config/training';
import type { TrainedModel } from '@crossfold/shared/model/model-file';
import { planModel } from '@crossfold/shared/model/plan';

/** A net that tells blue from red by the mean of the channels: p(red) = 1 / (1 + exp(-4 (red - blue))). */
export function colourNet(): TrainedModel {
  const layers = [
    { type: 'conv2d', filters: 3, kernelSize: 1, useBias: false },
    { type: 'maxPooling2d' },
    { type: 'globalAveragePooling2d' },
    { type: 'dense', units: 1, activation: 'sigmoid' },
  ].map((layer) => LayerSpec.parse(layer));
  const training = TrainingSpec.parse({ epochs: 1, optimizer: { name: 'sgd' }, loss: 'binaryCrossentropy' });
  const plan = planModel({ layers }, { height: 8, width: 8, channels: 3 }, 2, training.loss);
  const weights = Float32Array.of(1, 0, 0, 0, 1, 0, 0, 0, 1, /* dense */ 4, 0, -4, /* bias */ 0);
  const decoding = { fit: 'fill', kernel: 'linear', maxPixels: 1_000_000 } as const;
  return { plan, training, classes: ['blue', 'red'], decoding, weights };
}
