import { Experiment } from '@crossfold/shared/config/experiment';
import { z } from 'zod';

/** The part of JSON Schema that zod writes. */
export interface Json {
  readonly type?: string;
  readonly const?: unknown;
  readonly enum?: readonly unknown[];
  readonly anyOf?: readonly Json[];
  readonly oneOf?: readonly Json[];
  readonly items?: Json | false;
  readonly prefixItems?: readonly Json[];
  readonly properties?: Readonly<Record<string, Json>>;
  readonly additionalProperties?: Json | boolean;
  readonly required?: readonly string[];
  readonly pattern?: string;
  readonly minLength?: number;
  readonly minItems?: number;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly exclusiveMinimum?: number;
  readonly exclusiveMaximum?: number;
}

export type Keys = readonly (string | number)[];

/** A place in an experiment: what may stand there, and the least experiment that has a given value there. */
export interface Place {
  readonly path: Keys;
  readonly schema: Json;
  readonly with: (value: unknown) => unknown;
}

export const alternatives = (schema: Json): readonly Json[] => schema.anyOf ?? schema.oneOf ?? [schema];

/** A value that a schema allows, with no more in it than it has to have. */
function least(schema: Json): unknown {
  const [first = {}] = alternatives(schema);
  if (first !== schema) return least(first);
  if (schema.const !== undefined) return schema.const;
  if (schema.enum !== undefined) return schema.enum[0];
  switch (schema.type) {
    case 'object':
      return Object.fromEntries((schema.required ?? []).map((key) => [key, least(schema.properties?.[key] ?? {})]));
    case 'array':
      return (schema.prefixItems ?? Array.from({ length: schema.minItems ?? 0 }, () => schema.items || {})).map(least);
    case 'string':
      return 'x'.repeat(Math.max(1, schema.minLength ?? 1));
    case 'boolean':
      return true;
    case 'integer':
      return schema.minimum ?? schema.exclusiveMinimum ?? 1;
    case 'number':
      return schema.minimum ?? (schema.exclusiveMinimum ?? 0) + 0.1;
    default:
      return 1;
  }
}

/** What the schema cannot say that a mapping has to have. */
const needed = new Map<string, Readonly<Record<string, unknown>>>([
  ['', { dataset: { name: 'mnist' } }],
  ['dataset', { name: 'mnist' }],
  ['search', { parameters: { 'training.epochs': [1] } }],
  ['model.weights', { digest: 'a'.repeat(64) }],
]);

/** Every place of an experiment, those within each alternative included. */
export function places(): Place[] {
  const found: Place[] = [];
  const visit = (schema: Json, path: Keys, put: (value: unknown) => unknown): void => {
    if (path.length > 0) found.push({ path, schema, with: put });
    for (const option of alternatives(schema)) {
      if (option.type === 'object') {
        const own = { ...(least(option) as Record<string, unknown>) };
        Object.assign(own, needed.get(path.join('.')));
        for (const [key, field] of Object.entries(option.properties ?? {}))
          visit(field, [...path, key], (value) => put({ ...own, [key]: value }));
      } else if (option.type === 'array') {
        const items = option.prefixItems ?? (option.items ? [option.items] : []);
        const own = least(option) as unknown[];
        items.forEach((item, i) => {
          visit(item, [...path, i], (value) => put(Object.assign([...own], { [i]: value })));
        });
      }
    }
  };
  const schema = z.toJSONSchema(Experiment, { io: 'input', reused: 'inline', unrepresentable: 'any' }) as Json;
  visit(schema, [], (value) => value);
  return found;
}
