import type { LayerSpec, Regularizer } from '../config/layers.ts';
import type { ModelSpec } from '../config/model.ts';
import type { Loss } from '../config/training.ts';
import type { ImageShape } from '../data/manifest.ts';
import { ConfigError } from '../errors.ts';
import { describeLayer, type Initializer } from './layers.ts';
import { presetLayers } from './presets.ts';

/** One parameter of a layer, and its place in the flat vector of all weights. */
export interface Parameter {
  /** `<layer>/<parameter>` by Keras' names, e.g. `conv2d_1/kernel`. */
  readonly name: string;
  readonly shape: readonly number[];
  /** First element in the flat vector of weights; parameters lie there in model order without gaps. */
  readonly offset: number;
  readonly length: number;
  /** False for BatchNorm's moving statistics, which are averaged, not descended. */
  readonly trainable: boolean;
  readonly initializer: Initializer;
  readonly regularizer: Regularizer | undefined;
}

export interface LayerPlan {
  /** Unique in the model: given, or made up as Keras does (`conv2d`, `conv2d_1`, ...). */
  readonly name: string;
  readonly spec: LayerSpec;
  /** Without the samples' dimension: [height, width, channels] or [units]. */
  readonly inputShape: readonly number[];
  readonly outputShape: readonly number[];
  readonly parameters: readonly Parameter[];
}

/** A net with all its shapes: plain data, the same for everyone who plans the same model. */
export interface ModelPlan {
  /** [height, width, channels]. */
  readonly inputShape: readonly number[];
  readonly classes: number;
  readonly layers: readonly LayerPlan[];
  /** Of all layers, in model order. */
  readonly parameters: readonly Parameter[];
  /** Elements of the flat vector of weights, moving statistics included; Keras' "total params". */
  readonly weightCount: number;
  /** Elements of trainable parameters; Keras' "trainable params". */
  readonly parameterCount: number;
}

const maxWeights = 500_000_000;

/**
 * Plans a net for images of a shape.
 *
 * @param classes number of classes of the data set
 * @param loss what the outputs are for: `classes` softmax outputs, or a single sigmoid one
 * @throws ConfigError naming the layer where shapes do not fit, before anything is computed
 */
export function planModel(model: ModelSpec, image: ImageShape, classes: number, loss: Loss): ModelPlan {
  const specs = 'preset' in model ? presetLayers(model.preset, classes) : model.layers;
  if (specs === undefined) throw new ConfigError({ field: 'model.h5', allowed: 'has not been read' });
  const where = (index: number): string =>
    'preset' in model ? 'model.preset' : 'h5' in model ? 'model.h5' : `model.layers.${index}`;
  const names = new Set<string>();
  const layers: LayerPlan[] = [];
  let shape: readonly number[] = [image.height, image.width, image.channels];
  let offset = 0;
  specs.forEach((spec, index) => {
    const name = spec.name ?? freeName(keras[spec.type], names);
    if (spec.name !== undefined && names.has(name))
      throw new ConfigError({ field: `${where(index)}.name`, value: name, allowed: 'another layer has that name' });
    names.add(name);
    const described = describeLayer(spec, shape);
    if (typeof described === 'string')
      throw new ConfigError({ field: where(index), value: `${spec.type} (${name})`, allowed: described });
    const parameters = described.parameters.map(({ name: parameter, ...rest }): Parameter => {
      const length = rest.shape.reduce((product, n) => product * n, 1);
      const placed = { ...rest, name: `${name}/${parameter}`, offset, length };
      offset += length;
      return placed;
    });
    if (offset > maxWeights)
      throw new ConfigError({
        field: where(index),
        value: `${spec.type} (${name})`,
        allowed: `the net has ${offset} weights by here, and ${maxWeights} are the most that can be handled; pool before dense layers`,
      });
    layers.push({ name, spec, inputShape: shape, outputShape: described.outputShape, parameters });
    shape = described.outputShape;
  });
  checkOutput(layers, classes, loss, where);
  if ('h5' in model && model.image !== undefined) checkWeights(model.image, specs, image, offset, classes, loss);
  const parameters = layers.flatMap((layer) => layer.parameters);
  const trainable = parameters.filter((p) => p.trainable);
  if (trainable.length === 0)
    throw new ConfigError({
      field: 'model.layers',
      value: layers.map(({ spec }) => spec.type).join(', '),
      allowed: 'the net has no parameters to train; add a dense or conv2d layer',
    });
  return {
    inputShape: [image.height, image.width, image.channels],
    classes,
    layers,
    parameters,
    weightCount: offset,
    parameterCount: trainable.reduce((sum, p) => sum + p.length, 0),
  };
}

/** Makes sure that a net's weights are as many for these images as for those that it was trained on. */
function checkWeights(
  own: ImageShape,
  layers: readonly LayerSpec[],
  image: ImageShape,
  weights: number,
  classes: number,
  loss: Loss,
): void {
  if (own.channels === image.channels && planModel({ layers }, own, classes, loss).weightCount === weights) return;
  const text = ({ height, width, channels }: ImageShape): string => shapeText([height, width, channels]);
  throw new ConfigError({
    field: 'model.h5',
    allowed: `takes images of ${text(own)}, and the data set's are ${text(image)}; set dataset.image to the former`,
  });
}

/** Keras' names of layers, from which those without a name get theirs. */
const keras: Readonly<Record<LayerSpec['type'], string>> = {
  conv2d: 'conv2d',
  separableConv2d: 'separable_conv2d',
  maxPooling2d: 'max_pooling2d',
  averagePooling2d: 'average_pooling2d',
  globalAveragePooling2d: 'global_average_pooling2d',
  flatten: 'flatten',
  dense: 'dense',
  dropout: 'dropout',
  batchNormalization: 'batch_normalization',
  activation: 'activation',
};

function freeName(base: string, taken: ReadonlySet<string>): string {
  for (let n = 0; ; n++) {
    const name = n === 0 ? base : `${base}_${n}`;
    if (!taken.has(name)) return name;
  }
}

function checkOutput(
  layers: readonly LayerPlan[],
  classes: number,
  loss: Loss,
  where: (index: number) => string,
): void {
  const index = layers.length - 1;
  const last = layers[index];
  if (last === undefined) return;
  const wrong = (allowed: string): ConfigError =>
    new ConfigError({
      field: where(index),
      value: `${last.spec.type} (${last.name}) with output ${shapeText(last.outputShape)}`,
      allowed,
    });
  const single = loss === 'binaryCrossentropy' && last.outputShape.length === 1 && last.outputShape[0] === 1;
  if (single && classes !== 2)
    throw wrong(`one output tells two classes apart, and the data set has ${classes}; use ${classes} outputs`);
  if (!single && (last.outputShape.length !== 1 || last.outputShape[0] !== classes))
    throw wrong(
      `the last layer must have ${classes} outputs, one a class${classes === 2 ? ', or a single one with binaryCrossentropy' : ''}, for ${loss}`,
    );
  const activation = 'activation' in last.spec ? last.spec.activation : 'none';
  const wanted = { categoricalCrossentropy: 'softmax', binaryCrossentropy: 'sigmoid', meanSquaredError: undefined }[
    loss
  ];
  if (wanted !== undefined && activation !== wanted)
    throw wrong(`the last layer must have the activation ${wanted} for ${loss}, and has ${activation}`);
}

/** `26 x 26 x 32`. */
export const shapeText = (shape: readonly number[]): string => shape.join(' x ');
