import type { z } from 'zod';

/**
 * Walks zod schemas to learn what they allow, for messages: the schema is the one place that says what a file may hold,
 * so suggestions cannot fall behind it.
 */
export type Schema = z.core.$ZodType;

type Definition = z.core.$ZodTypes['_zod']['def'];
const definition = (schema: Schema): Definition => (schema as z.core.$ZodTypes)._zod.def;

/** The schema inside defaults, optionals, readonlys, pipes and the like. */
export function unwrap(schema: Schema): Schema {
  const def = definition(schema);
  switch (def.type) {
    case 'optional':
    case 'nullable':
    case 'default':
    case 'prefault':
    case 'nonoptional':
    case 'readonly':
    case 'catch':
      return unwrap(def.innerType);
    case 'pipe':
      return unwrap(definition(def.in).type === 'transform' ? def.out : def.in);
    case 'lazy':
      return unwrap(def.getter());
    default:
      return schema;
  }
}

/** The alternatives that a value may be read as: one for anything but a union. */
export function alternatives(schema: Schema, value: unknown): readonly Schema[] {
  const inner = unwrap(schema);
  const def = definition(inner);
  if (def.type !== 'union') return [inner];
  const all = def.options.flatMap((option) => alternatives(option, value));
  return chosenByTag(all, value) ?? all;
}

/** Those object schemas whose literal fields (`type`, `name`, `method`) the value has right. */
function chosenByTag(all: readonly Schema[], value: unknown): readonly Schema[] | undefined {
  if (!isRecord(value)) return undefined;
  const tagged = all.filter((schema) => {
    const tags = Object.entries(shapeOf(schema)).filter(([, field]) => isRequiredLiteral(field));
    return tags.length > 0 && tags.every(([key, field]) => literals(field).includes(value[key]));
  });
  return tagged.length === 0 ? undefined : tagged;
}

function isRequiredLiteral(field: Schema): boolean {
  return definition(field).type === 'literal';
}

/** Fields of an object schema; none for any other. */
export function shapeOf(schema: Schema): Readonly<Record<string, Schema>> {
  const def = definition(unwrap(schema));
  return def.type === 'object' ? def.shape : {};
}

/** The values that a literal, an enum or a union of them allows. */
export function literals(schema: Schema): readonly unknown[] {
  const def = definition(unwrap(schema));
  if (def.type === 'literal') return def.values;
  if (def.type === 'enum') return Object.values(def.entries);
  if (def.type === 'union') return def.options.flatMap(literals);
  return [];
}

/** The schemas that a path leads to, given the value that chooses between alternatives on the way. */
export function schemasAt(schema: Schema, value: unknown, path: readonly PropertyKey[]): readonly Schema[] {
  const here = alternatives(schema, value);
  const [head, ...rest] = path;
  if (head === undefined) return here;
  const below = isRecord(value) || Array.isArray(value) ? (value as Record<PropertyKey, unknown>)[head] : undefined;
  return here.flatMap((option) => {
    const def = definition(option);
    let next: Schema | undefined;
    if (def.type === 'object') next = def.shape[String(head)];
    else if (def.type === 'array') next = def.element;
    else if (def.type === 'record') next = def.valueType;
    else if (def.type === 'tuple') next = def.items[Number(head)];
    return next === undefined ? [] : schemasAt(next, below, rest);
  });
}

/** Every key that the object at a path may have. */
export function knownKeys(schema: Schema, value: unknown, path: readonly PropertyKey[]): readonly string[] {
  return [...new Set(schemasAt(schema, value, path).flatMap((option) => Object.keys(shapeOf(option))))];
}

/** The keys by which the object at a path says what kind it is (`type`, `name`, `method`). */
export function tagsAt(schema: Schema, value: unknown, path: readonly PropertyKey[]): readonly string[] {
  return schemasAt(schema, value, path).flatMap((option) =>
    Object.entries(shapeOf(option)).flatMap(([key, field]) => (isRequiredLiteral(field) ? [key] : [])),
  );
}

export const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
