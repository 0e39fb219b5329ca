import fc from 'fast-check';

const text = new TextEncoder();

/** Numbers that lengths, counts and offsets are read as, at the edges of what they are stored in. */
const words = [0, 1, 2, 3, 47, 48, 49, 255, 256, 65_535, 65_536, 2 ** 24, 2 ** 31 - 1, 2 ** 31, 2 ** 32 - 1] as const;

type Mutation = (bytes: Uint8Array) => Uint8Array;

const joined = (...parts: readonly Uint8Array[]): Uint8Array => new Uint8Array(Buffer.concat(parts));
const place = (at: number, bytes: Uint8Array): number => (bytes.length === 0 ? 0 : at % bytes.length);

const mutation: fc.Arbitrary<Mutation> = fc.oneof(
  fc.tuple(fc.nat(), fc.integer({ min: 1, max: 255 })).map(
    ([at, bits]): Mutation =>
      (bytes) => {
        const other = bytes.slice();
        if (other.length > 0) other[place(at, other)] = (other[place(at, other)] ?? 0) ^ bits;
        return other;
      },
  ),
  fc.nat().map(
    (at): Mutation =>
      (bytes) =>
        bytes.slice(0, place(at, bytes)),
  ),
  fc.tuple(fc.nat(), fc.nat(64)).map(
    ([at, length]): Mutation =>
      (bytes) => {
        const from = place(at, bytes);
        return joined(bytes.subarray(0, from), bytes.subarray(from + length));
      },
  ),
  fc.tuple(fc.nat(), fc.uint8Array({ minLength: 1, maxLength: 64 })).map(
    ([at, more]): Mutation =>
      (bytes) => {
        const from = place(at, bytes);
        return joined(bytes.subarray(0, from), more, bytes.subarray(from));
      },
  ),
  fc.tuple(fc.nat(), fc.constantFrom(...words)).map(
    ([at, word]): Mutation =>
      (bytes) => {
        const other = bytes.slice();
        const from = place(at, other) & ~3;
        if (from + 4 <= other.length) new DataView(other.buffer, other.byteOffset).setUint32(from, word, true);
        return other;
      },
  ),
);

/** Real messages, changed in some places. */
export const mutated = (real: readonly Uint8Array[]): fc.Arbitrary<Uint8Array> =>
  fc
    .tuple(fc.constantFrom(...real), fc.array(mutation, { minLength: 1, maxLength: 4 }))
    .map(([bytes, mutations]) => mutations.reduce((changed, mutate) => mutate(changed), bytes));

/** What stands in JSON where something else should. */
const hostileValues: readonly string[] = [
  'null',
  'true',
  '-1',
  '1e999',
  '-0',
  '9007199254740993',
  '1e308',
  '0.1',
  '""',
  '"\\u0000\\u001b[2J"',
  '"__proto__"',
  '[]',
  '{}',
  '{"length":1500000000}',
  '{"__proto__":{"polluted":true}}',
  '{"constructor":{"prototype":{"polluted":true}}}',
  JSON.stringify('x'.repeat(70_000)),
  `${'['.repeat(5000)}${']'.repeat(5000)}`,
  JSON.stringify(Array.from({ length: 2000 }, () => 0)),
];
const hostileKeys = ['"__proto__"', '"constructor"', '"prototype"', '"toString"', '"schema"', '"id"', '""'];

/** A real document with a value exchanged, or with a key more, somewhere in it. */
const mutatedJson = (real: readonly Uint8Array[]): fc.Arbitrary<Uint8Array> =>
  fc
    .tuple(
      fc.constantFrom(...real.map((bytes) => new TextDecoder().decode(bytes))),
      fc.nat(),
      fc.constantFrom(...hostileValues),
      fc.option(fc.constantFrom(...hostileKeys), { nil: undefined }),
    )
    .map(([json, at, value, key]) =>
      text.encode(key === undefined ? exchanged(json, at, value) : added(json, at, key, value)),
    );

/** The text with one of its scalar values replaced. */
function exchanged(json: string, at: number, value: string): string {
  const values = [...json.matchAll(/(?<=[:[,])(?:"(?:[^"\\]|\\.)*"(?!:)|-?\d[\d.e+-]*|true|false|null)/g)];
  const found = values[at % Math.max(1, values.length)];
  return found === undefined ? value : json.slice(0, found.index) + value + json.slice(found.index + found[0].length);
}

function added(json: string, at: number, key: string, value: string): string {
  const objects = [...json.matchAll(/\{/g)];
  const found = objects[at % Math.max(1, objects.length)];
  if (found === undefined) return `{${key}:${value}}`;
  const comma = json[found.index + 1] === '}' ? '' : ',';
  return `${json.slice(0, found.index + 1)}${key}:${value}${comma}${json.slice(found.index + 1)}`;
}

/** Whatever somebody could send where these messages are expected: noise, changed real ones, and where they are JSON other JSON. */
export function hostileBytes(real: readonly Uint8Array[], isJson: boolean): fc.Arbitrary<Uint8Array> {
  const noise = fc.uint8Array({ maxLength: 256 });
  if (!isJson) return fc.oneof(noise, { weight: 3, arbitrary: mutated(real) });
  const anyJson = fc.json({ maxDepth: 3 }).map((json) => text.encode(json));
  return fc.oneof(noise, anyJson, mutated(real), { weight: 3, arbitrary: mutatedJson(real) });
}

/** Whether something sent has got into what every object has. */
export const isPolluted = (): boolean => 'polluted' in {} || 'polluted' in Object.prototype;

/** Cases of a property: a few in the suite, `npm run test:long -- fuzz` sets more. */
export const fuzzRuns = Number(process.env.CROSSFOLD_FUZZ_RUNS ?? '1000');
/** The suite tries the same ones every time. */
export const fuzzSeed = Number(process.env.CROSSFOLD_FUZZ_SEED ?? '12');
