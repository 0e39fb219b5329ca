import { checked } from '@crossfold/coordinator/config/check';
import { editDistance, nearest } from '@crossfold/coordinator/config/nearest';
import { parseOverride } from '@crossfold/coordinator/config/overrides';
import { parseSource } from '@crossfold/coordinator/config/yaml';
import { ConfigError } from '@crossfold/shared/errors';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';

const Layer = z.discriminatedUnion('type', [
  z.strictObject({ type: z.literal('dense'), units: z.int().min(1) }),
  z.strictObject({ type: z.literal('conv2d'), filters: z.int().min(1), kernelSize: z.int().min(1).default(3) }),
]);
const Schema = z
  .strictObject({
    name: z.string().regex(/^[a-z]+$/, 'must be lower-case letters'),
    rate: z.number().gt(0).lt(1).default(0.5),
    workers: z.union([z.literal('auto'), z.int().min(1)]).default('auto'),
    loss: z.enum(['crossentropy', 'mse']).default('mse'),
    flag: z.boolean().default(true),
    model: z.union([
      z.strictObject({ preset: z.enum(['small', 'large']) }),
      z.strictObject({ layers: z.array(Layer).min(1) }),
    ]),
  })
  .readonly();

const good = 'name: abc\nmodel:\n  layers:\n    - type: dense\n      units: 3\n    - { type: conv2d, filters: 4 }\n';

function message(text: string, sets: readonly string[] = []): string {
  try {
    checked(Schema, parseSource(text, 'x.yaml'), 'x.yaml', sets.map(parseOverride));
  } catch (error) {
    if (error instanceof ConfigError) return error.message;
    throw error;
  }
  return 'nothing wrong';
}

describe('what is wrong with a file', () => {
  it('is nothing where nothing is', () => expect(message(good)).toBe('nothing wrong'));

  it.each([
    ['a key that does not exist', `${good}flga: true\n`, 'x.yaml:7: flga: is not a known key; did you mean flag?'],
    [
      'a key like no other',
      `${good}zzzzzzzz: true\n`,
      'x.yaml:7: zzzzzzzz: is not a known key; known here: name, rate, workers, loss, flag, model',
    ],
    [
      'a key in an alternative that its type chooses',
      good.replace('filters: 4', 'filters: 4, kernelsize: 3'),
      'x.yaml:6: model.layers.1.kernelsize: is not a known key of type conv2d; did you mean kernelSize?',
    ],
    [
      'a misspelt key that was required',
      good.replace('units: 3', 'unit: 3'),
      'x.yaml:5: model.layers.0.unit: is not a known key of type dense; did you mean units?',
    ],
    [
      'a misspelt tag value',
      good.replace('type: dense', 'type: dens'),
      'x.yaml:4: model.layers.0.type is "dens": must be dense or conv2d; did you mean dense?',
    ],
    [
      'a misspelt key that chooses the alternative',
      'name: abc\nmodel: { presett: small }\n',
      'x.yaml:2: model.presett: is not a known key; did you mean preset?',
    ],
    [
      'a wrong value in the alternative that the key chooses',
      'name: abc\nmodel: { preset: smal }\n',
      'x.yaml:2: model.preset is "smal": must be small or large; did you mean small?',
    ],
    [
      'two alternatives at once',
      'name: abc\nmodel: { preset: small, layers: [] }\n',
      'x.yaml:2: model.layers: cannot stand beside preset',
    ],
    [
      'a list that is too short',
      'name: abc\nmodel: { layers: [] }\n',
      'x.yaml:2: model.layers is []: must be a list of at least 1',
    ],
    [
      'a missing field',
      'name: abc\n',
      'x.yaml:1: model: is missing; it must be a mapping with preset or a mapping with layers',
    ],
    [
      'something else than a mapping of one of several kinds',
      good.replace('- type: dense\n      units: 3', '- dense'),
      'x.yaml:4: model.layers.0 is "dense": must be a mapping with type: dense or conv2d',
    ],
    ['a number out of range', `${good}rate: 1.5\n`, 'x.yaml:7: rate is 1.5: must be a number above 0 and below 1'],
    [
      'a fraction for a whole number',
      `${good}workers: 1.5\n`,
      'x.yaml:7: workers is 1.5: must be auto or a whole number of at least 1',
    ],
    [
      'a value that no alternative takes',
      `${good}workers: many\n`,
      'x.yaml:7: workers is "many": must be auto or a whole number of at least 1',
    ],
    ['a text for a flag', `${good}flag: "yes"\n`, 'x.yaml:7: flag is "yes": must be true or false'],
    ['what the schema says itself', good.replace('abc', 'ABC'), 'x.yaml:1: name is "ABC": must be lower-case letters'],
    ['null', `${good}rate:\n`, 'x.yaml:7: rate is null: must be a number above 0 and below 1'],
    [
      'a list instead of a mapping',
      '- 1\n',
      'x.yaml:1: the file is [1]: must be a mapping with name, rate, workers, loss, flag, model',
    ],
    ['a key given twice', `${good}name: b\n`, 'x.yaml:7:1: not valid YAML: Map keys must be unique'],
    ['a tab', 'name: a\n\tb: c\n', 'x.yaml:2:1: not valid YAML: Tabs are not allowed as indentation'],
  ])('%s', (_, text, expected) => expect(message(text)).toBe(expected));

  it.each([
    ['a value', ['rate=2'], '--set rate=2: rate is 2: must be a number above 0 and below 1'],
    [
      'an unknown path',
      ['model.layers.0.unit=2'],
      '--set model.layers.0.unit=2: model.layers.0.unit: is not a known key of type dense; did you mean units?',
    ],
    [
      'a place past the list',
      ['model.layers.7.units=2'],
      "--set model.layers.7.units=2: 7 is not one of the list's entries 0 to 1",
    ],
    [
      'something below a number',
      ['rate.x=2', 'rate=0.1', 'rate.x=2'],
      '--set rate.x=2: there is nothing below a number to set',
    ],
    ['no value', ['rate'], '--set rate: expected path=value, as in --set training.epochs=1'],
  ])('in an override: %s', (_, sets, expected) => expect(message(good, sets)).toBe(expected));

  it('is what the later override says', () => expect(message(good, ['rate=7', 'rate=0.7'])).toBe('nothing wrong'));

  it('is an alias that expands without end', () => {
    const bomb = ['a: &a [1,1,1,1,1,1,1,1,1,1]'];
    for (let i = 0; i < 8; i++)
      bomb.push(`${'bcdefghi'[i]}: &${'bcdefghi'[i]} [${Array(10).fill(`*${'abcdefgh'[i]}`)}]`);
    expect(message(bomb.join('\n'))).toBe('x.yaml: Excessive alias count indicates a resource exhaustion attack');
  });

  it('is a text of more than a megabyte', () =>
    expect(message(`# ${'x'.repeat(1 << 20)}`)).toContain('larger than 1 MB'));
});

describe('the nearest word', () => {
  it.each([
    ['kitten', 'sitting', 3],
    ['ab', 'ba', 1],
    ['', 'abc', 3],
    ['same', 'same', 0],
  ])('%s and %s differ by %i', (a, b, distance) => {
    expect(editDistance(a, b)).toBe(distance);
    expect(editDistance(b, a)).toBe(distance);
  });

  it('is found through case and separators, and not made up', () => {
    expect(nearest('learning_rate', ['learningRate', 'name'])).toBe('learningRate');
    expect(nearest('x', ['y'])).toBeUndefined();
    expect(nearest('epohcs', ['epochs', 'batchSize'])).toBe('epochs');
  });
});
