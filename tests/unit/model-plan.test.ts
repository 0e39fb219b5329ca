import { LayerSpec } from '@crossfold/shared/config/layers';
import type { Loss } from '@crossfold/shared/config/training';
import { ConfigError } from '@crossfold/shared/errors';
import type { ModelPlan } from '@crossfold/shared/model/plan';
import { planModel, shapeText } from '@crossfold/shared/model/plan';
import { describe, expect, it } from 'vitest';

const digit = { height: 28, width: 28, channels: 1 };
const photo = { height: 150, width: 150, channels: 3 };

const plan = (
  given: readonly object[],
  { image = digit, classes = 10, loss = 'categoricalCrossentropy' as Loss } = {},
): ModelPlan => planModel({ layers: given.map((layer) => LayerSpec.parse(layer)) }, image, classes, loss);

const conv = { type: 'conv2d', filters: 4, kernelSize: 3 };
const flatten = { type: 'flatten' };
const softmax = { type: 'dense', units: 10, activation: 'softmax' };

describe("a model's plan", () => {
  it("has Keras' shapes and numbers of parameters for the built-in nets", () => {
    const mnist = planModel({ preset: 'mnist-convnet' }, digit, 10, 'categoricalCrossentropy');
    expect(mnist.layers.map(({ name, outputShape }) => `${name} ${shapeText(outputShape)}`)).toEqual([
      'conv2d 26 x 26 x 32',
      'max_pooling2d 13 x 13 x 32',
      'conv2d_1 11 x 11 x 64',
      'max_pooling2d_1 5 x 5 x 64',
      'conv2d_2 3 x 3 x 64',
      'flatten 576',
      'dense 64',
      'dense_1 10',
    ]);
    expect(mnist.parameterCount).toBe(93_322);
    const photos = planModel({ preset: 'cats-dogs-baseline' }, photo, 2, 'binaryCrossentropy');
    expect(photos.parameterCount).toBe(3_453_121);
  });

  it('lays parameters out one after another in the order of the model', () => {
    const { parameters, weightCount } = plan([conv, { type: 'batchNormalization' }, flatten, softmax]);
    let offset = 0;
    for (const parameter of parameters) {
      expect(parameter.offset).toBe(offset);
      offset += parameter.length;
    }
    expect(weightCount).toBe(offset);
    expect(parameters.map((p) => p.name)).toEqual([
      'conv2d/kernel',
      'conv2d/bias',
      'batch_normalization/gamma',
      'batch_normalization/beta',
      'batch_normalization/moving_mean',
      'batch_normalization/moving_variance',
      'dense/kernel',
      'dense/bias',
    ]);
  });

  it.each([
    ['same padding rounds up', { ...conv, padding: 'same', strides: 3 }, '10 x 10 x 4'],
    ['valid padding rounds down', { ...conv, strides: [3, 2] }, '9 x 13 x 4'],
    ['dilation widens the window', { ...conv, dilation: [3, 1] }, '22 x 26 x 4'],
    ['pooling strides by its size', { type: 'averagePooling2d', poolSize: [3, 5] }, '9 x 5 x 1'],
    ['pooling may overlap', { type: 'maxPooling2d', poolSize: 3, strides: 2, padding: 'same' }, '14 x 14 x 1'],
    ['separable convolutions mix channels', { type: 'separableConv2d', filters: 7, kernelSize: 5 }, '24 x 24 x 7'],
    ['global pooling leaves the channels', { type: 'globalAveragePooling2d' }, '1'],
  ])('%s', (_, layer, shape) => {
    const rest = layer.type === 'globalAveragePooling2d' ? [softmax] : [flatten, softmax];
    expect(shapeText(plan([layer, ...rest]).layers[0]?.outputShape ?? [])).toBe(shape);
  });
});

describe('what does not fit is reported by layer', () => {
  const problem = (given: readonly object[], options?: Parameters<typeof plan>[1]): string => {
    try {
      plan(given, options);
    } catch (error) {
      if (error instanceof ConfigError) return error.message;
      throw error;
    }
    return 'no problem';
  };

  it.each([
    [
      'a dense layer on images',
      [conv, softmax],
      'model.layers.1 is dense (dense): needs a flat input, and gets 26 x 26 x 4; put a flatten or globalAveragePooling2d layer before it',
    ],
    [
      'a convolution on flat numbers',
      [flatten, conv, softmax],
      'model.layers.1 is conv2d (conv2d): needs an input of height x width x channels, and gets 784',
    ],
    [
      'a pooling of flat numbers',
      [flatten, { type: 'maxPooling2d' }, softmax],
      'model.layers.1 is maxPooling2d (max_pooling2d): needs an input of height x width x channels, and gets 784',
    ],
    [
      'a window that is larger than the image',
      [{ type: 'maxPooling2d', poolSize: 12 }, conv, flatten, softmax],
      'model.layers.1 is conv2d (conv2d): its window of 3 x 3 does not fit into an input of 2 x 2 x 1',
    ],
    [
      'a dilated window that is',
      [{ ...conv, dilation: 14 }, flatten, softmax],
      'its window of 3 x 3 with dilation 14 x 14 does not fit into an input of 28 x 28 x 1',
    ],
    [
      'dilation with strides',
      [{ ...conv, dilation: 2, strides: 2 }, flatten, softmax],
      'model.layers.0 is conv2d (conv2d): dilation and strides cannot both be above 1',
    ],
    [
      'a depthwise convolution with unequal strides',
      [{ type: 'separableConv2d', filters: 2, kernelSize: 3, strides: [1, 2] }, flatten, softmax],
      'model.layers.0 is separableConv2d (separable_conv2d): strides must be the same for height and width',
    ],
    [
      'a wrong number of outputs',
      [flatten, { ...softmax, units: 9 }],
      'model.layers.1 is dense (dense) with output 9: the last layer must have 10 outputs, one a class, for categoricalCrossentropy',
    ],
    [
      'an image for an output',
      [conv],
      'model.layers.0 is conv2d (conv2d) with output 26 x 26 x 4: the last layer must have 10 outputs',
    ],
    [
      'a wrong last activation',
      [flatten, { ...softmax, activation: 'relu' }],
      'the last layer must have the activation softmax for categoricalCrossentropy, and has relu',
    ],
    [
      'two layers of one name',
      [{ ...conv, name: 'a' }, { ...flatten, name: 'a' }, softmax],
      'model.layers.1.name is a: another layer has that name',
    ],
    ['a net that has nothing to learn', [flatten, { type: 'activation', activation: 'softmax' }], 'model.layers'],
  ])('%s', (_, given, message) => {
    expect(problem(given)).toContain(message);
  });

  it('a single output for many classes', () => {
    const sigmoid = [flatten, { type: 'dense', units: 1, activation: 'sigmoid' }];
    expect(problem(sigmoid, { loss: 'binaryCrossentropy' })).toContain(
      'one output tells two classes apart, and the data set has 10',
    );
    expect(problem(sigmoid, { loss: 'binaryCrossentropy', classes: 2 })).toBe('no problem');
  });

  it('a net without parameters', () => {
    const nothing = [{ type: 'globalAveragePooling2d' }, { type: 'activation', activation: 'softmax' }];
    const image = { height: 8, width: 8, channels: 3 };
    expect(problem(nothing, { image, classes: 3 })).toContain(
      'the net has no parameters to train; add a dense or conv2d layer',
    );
  });

  it('a net that is too large for memory', () => {
    expect(problem([flatten, { type: 'dense', units: 1_000_000 }, softmax], { image: photo })).toContain(
      '500000000 are the most that can be handled',
    );
  });
});
