import { checked } from '@crossfold/coordinator/config/check';
import { parseSource } from '@crossfold/coordinator/config/yaml';
import { Experiment } from '@crossfold/shared/config/experiment';
import { ConfigError } from '@crossfold/shared/errors';
import { describe, expect, it } from 'vitest';
import { parse, stringify } from 'yaml';
import type { Json, Place } from '../support/schema-places.ts';
import { alternatives, places } from '../support/schema-places.ts';

const all = places();
const named = (place: Place): string => place.path.join('.');

/** The error that a text leads to; undefined where it is an experiment. */
function problem(text: string): ConfigError | undefined {
  try {
    checked(Experiment, parseSource(text, 'x.yaml'), 'x.yaml');
    return undefined;
  } catch (error) {
    if (error instanceof ConfigError) return error;
    throw error;
  }
}

const isNumber = ({ type }: Json): boolean => type === 'number' || type === 'integer';

/** Values that no place takes whatever its type, and those that are wrong by its own schema. */
function wrongValues(schema: Json): unknown[] {
  const options = alternatives(schema).flatMap(alternatives);
  const has = (test: (option: Json) => boolean): boolean => options.some(test);
  const wrong: unknown[] = [Number.NaN, Number.NEGATIVE_INFINITY];
  if (!has(({ type }) => type === 'object')) wrong.push({ nonsense: 1 });
  if (!has(({ type }) => type === 'array')) wrong.push([1, 2]);
  if (!has(({ type, const: only }) => type === 'boolean' || typeof only === 'boolean')) wrong.push(true);
  if (
    !has(
      ({ type, pattern, enum: values, const: only }) =>
        type === 'string' && pattern === undefined && values === undefined && only === undefined,
    )
  )
    wrong.push('', 'no such thing');
  if (!has(isNumber)) wrong.push(7, -1);
  for (const option of options.filter(isNumber)) {
    if (options.length > 1 || option.const !== undefined) continue;
    const { minimum, maximum, exclusiveMinimum, exclusiveMaximum } = option;
    if (minimum !== undefined) wrong.push(minimum - 1, -1e300);
    if (exclusiveMinimum !== undefined) wrong.push(exclusiveMinimum);
    if (maximum !== undefined) wrong.push(maximum + 1, 1e300);
    if (exclusiveMaximum !== undefined) wrong.push(exclusiveMaximum);
    if (option.type === 'integer') wrong.push(1.5, 1e300);
  }
  return wrong;
}

/** Line of the place, in YAML as `stringify` writes it. */
function lineOf(place: Place): number {
  const marked = stringify(place.with('the marked place'));
  return marked.slice(0, marked.indexOf('the marked place')).split('\n').length;
}

describe('every place of an experiment', () => {
  it('is known', () => {
    expect(all.length).toBeGreaterThan(250);
    for (const path of [
      'training.optimizer.learningRate',
      'model.layers.0.filters',
      'augment.rotation',
      'dataset.image.height',
    ])
      expect(all.map(named)).toContain(path);
  });

  it('refuses what cannot stand there in one line that names field, value, what is allowed, and the line', () => {
    const failures: string[] = [];
    let refused = 0;
    for (const place of all) {
      const expected = lineOf(place);
      for (const value of wrongValues(place.schema)) {
        const text = stringify(place.with(value));
        const error = problem(text);
        const what = `${named(place)}: ${stringify(value).trim()}`;
        const { field = '', value: shown, allowed = '', line } = error?.problem ?? {};
        if (error === undefined) failures.push(`${what} is taken`);
        else if (/[\n\r]/.test(error.message) || error.message.length > 700) failures.push(`${what}: ${error.message}`);
        else if (!field.startsWith(named(place)) && !named(place).startsWith(field))
          failures.push(`${what}: names ${field}`);
        else if (allowed.length < 5 || /undefined|\[object|invalid input/i.test(error.message))
          failures.push(`${what}: ${error.message}`);
        else if (line === undefined || Math.abs(line - expected) > 3)
          failures.push(`${what}: line ${line} of\n${text}`);
        else if (field === named(place) && typeof value !== 'object' && shown === undefined)
          failures.push(`${what}: shows no value: ${error.message}`);
        refused++;
      }
    }
    expect(failures.slice(0, 40), `${failures.length} of ${refused}`).toEqual([]);
    expect(refused).toBeGreaterThan(1500);
  });

  it('suggests the key that a misspelt one was meant to be', () => {
    const failures: string[] = [];
    for (const place of all) {
      const key = place.path.at(-1);
      if (typeof key !== 'string' || key.length < 5) continue;
      const typo = `${key.slice(0, 2)}${key[3]}${key[2]}${key.slice(4)}`;
      if (typo === key) continue;
      const correct = stringify(place.with(0));
      const lines = correct.split('\n');
      const at = lineOf(place) - 1;
      // Of a mapping's value the key may stand on the line above.
      const own = [at, at - 1].find((n) => lines[n]?.includes(`${key}:`)) ?? at;
      lines[own] = (lines[own] ?? '').replace(`${key}:`, `${typo}:`);
      const error = problem(lines.join('\n'));
      const text = error?.message ?? 'nothing wrong';
      if (!text.includes(typo) || !text.includes(`did you mean ${key}?`)) failures.push(`${named(place)}: ${text}`);
    }
    expect(failures.slice(0, 40), `${failures.length}`).toEqual([]);
  });

  it('refuses a key that is there twice', () => {
    const text =
      'dataset: { name: mnist }\nevaluation: { method: kfold }\nmodel: { preset: mnist-convnet }\ntraining:\n  epochs: 1\n  optimizer: { name: adam }\n';
    expect(problem(text)).toBeDefined();
    expect(problem(`name: x\n${text}`)).toBeUndefined();
    for (const [more, line] of [
      ['training: { epochs: 2 }\n', 8],
      ['  epochs: 3\n', 8],
    ] as const)
      expect(problem(`name: x\n${text}${more}`)?.message).toMatch(
        new RegExp(`^x\\.yaml:${line}:\\d+: not valid YAML: Map keys must be unique`),
      );
  });
});

describe('a text that is no experiment', () => {
  const bomb = (levels: number): string =>
    [
      `a0: &a0 [x, x, x, x, x, x, x, x, x, x]`,
      ...Array.from({ length: levels }, (_, i) => `a${i + 1}: &a${i + 1} [${Array(10).fill(`*a${i}`).join(', ')}]`),
    ].join('\n');

  it.each([
    ['an alias bomb', bomb(9), /alias/i],
    ['aliases within themselves', 'a: &a [*a]\n', /./],
    ['a merge bomb', `x: &x { a: 1 }\ny: { <<: [${Array(500).fill('*x').join(', ')}] }\n`, /./],
    ['brackets without end', '['.repeat(50_000), /./],
    ['flow maps without end', '{a: '.repeat(20_000), /./],
    ['indentation without end', Array.from({ length: 3000 }, (_, i) => `${' '.repeat(i)}a:`).join('\n'), /./],
    ['a tab for indentation', 'training:\n\tepochs: 1\n', /x\.yaml:2:\d+: not valid YAML/],
    ['a quote without end', 'name: "abc\n', /x\.yaml:\d+:\d+: not valid YAML/],
    ['a colon too many', 'name: a: b\n', /x\.yaml:1:\d+: not valid YAML/],
    ['two documents', 'name: a\n---\nname: b\n', /./],
    ['a tag that makes things', 'name: !!js/function "function () {}"\n', /x\.yaml:1/],
    ['a list', '- 1\n- 2\n', /the file/],
    ['a word', 'hello\n', /the file/],
    ['a picture', Buffer.from([0xff, 0xd8, 0xff, 0xe0, 0, 16, 74, 70, 73, 70, 0, 1]).toString('utf8'), /./],
    ['zeros', '\0'.repeat(1000), /./],
    ['keys of objects', '__proto__: { polluted: true }\nconstructor: 1\n', /./],
    ['a text of two megabytes', `name: ${'x'.repeat(2 << 20)}`, /larger than 1 MB/],
  ])('is refused in one line: %s', (_what, text, message) => {
    const error = problem(text);
    expect(error?.message).toMatch(message);
    expect(error?.message).not.toContain('\n');
    expect(error?.message.length).toBeLessThan(700);
    expect({}).not.toHaveProperty('polluted');
  });

  it('has its own limits kept: what YAML reads otherwise is not an experiment by chance', () => {
    expect(parse('a: 1e400')).toEqual({ a: Number.POSITIVE_INFINITY });
  });
});
